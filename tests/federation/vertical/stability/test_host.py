"""A data node that tells how its features moved, by itself: what it answers, what it refuses, what it never shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.codec import encode
from federation.errors import LianmoError, LocalProtocolError
from federation.messages import Failure, Goodbye, Message
from federation.policy import HostPolicy
from federation.vertical.boosting.messages import Seal
from federation.vertical.host import TrainingHost
from federation.vertical.scorecard.messages import Selected
from federation.vertical.stability.host import TRANSITIONS, StabilityHost
from federation.vertical.stability.messages import Shifts, Wanted, Withheld
from federation.vertical.stability.state import StabilityState
from models.binning import fit_bins
from models.boosting.splits import Split
from models.bundle import Half
from models.table import Table
from tests.builders import PLAIN, Problem, Session, numbers, texts
from tests.federation.vertical.scorecard.test_session import Session as ScorecardSession

N, N_FIT = 400, 240
WANTED = Wanted(n_fit=N_FIT, n_valid=40, minimum=20)
POLICY = HostPolicy(10, min_rows=1, cipher=PLAIN)


def fresh(policy: HostPolicy = POLICY, columns: dict[str, np.ndarray] | None = None) -> StabilityHost:
    rng = np.random.default_rng(3)
    moving = np.r_[rng.normal(size=280), rng.normal(1.0, size=120)]
    jobs = texts(*rng.choice(["clerk", "nurse"], N))
    table = Table(tuple(f"ID-{k}" for k in range(N)), columns or {"a": rng.normal(size=N), "b": moving, "job": jobs})
    bins = fit_bins(table.take(np.arange(N_FIT)), 6)
    splits = tuple(Split(f, 0, missing_left=False) for f in (1, 0, 1) if f < len(bins))
    return StabilityHost(table, Half("m-1", "host:a", bins, splits), N_FIT, policy)


MESSAGES: tuple[Message, ...] = (
    WANTED,
    Shifts(shifts=()),
    Withheld(),
    Seal(n_handles=0),
    Selected(numbers=(1,)),
    Goodbye(code=""),
    Failure(code="policy"),
)


@pytest.mark.parametrize("phase", ["closed", "told"])
@pytest.mark.parametrize("request_", MESSAGES, ids=lambda m: m.kind)
def test_every_state_meets_every_message(phase: str, request_: Message) -> None:
    host = fresh()
    if phase == "told":
        host.answer(WANTED)
    before = host.state.dump()
    if (phase, type(request_)) in TRANSITIONS:
        host.answer(request_)
        assert host.state.phase == TRANSITIONS[phase, type(request_)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(request_)
        assert caught.value.code == "out_of_turn"
        assert host.state.dump() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"n_fit": N_FIT - 1},  # one row less: two answers would tell its bin
        {"n_fit": N_FIT + 1},
        {"n_fit": 0},
        {"n_valid": -1},
        {"n_valid": N - N_FIT},
        {"n_valid": N},
        {"minimum": 0},
        {"minimum": -5},
        {"minimum": 2**62},
    ],
    ids=str,
)
@pytest.mark.parametrize("shares", [True, False])
def test_a_question_that_does_not_fit_is_refused(changes: dict[str, int], shares: bool) -> None:
    host = fresh(replace(POLICY, share_stability=shares))
    before = host.state.dump()
    with pytest.raises(LianmoError) as caught:
        host.answer(replace(WANTED, **changes))
    assert caught.value.code == "bad_value"
    assert host.state.dump() == before


def test_only_features_of_the_model_are_told_of_and_in_the_order_of_their_numbers() -> None:
    host = fresh()
    reply = host.answer(WANTED)
    names = host.features.names_of_numbers()
    assert set(names.values()) == {"a", "b"}
    shift_of = {s.name: s.stability for s in host.shifts(20)}
    assert set(shift_of) == {"a", "b", "job"}  # at home all are seen
    assert [index for index, _, _ in reply.shifts] == [round(1000 * shift_of[names[k]].index) for k in (0, 1)]
    assert shift_of["b"].index > 0.25 > 0.1 > shift_of["a"].index


def test_an_operator_may_withhold_all_of_it() -> None:
    host = fresh(replace(POLICY, share_stability=False))
    assert host.answer(WANTED) == Withheld()
    assert host.shifts(20)[1].stability.reading == "large_shift"  # at home it is seen all the same


def test_too_few_rows_tell_nothing() -> None:
    assert fresh().answer(replace(WANTED, minimum=121)).shifts == ()  # 120 are held out
    assert fresh().answer(replace(WANTED, minimum=120)).shifts != ()
    assert fresh(replace(POLICY, min_rows_per_bin=121)).answer(WANTED).shifts == ()


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60))
def test_every_bin_told_of_and_the_rest_of_the_rows_reach_the_floor(seed: int, floor: int, minimum: int) -> None:
    """The shares told are those of bins that the host joined under its floor, whatever the guest asks for."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=N)
    x[rng.random(N) < 0.03] = np.nan
    host = fresh(replace(POLICY, min_rows_per_bin=floor), {"a": x, "b": np.floor(rng.exponential(1.5, N))})
    reply = host.answer(replace(WANTED, minimum=minimum))
    names = host.features.names_of_numbers()
    for number, (_, *told) in enumerate(reply.shifts):
        [bins] = [b for b in host.features.bins if b.name == names[number]]
        codes = bins.encode(host.table.columns[bins.name])
        samples = [np.bincount(codes[rows], minlength=bins.n_regular + 2) for rows in (slice(N_FIT), slice(280, N))]
        # Neighbours are joined: some run of bins has these shares, and both it and the rest are large enough.
        runs = [
            [s[i : j + 1].sum() for s in samples] for i in range(len(samples[0])) for j in range(i, len(samples[0]))
        ]
        fits = [run for run in runs if [round(100 * c / s.sum()) for c, s in zip(run, samples, strict=True)] == told]
        least = max(floor, minimum)
        assert any(
            all(c >= least and (s.sum() - c >= least or c == s.sum()) for c, s in zip(run, samples, strict=True))
            for run in fits
        )


