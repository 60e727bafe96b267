"""What both ways to add up over sites have in common: right sums, whoever leaves, and never of fewer than three."""

from __future__ import annotations

import pytest

from federation.ciphers.suites.choice import suite
from federation.codec import encode
from federation.disclosure import revealed_by
from federation.errors import (
    LianmoError,
    LocalProtocolError,
    PartyId,
    PlaintextOverflow,
    Refused,
    RemoteProtocolError,
    SiteLeft,
)
from federation.horizontal.aggregation.masking import messages as m
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.threshold import messages as t
from federation.messages import REGISTRY, Message
from federation.script import run
from federation.transports.agreement import Seals
from models.errors import ModelError
from tests.federation.horizontal.sites import BOUND, LENGTH, Ask, City, VectorSite, never

BODIES = ("masking", "threshold")
ROUNDS = [
    *(("masking", kind) for kind in (m.Open, m.AllKeys, m.Deliver, Ask, m.Contributors, m.Unmask)),
    *(("threshold", kind) for kind in (t.Open, t.AllCommitted, t.Deliver, t.Confirm, Ask, t.OpenSum)),
]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("n", [3, 4, 7])
def test_sums_are_exact_one_after_another(body: str, n: int) -> None:
    city = City(n, body)
    for turn in range(5):
        total = city.total()
        assert total.contributors == city.names
        assert total.values.tolist() == city.expected(turn, city.names)


@pytest.mark.parametrize("body", BODIES)
def test_they_are_exact_in_the_national_suite(body: str) -> None:
    try:
        suite("sm").new_signing_key()
    except LianmoError:
        pytest.skip("no SM2 here")
    city = City(4, body, suite_name="sm")
    assert city.total().values.tolist() == city.expected(0, city.names)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("body", "kind"), ROUNDS, ids=[f"{kind.kind}" for _, kind in ROUNDS])
def test_two_of_eight_may_vanish_at_any_round(body: str, kind: type[Message], when: str) -> None:
    """The sum is of those that remain, or of all whose vectors had come; so are the sums after it."""
    gone = ("bank:02", "bank:05")
    lost: set[PartyId] = set()

    def loss(count: int, party: PartyId, request: Message) -> str:
        if party in gone and isinstance(request, kind):
            lost.add(party)
            return when
        return "before" if party in lost else ""

    city = City(8, body, loss)
    rest = tuple(party for party in city.names if party not in gone)
    total = city.total()
    had_come = kind in (m.Contributors, m.Unmask, t.OpenSum)
    assert total.contributors == (city.names if had_come else rest)
    assert total.values.tolist() == city.expected(0, total.contributors)
    for turn in range(1, 4):
        total = city.total()
        assert total.contributors == rest
        assert total.values.tolist() == city.expected(turn, rest)
    assert city.presence.sites == rest


@pytest.mark.parametrize("body", BODIES)
def test_a_third_one_that_vanishes_ends_it_with_the_reason(body: str) -> None:
    """And nobody has been asked to open anything."""
    city = City(
        8, body, lambda count, party, request: "before" if party > "bank:04" and isinstance(request, Ask) else ""
    )
    with pytest.raises(LocalProtocolError, match="over 5 sites; 6 are needed") as caught:
        city.total()
    assert caught.value.code == "too_few_sites"
    assert not any(isinstance(request, m.Contributors | m.Unmask | t.OpenSum) for _, request, _ in city.wire.passed)


@pytest.mark.parametrize("body", BODIES)
def test_two_sites_are_refused_and_the_reason_is_said(body: str) -> None:
    city = City(2, body)
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told") as caught:
        city.total()
    assert caught.value.code == "too_few_sites"
    assert "单个站点" in caught.value.chinese
    assert city.wire.passed == []


def test_the_minimum_can_only_be_raised() -> None:
    with pytest.raises(ModelError, match="each subtracts its own"):
        SiteRules(min_sites=2)


@pytest.mark.parametrize("body", BODIES)
def test_a_higher_minimum_holds(body: str) -> None:
    city = City(4, body)
    city.coordinator.rules = SiteRules(min_sites=5)
    with pytest.raises(LocalProtocolError, match="5 are needed"):
        city.total()


@pytest.mark.parametrize("body", BODIES)
def test_a_site_that_wants_more_sites_than_there_are_refuses(body: str) -> None:
    city = City(4, body)
    city.sites["bank:01"].contributor.rules = SiteRules(min_sites=5)
    with pytest.raises(Refused) as caught:
        city.total()
    assert (caught.value.party, caught.value.code) == ("bank:01", "too_few_sites")


@pytest.mark.parametrize("body", BODIES)
def test_a_site_that_comes_late_joins_with_the_next_sum(body: str) -> None:
    city = City(5, body)
    city.presence.sites = city.names[:4]
    assert city.total().contributors == city.names[:4]
    city.presence.sites = city.names
    total = city.total()
    assert total.contributors == city.presence.sites == city.names
    assert total.values.tolist() == (city.vectors[4][0] + city.expected(1, city.names[:4])).tolist()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("masking", Ask),
        ("masking", m.Contributors),
        ("masking", m.Unmask),
        ("threshold", Ask),
        ("threshold", t.OpenSum),
    ],
)
def test_a_site_that_left_at_any_message_comes_back(body: str, kind: type[Message]) -> None:
    """Whatever half-done sum it remembers: the next one is made ready anew, with it."""
    city = City(5, body, lambda n, party, request: "after" if party == "bank:01" and isinstance(request, kind) else "")
    for _ in range(2):
        city.total()
    city.wire.loss = never
    city.presence.sites = city.names
    sites = city.sites.values()
    expected = [sum(column) for column in zip(*(site.vectors[site.asked] for site in sites), strict=True)]
    total = city.total()
    assert total.contributors == city.names
    assert total.values.tolist() == expected


