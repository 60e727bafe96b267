"""A run of trees over sites that dies and goes on: the same model, no mask twice, nobody's numbers from two sums."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import pytest

from federation.errors import LocalProtocolError, PartyId, Refused, RemoteProtocolError
from federation.horizontal.aggregation.interface import Total
from federation.horizontal.aggregation.masking import messages as masking
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting import messages as m
from federation.horizontal.boosting.coordinator import Grown
from federation.horizontal.boosting.noise import NoiseTerms
from federation.horizontal.boosting.site import BoostingSite
from federation.horizontal.boosting.state import BoostingState
from federation.horizontal.checkpoint import CoordinatorCheckpoint, Journal, SiteCheckpoint
from federation.horizontal.closing.messages import Count, Take
from federation.horizontal.conduct import run_over_sites
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import Script
from models.shared_noise import spent
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import PARAMETERS, SiteWire, Trial, never, shares
from tests.federation.horizontal.boosting.test_sites import OPEN, Echo, site_at
from tests.federation.horizontal.sites import SESSION

FEW = replace(PARAMETERS, n_estimators=4, max_depth=2)
PLAN = "4 trees"
When = Callable[[PartyId, Message], bool]


class Died(Exception):
    """What a power cut looks like from inside."""


@dataclass
class Life:
    """Disks, and sessions of parties that know only what is on them.

    Attributes:
        opened: every sum that was opened, over all lives.
    """

    problem: Problem
    n_sites: int = 4
    noise: float = 0.0
    terms: NoiseTerms | None = None
    coordinator: bytes = b""
    sites: dict[PartyId, bytes] = field(default_factory=dict)
    opened: list[Total] = field(default_factory=list)
    passed: list[list[tuple[PartyId, Message, Message | None]]] = field(default_factory=list)
    trial: Trial | None = None

    def keep(self, checkpoint: CoordinatorCheckpoint) -> None:
        self.coordinator = checkpoint.dump()

    def due(self) -> bool:
        return True

    def live(self, dies: When = lambda party, request: False, loss: Callable[[PartyId, Message], str] = never) -> Grown:
        """One session; it ends once such a request was answered by all it went to."""
        trial = self.trial = Trial(
            self.problem.whole, self.problem.label, shares(len(self.problem.label), self.n_sites), FEW, loss
        )
        for party, site in trial.sites.items():
            site.keep = lambda checkpoint, party=party: self.sites.update({party: checkpoint.dump()})
            site.boosting.terms = self.terms
            if data := self.sites.get(party):
                site.take_up(SiteCheckpoint.load(data))
        trial.wire = Dying(trial.sites, loss, dies=dies)
        self.passed.append(trial.wire.passed)
        kept = CoordinatorCheckpoint.load(self.coordinator) if self.coordinator else None
        presence = trial.aggregation.presence
        trial.boosting.journal = Journal(presence, PLAN, self, self.keep, kept)
        trial.boosting.noise = self.noise
        trial.boosting.aggregation = Noting(trial.aggregation, self.opened)
        return run_over_sites(trial.boosting.fit(), trial.wire, presence)

    def die(self, dies: When, loss: Callable[[PartyId, Message], str] = never) -> None:
        with pytest.raises(Died):
            self.live(dies, loss)


@dataclass
class Dying(SiteWire):
    """Brings no reply of an exchange in which such a request was answered, to anybody."""

    dies: When = lambda party, request: False

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        before = len(self.passed)
        replies = super().exchange(frames)
        if any(self.dies(party, request) for party, request, _ in self.passed[before:]):
            raise Died
        return replies


@dataclass
class Noting:
    """An aggregation that notes over whom sums are opened: from the moment when sites have told all it takes."""

    inner: object
    opened: list[Total]

    @property
    def presence(self) -> Presence:
        return self.inner.presence

    def total(self, *asked: object, **only: object) -> Script[Total]:
        script, replies, summed = self.inner.total(*asked, **only), None, ()
        while True:
            try:
                requests = next(script) if replies is None else script.send(replies)
            except StopIteration as done:
                return done.value
            first = next(iter(requests.values()), None)
            if isinstance(first, masking.Contributors):
                summed = first.parties
            if isinstance(first, masking.Unmask):
                self.opened.append(Total(np.empty(0, dtype=np.int64), summed))
            replies = yield requests


def outline(grown: Grown) -> object:
    model = grown.model
    return model.trees, model.base_margin, model.own.bins, model.own.splits, grown.contributors, grown.complete


def differences(opened: list[Total]) -> list[int]:
    sets = [set(total.contributors) for total in opened]
    return [len(a ^ b) for a, b in combinations(sets, 2) if a != b]


def at(kind: type[Message], tree: int) -> When:
    return lambda party, request: isinstance(request, kind) and getattr(request, "tree", -1) == tree


@pytest.fixture(scope="module")
def undisturbed(problem: Problem) -> object:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4), FEW)
    return outline(trial.fit())


# The same model


@pytest.mark.parametrize("kind", [m.Open, m.LabelsWanted, m.Start, m.Grow, m.Finish, m.Keep, masking.Unmask])
def test_wherever_it_dies_the_model_is_the_same(problem: Problem, undisturbed: object, kind: type[Message]) -> None:
    """At the first such message, then at the third, the sixth and the tenth of the next lives."""
    life = Life(problem)
    for n in (1, 3, 6, 10):
        seen: list[Message] = []

        def dies(party: PartyId, request: Message, seen: list[Message] = seen, n: int = n) -> bool:
            if party == "bank:00" and isinstance(request, kind):
                seen.append(request)
            return len(seen) == n

        try:
            grown = life.live(dies)
        except Died:
            continue
        break
    else:
        grown = life.live()
    assert outline(grown) == undisturbed
    for site in life.trial.sites.values():
        assert site.is_ours(grown.model)


def test_trees_are_not_grown_again(problem: Problem) -> None:
    life = Life(problem)
    life.die(at(m.Grow, 2))
    life.live()
    assert {request.tree for _, request, _ in life.passed[-1] if isinstance(request, m.Grow)} == {2, 3}
    assert not [request for _, request, _ in life.passed[-1] if isinstance(request, m.LabelsWanted)]


@pytest.mark.parametrize("request_", [m.Grow, m.Finish])
def test_where_too_few_are_left_it_waits_for_them(
    problem: Problem, undisturbed: object, request_: type[Message]
) -> None:
    """The tree that a departure cut short is grown whole: what is kept is as if nobody had left."""
    life = Life(problem)
    gone: set[PartyId] = set()

    def loss(party: PartyId, request: Message) -> str:
        if party == "bank:02" and isinstance(request, request_) and request.tree == 2 and request.cuts:
            gone.add(party)
        return "before" if party in gone else ""

    with pytest.raises(LocalProtocolError) as caught:
        life.live(loss=loss)
    assert caught.value.code == "too_few_sites"
    assert outline(life.live()) == undisturbed


def test_without_a_site_of_its_sums_it_does_not_go_on(problem: Problem, undisturbed: object) -> None:
    life = Life(problem, n_sites=9)
    life.die(at(m.Grow, 2))
    with pytest.raises(LocalProtocolError, match="without bank:05") as caught:
        life.live(loss=lambda party, request: "before" if party == "bank:05" else "")
    assert caught.value.code == "sites_missing"
    assert life.live().contributors == (life.trial.names,) * 4


def test_a_site_that_has_kept_nothing_does_not_go_on(problem: Problem) -> None:
    life = Life(problem)
    life.die(at(m.Grow, 2))
    del life.sites["bank:01"]
    with pytest.raises(Refused) as caught:
        life.live()
    assert (caught.value.party, caught.value.code) == ("bank:01", "bad_value")


def test_another_plan_is_another_run(problem: Problem) -> None:
    life = Life(problem)
    life.die(at(m.Grow, 1))
    kept = CoordinatorCheckpoint.load(life.coordinator)
    with pytest.raises(LocalProtocolError) as caught:
        Journal(Presence(("a", "b", "c")), "5 trees", life, life.keep, kept)
    assert caught.value.code == "rows_changed"


# Two sums beside each other


@pytest.mark.parametrize("moment", [m.LabelsWanted, m.Grow])
def test_sums_of_two_lives_differ_by_three_sites_or_none(problem: Problem, moment: type[Message]) -> None:
    """A site leaves, sums are opened without it, and the coordinator dies before any tree is kept; in the next life
    another one leaves. The two sums without one each would tell both."""
    life = Life(problem, n_sites=9)

    def first(party: PartyId, request: Message) -> str:
        return "before" if party == "bank:04" and isinstance(request, moment) else ""

    opened: list[bool] = []

    def dies(party: PartyId, request: Message) -> bool:
        opened.append(isinstance(request, masking.Unmask) and len(life.opened) == 2)
        return opened[-1]

    life.die(dies, first)
    assert "bank:04" not in life.opened[-1].contributors

    def second(party: PartyId, request: Message) -> str:
        return "before" if party == "bank:01" and isinstance(request, m.Grow) and request.tree == 1 else ""

    life.live(loss=second)
    assert len({total.contributors for total in life.opened}) > 1
    assert all(n >= 3 for n in differences(life.opened))


def test_who_is_out_of_sums_is_told_the_model_and_stays_out(problem: Problem) -> None:
    life = Life(problem, n_sites=9)
    life.die(at(m.Grow, 3), lambda p, r: "before" if p == "bank:04" and isinstance(r, m.Grow) and r.tree == 1 else "")
    grown = life.live()
    assert grown.contributors[-1] == tuple(p for p in life.trial.names if p[-1] not in "478")
    for party in ("bank:04", "bank:07", "bank:08"):
        assert life.trial.sites[party].is_ours(grown.model)
        assert not [
            reply for p, _, reply in life.passed[-1] if p == party and isinstance(reply, (Contribution, masking.Keys))
        ]


# Masks


def test_no_mask_serves_two_sums(problem: Problem) -> None:
    """The same numbers, summed again: other masks, other keys; and nothing of them was ever on a disk."""
    life = Life(problem)
    secrets: list[bytes] = []

    def dies(party: PartyId, request: Message) -> bool:
        if isinstance(request, masking.Contributors):
            states = [site.contributor.state for site in life.trial.sites.values()]
            secrets.extend(part for s in states for part in (s.pair_seeds, s.own_seeds, *s.pair_keys, *s.shares))
        return at(m.Finish, 1)(party, request)

    life.die(dies)
    life.live()
    given = [
        {
            (party, request.nodes): reply.data
            for party, request, reply in passed
            if isinstance(request, m.Grow) and request.tree == 1
        }
        for passed in life.passed
    ]
    assert given[0].keys() == given[1].keys()
    assert not [key for key in given[0] if given[0][key] == given[1][key]]
    keys = [{r.sealing_key for _, _, r in passed if isinstance(r, masking.Keys)} for passed in life.passed]
    assert not keys[0] & keys[1]
    pieces = {secret[k : k + 16] for secret in secrets for k in range(0, len(secret), 16)} - {b""}
    assert len(pieces) > 100
    for disk in (life.coordinator, *life.sites.values()):
        assert not [piece for piece in pieces if len(piece) == 16 and piece in disk]


def test_a_key_of_the_life_before_is_of_no_use(problem: Problem) -> None:
    """A coordinator that hands out a site's old key, whose signature is good, shuts that site out, no more."""
    life = Life(problem)
    life.die(at(m.Grow, 0))
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4), FEW)
    opening = next(request for _, request, _ in life.passed[0] if isinstance(request, masking.Open))
    keys = {party: site.answer(opening) for party, site in trial.sites.items()}
    old = next(r for p, _, r in life.passed[0] if p == "bank:01" and isinstance(r, masking.Keys))
    given = {**keys, "bank:01": old}
    all_keys = masking.AllKeys(keys=tuple((p, k.sealing_key, k.signature) for p, k in given.items()))
    sealed = {party: trial.sites[party].answer(all_keys) for party in trial.names if party != "bank:01"}
    to_it = tuple((sender, dict(reply.shares)["bank:01"]) for sender, reply in sealed.items())
    trial.sites["bank:01"].answer(all_keys)
    with pytest.raises(RemoteProtocolError, match="does not open"):
        trial.sites["bank:01"].answer(masking.Deliver(shares=to_it))