def test_the_floor_holds_where_the_guest_asks_for_less() -> None:
    rare = np.r_[np.ones(5), np.zeros(N_FIT - 5), np.zeros(40), np.ones(60), np.zeros(60)]  # five fitted rows
    columns = {"a": rare, "b": np.arange(float(N))}
    without = fresh(replace(POLICY, min_rows_per_bin=0), columns).answer(replace(WANTED, minimum=1))
    assert (2, 50) in {(e, a) for _, e, a in without.shifts} | {(100 - e, 100 - a) for _, e, a in without.shifts}
    host = fresh(replace(POLICY, min_rows_per_bin=6), columns)
    of_name = dict(zip([n for _, n in sorted(host.features.names_of_numbers().items())], (0, 1), strict=True))
    told = host.answer(replace(WANTED, minimum=1)).shifts[of_name["a"]]
    assert told == (0, 100, 100)


@pytest.mark.parametrize("kind", ["trees", "scorecard"])
def test_nothing_is_told_before_the_features_are_settled_and_once_after(kind: str, problem: Problem) -> None:
    session = Session(problem) if kind == "trees" else ScorecardSession(problem)
    untouched: TrainingHost = next(iter(session.hosts.values()))
    wanted = Wanted(n_fit=240, n_valid=0, minimum=10)
    seen: list[str] = []

    class Curious:
        """Asks a host after each of its answers, until trees are sealed, or a scorecard's features selected."""

        wire = session.wire()

        def exchange(self, frames: dict[str, bytes]) -> dict[str, bytes]:
            replies = self.wire.exchange(frames)
            selected = untouched.scorecard and untouched.scorecard.selected
            if untouched.half is None and not selected:
                with pytest.raises(LocalProtocolError) as caught:
                    untouched.answer(wanted)
                seen.append(caught.value.code)
            return replies

    _ = session.train(Curious()) if isinstance(session, Session) else session.develop(Curious())
    assert len(seen) > 5
    assert set(seen) == {"out_of_turn"}
    forgetful = TrainingHost(untouched.party, untouched.table, untouched.policy)
    forgetful.load(untouched.dump())
    for host in (untouched, forgetful):
        with pytest.raises(LocalProtocolError) as caught:
            host.answer(wanted)
        assert caught.value.code == "out_of_turn"


def test_what_it_remembers_is_secret_and_survives() -> None:
    host, twin = fresh(), fresh()
    host.answer(WANTED)
    twin.state = StabilityState.load(host.state.dump())
    assert twin.state.n_valid == 40
    with pytest.raises(LocalProtocolError):
        twin.answer(WANTED)
    assert repr(host.state) == "<StabilityState redacted>"
    with pytest.raises(AttributeError):
        encode(host.state)


def test_its_own_view_is_of_the_same_rows_as_what_it_told() -> None:
    host = fresh(columns={"a": np.r_[np.zeros(N_FIT), np.full(40, 9.0), np.zeros(120)], "b": numbers(*range(N))})
    host.answer(WANTED)
    assert host.shifts(20)[0].stability.index == 0  # watching rows are in neither sample
