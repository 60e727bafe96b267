"""Sites that leave, sites of one class, and what of all that reaches the coordinator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations

import numpy as np
import pytest

from federation.codec import encode
from federation.errors import LocalProtocolError, PartyId, Refused
from federation.horizontal.aggregation.interface import Total
from federation.horizontal.aggregation.masking import messages as masking
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting import messages as m
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import TRANSITIONS, BoostingSite
from federation.horizontal.site import HorizontalSite
from federation.messages import Failure, Goodbye, Message
from federation.script import Script
from models.boosting.parameters import BoostingParameters
from models.errors import DataError, LianmoError, ModelError
from models.table import Table
from tests.builders import Problem, fit_aligned
from tests.federation.horizontal.boosting.cities import DEFAULTS, PARAMETERS, Trial, shares
from tests.federation.horizontal.sites import SESSION


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_two_of_eight_that_vanish_leave_the_right_model_of_the_rest(problem: Problem, depth: int, when: str) -> None:
    """The tree in which they vanish ends where it is; the ones after it are what the remaining sites make of their
    rows, from the margins of then. A third site stands aside with the two."""
    gone = ("bank:02", "bank:05")
    lost: set[PartyId] = set()
    n_seen: dict[PartyId, int] = {}

    def loss(party: PartyId, request: Message) -> str:
        if party in gone and isinstance(request, m.Grow) and request.tree == 1:
            n_seen[party] = n_seen.get(party, 0) + 1
            if n_seen[party] == depth + 1:
                lost.add(party)
                return when
        return "before" if party in lost else ""

    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 8), PARAMETERS, loss)
    grown = trial.fit()
    rest = tuple(party for party in trial.names if party not in (*gone, "bank:07"))  # who stands aside with them
    assert grown.contributors == (trial.names, trial.names if depth else rest, rest)
    whole = Trial(problem.whole, problem.label, trial.parts).fit()
    assert grown.model.trees[0] == whole.model.trees[0]
    cut = [n for n in grown.model.trees[1] if n.owner]
    if depth:  # the tree of all eight, as far as it had come
        twin = [n for n in whole.model.trees[1] if n.owner]
        assert [(n.gain, n.left) for n in cut] == [(n.gain, n.left) for n in twin][: len(cut)]
        assert len(cut) <= 2**depth - 1
    # The last tree, found again by the remaining sites alone that begin at the margins before it:
    before = trial.margin(replace(grown, model=replace(grown.model, trees=grown.model.trees[:-1])))
    parts = [part for party, part in zip(trial.names, trial.parts, strict=True) if party in rest]
    again = Trial(problem.whole, problem.label, parts, replace(PARAMETERS, n_estimators=1))

    def beginning(party: PartyId, request: Message) -> str:
        if isinstance(request, m.Grow) and not request.cuts:
            again.sites[party].boosting.state.margin = before[parts[again.names.index(party)]]
        return ""

    again.wire.loss = beginning
    [last] = again.fit().model.trees
    assert [(n.gain, n.left, n.value) for n in last] == [(n.gain, n.left, n.value) for n in grown.model.trees[-1]]


def test_a_run_that_cannot_begin_says_why(problem: Problem) -> None:
    gone = ("bank:01", "bank:02", "bank:04")
    trial = Trial(
        problem.whole,
        problem.label,
        shares(len(problem.label), 5),
        loss=lambda party, request: "before" if party in gone and isinstance(request, m.Grow) else "",
    )
    with pytest.raises(LocalProtocolError, match="over 2 sites; 3 are needed"):
        trial.fit()


def test_a_site_with_one_class_takes_part(problem: Problem) -> None:
    good, bad = np.flatnonzero(problem.label == 0), np.flatnonzero(problem.label == 1)
    trial = Trial(problem.whole, problem.label, [good, bad[:50], bad[50:]])
    pooled = fit_aligned([problem.whole], problem.label, len(problem.label), PARAMETERS)
    assert trial.margin(trial.fit()).tobytes() == pooled.margin.tobytes()


def test_sites_that_together_have_one_class_are_told(problem: Problem) -> None:
    rows = np.flatnonzero(problem.label == 0)
    trial = Trial(problem.whole, problem.label, np.array_split(rows, 3))
    with pytest.raises(DataError) as caught:
        trial.fit()
    assert caught.value.code == "one_class"


def test_two_sites_are_refused(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 2))
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told"):
        trial.fit()


def test_nothing_but_sums_of_at_least_three_sites_reaches_the_coordinator(problem: Problem) -> None:
    """All that sites send: masked vectors, keys and shares, and words without content. No site's sum is among it."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4))
    clear: list[bytes] = []
    for site in trial.sites.values():
        contribute = site.contributor.contribute

        def noted(values: np.ndarray, bound: int, contribute: object = contribute) -> Message:
            clear.append(values.tobytes())
            return contribute(values, bound)

        class Noting:
            def __init__(self, inner: object) -> None:
                self.inner, self.allowed, self.answer = inner, inner.allowed, inner.answer

            contribute = staticmethod(noted)

        site.contributor = site.boosting.contributor = Noting(site.contributor)
    trial.fit()
    replies = [reply for _, _, reply in trial.wire.passed]
    empty = {m.Opened, m.Started, m.Finished, masking.Ready}
    hidden = {Contribution, masking.Keys, masking.SealedShares, masking.Agreed, masking.Unmasked}
    assert {type(reply) for reply in replies} == empty | hidden
    for kind in empty:
        assert fields(kind) == ()
    sent = b"".join(encode(reply) for reply in replies)
    assert len(clear) > 20
    words = [c[k : k + 8] for c in clear for k in range(0, len(c), 8) if c[k : k + 8].strip(b"\x00\xff")]
    long = [w for w in words if len(set(w)) > 5]  # a number that does not occur by chance
    assert len(long) > 1000
    assert not [w for w in long if w in sent]
    assert long[0] in sent + long[0]  # the search would find it