# Noise


def test_sums_that_are_given_again_are_counted_again(problem: Problem) -> None:
    life = Life(problem, noise=5.0)
    life.die(at(m.Grow, 2))
    given = len([r for p, _, r in life.passed[0] if p == "bank:00" and isinstance(r, Contribution)])
    given += 1  # what was under way
    for data in life.sites.values():
        assert BoostingState.load(SiteCheckpoint.load(data).boosting).n_sums in (given - 1, given)
    life.live()
    contributed = [
        request
        for passed in life.passed
        for party, request, _ in passed
        if party == "bank:00" and isinstance(request, (m.Grow, m.LabelsWanted))
    ]
    state = life.trial.sites["bank:00"].boosting.state
    assert state.n_sums == len(contributed)
    first, last = (next(r.most_sums for _, r, _ in passed if isinstance(r, m.Open)) for passed in life.passed)
    assert last == first + 1 + FEW.max_depth + len(life.trial.names) // 3 - 1
    assert state.n_sums <= last


def test_a_site_that_allows_no_more_ends_it(problem: Problem) -> None:
    life = Life(problem, noise=5.0)
    life.terms = NoiseTerms(epsilon=spent(5.0, 9, 1e-6), delta=1e-6)  # as many as are announced at first
    life.die(at(m.Grow, 2))
    with pytest.raises(Refused) as caught:
        life.live()
    assert caught.value.code == "epsilon_spent"


