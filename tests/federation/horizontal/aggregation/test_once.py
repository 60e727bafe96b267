"""Numbers given to one sum that is opened: by sites alone, against a coordinator that asks again."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.masking import messages as m
from federation.horizontal.aggregation.once import GivenState, give, may_give_again
from federation.horizontal.aggregation.threshold import messages as t
from federation.messages import Message
from federation.responder import bad_value
from tests.federation.horizontal.sites import BOUND, Ask, City, VectorSite

BODIES = ("masking", "threshold")


@dataclass
class CarefulSite(VectorSite):
    """Gives one vector, again only if no sum was opened since."""

    state: GivenState = field(default_factory=GivenState)

    def answer(self, request: Message) -> Message:
        if not isinstance(request, Ask):
            return self.contributor.answer(request)
        if self.asked and not may_give_again(self.contributor, self.state):
            raise bad_value("what was given before", "已提交过的内容")
        self.asked += 1
        return give(self.contributor, self.state, self.vectors[0], self.bound)


def careful(n: int, body: str) -> City:
    city = City(n, body)
    for party, site in city.sites.items():
        city.sites[party] = CarefulSite(site.contributor, site.vectors, BOUND)
    return city


def refusals(city: City, asked: tuple[PartyId, ...]) -> set[PartyId]:
    """A coordinator that has new keys made by these sites, and asks them for the same once more."""
    city.presence.sites = asked
    script = city.coordinator.open()
    requests = next(script)
    while True:
        try:
            requests = script.send({party: city.sites[party].answer(request) for party, request in requests.items()})
        except StopIteration:
            break
    return {party for party in asked if refuses(city.sites[party])}


def refuses(site: VectorSite) -> bool:
    try:
        site.answer(Ask())
    except LocalProtocolError as error:
        return error.code == "bad_value"
    return False


@pytest.mark.parametrize("body", BODIES)
def test_who_has_helped_to_open_a_sum_gives_nothing_to_another(body: str) -> None:
    city = careful(8, body)
    assert city.total().contributors == city.names
    rest = city.names[:7]
    helpers = set(rest) if body == "masking" else set(city.names[:6])  # those that are asked to open it
    assert refusals(city, rest) == helpers
    assert len(set(rest) - helpers) < 3


@pytest.mark.parametrize("body", BODIES)
def test_what_was_not_opened_is_given_again(body: str) -> None:
    city = careful(8, body)
    city.until(m.Contributors if body == "masking" else t.OpenSum)
    assert refusals(city, city.names[:5]) == set()


@pytest.mark.parametrize("body", BODIES)
def test_helping_is_remembered_over_new_keys_and_on_disk(body: str) -> None:
    city = City(4, body)
    city.total()
    city.total()
    for party in city.names[:3]:
        contributor = city.sites[party].contributor
        again = type(contributor)(party, contributor.session, contributor.signing)
        again.load(contributor.dump())
        assert again.n_opened == 2