def test_no_row_count_is_ever_asked_for_but_once(problem: Problem) -> None:
    """Counts of two trees, of which one site missed the second, would tell that site's."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    trial.fit()
    asked = [request for _, request, _ in trial.wire.passed if isinstance(request, m.LabelsWanted)]
    assert len(asked) == 3


# Sums beside each other (ADR 0047)


def opened_sums(trial: Trial) -> list[tuple[m.Grow | m.LabelsWanted | None, Total]]:
    """Notes every sum that the coordinator opens from now on, with what was asked."""
    found: list[tuple[Message, Total]] = []
    total = trial.aggregation.total

    def noted(requests: dict[PartyId, Message], *rest: object, **only: object) -> Script[Total]:
        opened = yield from total(requests, *rest, **only)
        found.append((next(iter(requests.values())), opened))
        return opened

    trial.boosting.aggregation = Noted(noted, trial.aggregation.presence)
    return found


def differences(opened: Sequence[tuple[Message, Total]]) -> list[int]:
    """By how many sites any two sums over all rows differ."""
    sets = [set(total.contributors) for _, total in opened]
    return [len(a ^ b) for a, b in combinations(sets, 2) if a != b]


def rows_per_bin(trial: Trial, rows: np.ndarray) -> np.ndarray:
    bins = trial.bins[0]
    return np.bincount(bins.encode(trial.table.columns[bins.name][rows]), minlength=bins.n_bins)


def test_who_leaves_between_binning_and_the_first_tree_shows_no_counts(problem: Problem) -> None:
    """All hessians of the first tree are alike, so its root tells counts: of the coordinator's two sums over all rows
    the difference is three sites' counts, never one's."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 7))
    trial.aggregation.presence.summed = trial.names  # as binning leaves it
    counts = rows_per_bin(trial, np.arange(len(trial.table)))  # as binning told them
    trial.wire.loss = lambda party, request: "before" if party == "bank:03" else ""
    opened = opened_sums(trial)
    trial.fit()
    n_rows, h = opened[0][1].values[0] >> 32, opened[1][1].values.reshape(2, -1)[1][: len(counts)]
    told = counts - np.rint(h / (h.sum() / n_rows)).astype(int)
    assert (told != rows_per_bin(trial, trial.parts[3])).any()
    assert told.tolist() == sum(rows_per_bin(trial, trial.parts[k]) for k in (3, 5, 6)).tolist()