# One site by itself


def resumed(**changes: object) -> BoostingSite:
    site = site_at("closed")
    first = site_at("between")
    site.kept = replace(first.state, **{"first_tree": 2, "kept": 3, "tree": 3, **changes})
    return site


@pytest.mark.parametrize("goes_on", [-1, 0, 1])
def test_no_sum_before_the_last_two_checkpoints_is_given_again(goes_on: int) -> None:
    """Nor does a run begin anew of which the site has given sums."""
    site = resumed()
    with pytest.raises(LocalProtocolError, match="remember different parts"):
        site.answer(replace(OPEN, goes_on=goes_on))
    assert site.state.phase == "closed"


def test_it_goes_on_where_it_stood_and_remembers_what_it_gave() -> None:
    site = resumed(n_sums=5, counted=True)
    site.answer(replace(OPEN, goes_on=2))
    assert (site.state.first_tree, site.state.n_sums, site.state.phase) == (2, 5, "opened")
    with pytest.raises(LocalProtocolError, match="given before"):
        site.answer(m.LabelsWanted())


def test_what_was_kept_bounds_what_is_given_again() -> None:
    site = site_at("between")
    for tree in range(3):
        site.answer(m.Finish(tree=tree, cuts=(), leaves=((0, 0.1),)))
        site.answer(m.Keep(trees=tree + 1))
        assert (site.state.first_tree, site.state.kept) == (tree, tree + 1)
    with pytest.raises(LocalProtocolError, match="number of trees"):
        site.answer(m.Keep(trees=7))