@pytest.mark.parametrize("body", BODIES)
def test_a_value_beyond_the_bound_stays_at_home(body: str) -> None:
    city = City(4, body)
    city.vectors[1][0][2] = 1001
    with pytest.raises(Refused) as caught:
        city.total()
    assert caught.value.party == "bank:01"
    assert not [reply for party, _, reply in city.wire.passed if party == "bank:01" and isinstance(reply, Contribution)]


@pytest.mark.parametrize(("body", "bound"), [("masking", 2**62), ("threshold", 2**30)])
def test_sums_that_might_not_fit_are_refused_before_anybody_sends(body: str, bound: int) -> None:
    city = City(4, body)
    with pytest.raises(PlaintextOverflow):
        run(city.coordinator.total(dict.fromkeys(city.names, Ask()), LENGTH, bound), city.wire)
    assert not any(isinstance(reply, Contribution) for _, _, reply in city.wire.passed)


@pytest.mark.parametrize("body", BODIES)
def test_a_site_survives_being_dumped_between_any_two_messages(body: str) -> None:
    city = City(4, body)

    class Forgetful:
        """Its half is built anew for each message."""

        def __init__(self, site: VectorSite) -> None:
            self.site, self.contributor = site, site.contributor

        def answer(self, request: Message) -> Message:
            old = self.site.contributor
            self.site.contributor = type(old)(old.party, old.session, old.signing)
            self.site.contributor.load(old.dump())
            return self.site.answer(request)

    for party in city.names:
        city.sites[party] = Forgetful(city.sites[party])
    for turn in range(4):
        assert city.total().values.tolist() == city.expected(turn, city.names)
    state = city.sites["bank:00"].site.contributor.state
    assert repr(state) == f"<{type(state).__name__} redacted>"
    with pytest.raises(AttributeError):
        encode(state)


@pytest.mark.parametrize("body", BODIES)
def test_a_site_with_another_key_than_is_known_is_named(body: str) -> None:
    city = City(4, body)
    known = city.signings["bank:02"].known
    stranger = Seals.with_key("international", suite("international").new_signing_key(), known)
    city.sites["bank:02"].contributor.signing = stranger
    with pytest.raises((RemoteProtocolError, Refused)) as caught:
        city.total()
    assert caught.value.code == "bad_signature"
    if body == "masking":  # the coordinator checks, and names it
        assert caught.value.party == "bank:02"


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("changes", [{"data": b""}, {"data": bytes(3)}, {"data": bytes(1000)}, {"turn": 1}], ids=str)
def test_a_vector_that_is_none_names_its_site(body: str, changes: dict[str, object]) -> None:
    city = City(4, body)
    honest = city.sites["bank:02"]

    class Liar:
        contributor = honest.contributor

        def answer(self, request: Message) -> Message:
            reply = honest.answer(request)
            if not isinstance(reply, Contribution):
                return reply
            fields = {"turn": reply.turn, "data": reply.data, "proof": reply.proof, "signature": reply.signature}
            return Contribution(**{**fields, **changes})

    city.sites["bank:02"] = Liar()
    with pytest.raises(RemoteProtocolError) as caught:
        city.total()
    assert (caught.value.party, caught.value.code) == ("bank:02", "bad_value")


@pytest.mark.parametrize("body", BODIES)
def test_an_empty_vector_has_an_empty_sum(body: str) -> None:
    city = City(3, body)
    for site in city.sites.values():
        site.vectors = [v[:0] for v in site.vectors]
    assert run(city.coordinator.total(dict.fromkeys(city.names, Ask()), 0, 5), city.wire).values.shape == (0,)


def test_every_message_says_what_it_reveals_in_two_languages() -> None:
    ours = [kind for name, kind in REGISTRY.items() if name.startswith(("masking.", "threshold.", "aggregation."))]
    assert len(ours) == 21
    for kind in ours:
        english, chinese = revealed_by(kind)
        assert english.isascii()
        assert any("\u4e00" <= c <= "\u9fff" for c in chinese)


@pytest.mark.parametrize("body", BODIES)
def test_where_a_sum_must_be_over_certain_sites_none_is_opened_without_them(body: str) -> None:
    """What came stays hidden, and the next sum, over the others, is right."""

    def loss(count: int, party: PartyId, request: Message) -> str:
        return "before" if party == "bank:03" and isinstance(request, Ask) else ""

    city = City(5, body, loss)
    requests = dict.fromkeys(city.names, Ask())
    with pytest.raises(SiteLeft):
        run(city.coordinator.total(requests, LENGTH, BOUND, city.names), city.wire)
    kinds = {type(request) for _, request, _ in city.wire.passed}
    assert not kinds & {m.Contributors, m.Unmask, t.OpenSum}
    rest = tuple(party for party in city.names if party != "bank:03")
    total = run(city.coordinator.total(requests, LENGTH, BOUND, rest), city.wire)
    assert total.contributors == rest
    assert total.values.tolist() == city.expected(1, rest)