@pytest.mark.parametrize("moment", range(14))
def test_wherever_a_site_leaves_sums_differ_by_three_sites_or_none(problem: Problem, moment: int) -> None:
    """Of any two sums, of whatever tree: what is added and subtracted leaves groups of three together."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 9))
    asked: list[Message] = []

    def loss(party: PartyId, request: Message) -> str:
        if party == "bank:04" and isinstance(request, (m.Open, m.LabelsWanted, m.Start, m.Grow, m.Finish)):
            asked.append(request)
            return ("before", "after")[moment % 2] if len(asked) > moment // 2 else ""
        return ""

    trial.wire.loss = loss
    opened = opened_sums(trial)
    grown = trial.fit()
    assert all(n >= 3 for n in differences(opened))
    assert grown.complete
    assert len(grown.model.trees) == 3
    for party in ("bank:07", "bank:08"):  # they stand aside, and know the model
        rows = trial.parts[trial.names.index(party)]
        assert trial.sites[party].boosting.state.margin.tobytes() == trial.margin(grown)[rows].tobytes()


def test_a_run_that_cannot_go_on_keeps_the_trees_it_has(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4))
    trial.wire.loss = lambda party, request: "before" if getattr(request, "tree", 0) == 1 and party[-1] == "2" else ""
    grown = trial.fit()
    whole = Trial(problem.whole, problem.label, trial.parts).fit()
    assert not grown.complete
    assert whole.complete
    assert grown.model.trees == whole.model.trees[:1]
    assert grown.contributors == (trial.names,)


@dataclass
class Noted:
    """An aggregation whose sums are noted."""

    total: object
    presence: Presence


# One site by itself

FEATURES = (("x", False, (0.0, 1.0), (), False, True), ("c", True, (), ("a", "b"), False, False))
OPEN = m.Open(model_id="m", features=FEATURES, most_rows=100, max_depth=2, most_sums=9, noise=0.0)


class Echo:
    """An aggregation that hides nothing."""

    allowed = (masking.Ready,)

    def answer(self, request: Message) -> Message:
        return request

    def contribute(self, values: np.ndarray, bound: int) -> Message:
        return Contribution(turn=0, data=values.tobytes(), proof=b"", signature=b"")

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...


def site_at(phase: str) -> BoostingSite:
    x = np.array([-1.0, 0.5, 2.0, np.nan])
    table = Table(tuple("abcd"), {"x": x, "c": np.array(["a", "b", "a", "a"], dtype=object)})
    site = BoostingSite(TableFeatures(table), np.array([0.0, 1.0, 1.0, 0.0]), Echo())
    steps = {"opened": OPEN, "counted": m.LabelsWanted(), "between": m.Start(base_margin=0.0), "growing": GROW}
    for name, message in steps.items():
        if phase == "closed":
            break
        site.answer(message)
        if name == phase:
            break
    return site


GROW = m.Grow(tree=0, cuts=(), nodes=(0,))
FINISH = m.Finish(tree=0, cuts=((0, 0, 1, True, 1, 2),), leaves=((1, 0.5), (2, -0.5)))
MESSAGES: tuple[Message, ...] = (
    OPEN,
    m.LabelsWanted(),
    m.Start(base_margin=0.1),
    GROW,
    FINISH,
    m.Opened(),
    m.Started(),
    m.Finished(),
    m.Keep(trees=0),
    m.Kept(),
    Goodbye(code=""),
    Failure(code="policy"),
)


@pytest.mark.parametrize("phase", ["closed", "opened", "counted", "between", "growing"])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda x: x.kind)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    site = site_at(phase)
    assert site.state.phase == phase
    before = site.dump()
    if (phase, type(message)) in TRANSITIONS:
        site.answer(message)
        assert site.state.phase == TRANSITIONS[phase, type(message)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            site.answer(message)
        assert caught.value.code == "out_of_turn"
        assert site.dump() == before


def test_sums_are_those_of_the_rows_and_margins_follow_the_leaves() -> None:
    site = site_at("between")
    reply = site.answer(GROW)
    sums = np.frombuffer(reply.data, dtype=np.int64).reshape(2, 6) * 2.0**-32
    assert sums.tolist() == [[0.5, -0.5, -0.5, 0.5, 0.5, -0.5], [0.25, 0.25, 0.25, 0.25, 0.75, 0.25]]
    site.answer(FINISH)
    assert site.state.margin.tolist() == [0.5, 0.5, -0.5, 0.5]


@pytest.mark.parametrize(
    "request_",
    [
        replace(GROW, tree=1),
        replace(GROW, nodes=()),
        replace(GROW, nodes=(1,)),
        replace(GROW, nodes=(-1,)),
        replace(GROW, nodes=(0,) * 5),
        replace(GROW, cuts=((0, 2, 0, True, 1, 2),)),
        replace(GROW, cuts=((0, -1, 0, True, 1, 2),)),
        replace(GROW, cuts=((0, 0, 9, True, 1, 2),)),
        replace(GROW, cuts=((3, 0, 0, True, 1, 2),)),
        replace(GROW, cuts=((0, 0, 0, True, 2, 1),)),
        replace(GROW, cuts=tuple((0, 0, 0, True, k, k + 1) for k in range(1, 40, 2))),
        replace(FINISH, tree=1),
        replace(FINISH, leaves=((1, 0.5),)),
        replace(FINISH, leaves=((1, 0.5), (7, 0.5))),
    ],
    ids=str,
)
def test_a_request_that_does_not_fit_changes_nothing(request_: Message) -> None:
    site = site_at("growing")
    before = site.dump()
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(request_)
    assert caught.value.code == "bad_value"
    assert site.dump() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"most_rows": 3}, "bad_value"),
        ({"most_rows": 2**40}, "bad_value"),
        ({"max_depth": 40}, "bad_value"),
        ({"most_sums": 2**40}, "bad_value"),
        ({"noise": -1.0}, "bad_value"),
        ({"noise": 1e9}, "bad_value"),
        ({"noise": float("nan")}, "bad_value"),
        ({"features": ()}, "bad_value"),
        ({"features": (("y", False, (0.0,), (), False, False),)}, "missing_columns"),
        ({"features": (("x", False, (0.0,), (), False, False),)}, "bins_do_not_fit"),
        ({"features": (("c", True, (), ("a",), False, False),)}, "bins_do_not_fit"),
    ],
    ids=str,
)
def test_a_run_that_does_not_fit_the_table_is_refused(changes: dict[str, object], code: str) -> None:
    site = site_at("closed")
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == code
    assert site.state.phase == "closed"


def test_a_site_survives_being_dumped_between_any_two_messages(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    expected = trial.margin(Trial(problem.whole, problem.label, trial.parts).fit())

    def forget(party: PartyId, request: Message) -> str:
        site = trial.sites[party]
        again = HorizontalSite(site.table, site.label, MaskingSite(party, SESSION, site.contributor.signing))
        again.load(site.dump())
        trial.sites[party] = again
        return ""

    trial.wire.loss = forget
    assert trial.margin(trial.fit()).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "changes",
    [{"min_child_samples": 20}, {"objective": "regression"}, {"bagging_fraction": 0.5}, {"num_leaves": 31}],
    ids=str,
)
def test_parameters_it_does_not_have_are_refused(problem: Problem, changes: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=next(iter(changes))):
        Trial(problem.whole, problem.label, shares(len(problem.label), 3), BoostingParameters(**(DEFAULTS | changes)))


def test_a_site_that_refuses_is_named(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    trial.sites["bank:01"].boosting.label = trial.sites["bank:01"].label + 0.5
    with pytest.raises(Refused) as caught:
        trial.fit()
    assert (caught.value.party, caught.value.code) == ("bank:01", "bad_data")