def test_held_out_rows_are_not_counted_by_a_site_that_did_before_it_died(problem: Problem) -> None:
    life = Life(problem)
    grown = life.live()
    party, site = next(iter(life.trial.sites.items()))
    site.contributor = site.closing.contributor = Echo()
    site.answer(Take(model_kind="trees", model=json.dumps(grown.model.to_json()).encode()))
    site.answer(Count())
    again = HorizontalSite(site.table, site.label, MaskingSite(party, SESSION, life.trial.aggregation.signing))
    again.take_up(SiteCheckpoint.load(life.sites[party]))
    again.closing.state = replace(again.closing.state, phase="taken")
    with pytest.raises(LocalProtocolError, match="counted before"):
        again.answer(Count())


def test_rows_of_then_or_none(problem: Problem) -> None:
    life = Life(problem)
    life.die(at(m.Grow, 2))
    party, data = next(iter(life.sites.items()))
    site = life.trial.sites[party]
    for table, label, held_out in (
        (site.table.take(np.arange(1, len(site.table))), site.label[1:], None),
        (site.table, 1 - site.label, None),
        (site.table, site.label, (site.table, site.label)),
    ):
        other = HorizontalSite(table, label, site.contributor, held_out=held_out)
        with pytest.raises(LocalProtocolError) as caught:
            other.take_up(SiteCheckpoint.load(data))
        assert caught.value.code == "rows_changed"
