"""How hosts' features moved, asked at the end of whole sessions of either kind, and checked by the guest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import PartyId, RemoteProtocolError
from federation.messages import Goodbye, Message
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import AmnesiacWire, FaultyWire, MemoryWire
from federation.vertical.guest import Arrangement, Trained
from federation.vertical.host import ALLOWED, TrainingHost
from federation.vertical.scorecard.guest import Developed
from federation.vertical.stability.guest import _shift, ask_shifts
from federation.vertical.stability.host import _coarse
from federation.vertical.stability.messages import Shifts, Wanted, Withheld
from models.bundle import Half
from models.scorecard.card import ScorecardHalf
from models.validation.features import FeatureShift
from models.validation.stability import stability_of_counts
from tests.builders import BANK, HOSTS, PLAIN, SMALL, Problem, Session, vertical_problem
from tests.federation.test_leakage import Recording
from tests.federation.vertical.scorecard.test_session import Session as ScorecardSession
from tests.federation.vertical.stability.test_host import N_FIT, N, fresh

POLICY = HostPolicy(min_rows_per_bin=5, cipher=PLAIN)


@pytest.fixture(scope="module")
def large() -> Problem:
    """Held-out rows have more tax arrears than fitted ones: whoever is late in the guest's table."""
    problem = vertical_problem(2000, seed=4)
    tax = problem.hosts[HOSTS[0]]
    late = np.isin(tax.ids, problem.guest.ids[len(problem.guest) * 3 // 4 :])
    arrears = tax.columns["tax_arrears_days"] + np.where(late, 1.0, 0.0)
    hosts = {**problem.hosts, HOSTS[0]: replace(tax, columns={**tax.columns, "tax_arrears_days": arrears})}
    return replace(problem, hosts=hosts)


def trees(problem: Problem, policy: HostPolicy = POLICY, **options: Any) -> Session:
    """So many that every host has a cut."""
    return Session(problem, policy=policy, parameters=replace(SMALL, n_estimators=4), **options)


def session_of(kind: str, problem: Problem, policy: HostPolicy = POLICY) -> Session | ScorecardSession:
    return trees(problem, policy) if kind == "trees" else ScorecardSession(problem, policy)


def run_of(session: Session | ScorecardSession, wire: Wire | None = None) -> Trained | Developed:
    return session.train(wire) if isinstance(session, Session) else session.develop(wire)


def rounded(shifts: tuple[FeatureShift, ...]) -> list[tuple[str, Any]]:
    return [(f.party, f.stability and (round(f.stability.index, 3), f.stability.most_moved)) for f in shifts]


@pytest.fixture(scope="module")
def done(large: Problem) -> Mapping[str, tuple[Session | ScorecardSession, Trained | Developed]]:
    sessions = {kind: session_of(kind, large) for kind in ("trees", "scorecard")}
    return {kind: (session, run_of(session)) for kind, session in sessions.items()}


Done = Mapping[str, tuple[Any, Any]]
KINDS = pytest.mark.parametrize("kind", ["trees", "scorecard"])


def by_hand(host: TrainingHost, name: str, n_fit: int, least: int = 50) -> list[tuple[int, int]]:
    """Rows of each bin of the half, fitted and held out; neighbours together until there are 50 of either."""
    part = host.boosting or host.scorecard
    column = part.table.columns[name]
    if isinstance(host.half, Half):
        [bins] = [b for b in host.half.bins if b.name == name]
        binned = bins.encode(column).tolist()
    else:
        [feature] = [f for f in host.half.features if f.name == name]
        woe_of = dict(enumerate(feature.bins.bin_of))
        binned = [woe_of.get(code, 99) for code in feature.prebins.encode(column).tolist()]
    first, second = Counter(binned[:n_fit]), Counter(binned[n_fit:])
    large: list[tuple[int, int]] = []
    e = a = 0
    for b in sorted(set(binned)):
        e, a = e + first[b], a + second[b]
        if min(e, a) >= least:
            large.append((e, a))
            e = a = 0
    return [*large[:-1], (large[-1][0] + e, large[-1][1] + a)]


@KINDS
def test_the_guest_is_told_what_the_tables_say(kind: str, done: Done) -> None:
    session, developed = done[kind]
    found = 0
    for party, host in session.hosts.items():
        told = [f for f in developed.shifts if f.party == party]
        half = host.half
        if isinstance(half, Half):
            names = [half.names_of_numbers()[int(f.name.removeprefix(f"{party} feature ")) - 1] for f in told]
        else:
            assert isinstance(half, ScorecardHalf)
            names = [f.name for f in half.features]
            numbers = {f"{party} feature {f.number}": f.bins.name for f in host.scorecard.kept.features}
            assert [numbers[f.name] for f in told] == names
        assert names
        for name, shift in zip(names, told, strict=True):
            counts = by_hand(host, name, developed.arrangement.n_fit)
            assert shift.stability
            assert not shift.withheld
            e, a = np.array(counts, dtype=float).T
            assert shift.stability.index == pytest.approx(entropy(e, a) + entropy(a, e), abs=0.0006)
            most = np.argmax((a / a.sum() - e / e.sum()) * np.log(a / a.sum() / (e / e.sum())))
            exact = (e[most] / e.sum(), a[most] / a.sum())
            assert shift.stability.most_moved == pytest.approx(exact, abs=0.0051)
            found += len(counts) > 2
            if name == "tax_arrears_days":
                assert shift.stability.reading == "large_shift"
    assert found >= 2


@KINDS
def test_hosts_without_memory_tell_the_same(kind: str, large: Problem, done: Done) -> None:
    forgetful = session_of(kind, large)
    build = {
        party: (lambda p=party: TrainingHost(p, large.hosts[p], POLICY)) for party in forgetful.hosts
    }  # fmt: skip
    again = run_of(forgetful, AmnesiacWire(BANK, build, ALLOWED))
    assert sorted(rounded(again.shifts)) == sorted(rounded(done[kind][1].shifts))


@KINDS
def test_a_host_that_does_not_share_ends_the_session_as_the_others_do(kind: str, large: Problem, done: Done) -> None:
    session = session_of(kind, large, replace(POLICY, share_stability=False))
    frames = Recording(session.wire())
    silent = run_of(session, frames)
    of_hosts = [f for f in silent.shifts if f.party]
    assert of_hosts
    assert all(f.withheld and f.stability is None for f in of_hosts)
    kinds = [type(decode(f, "any")) for f in frames.told]
    assert kinds.count(Withheld) == kinds.count(Goodbye) == len(HOSTS)
    assert Shifts not in kinds
    assert silent.fitted.margin.tobytes() == done[kind][1].fitted.margin.tobytes()


@KINDS
def test_no_bin_under_the_floor_of_a_host_is_told_of(kind: str, large: Problem) -> None:
    floor = 150
    session = session_of(kind, large, replace(POLICY, min_rows_per_bin=floor))
    done = run_of(session)
    n_fit, n_held = done.arrangement.n_fit, len(done.arrangement.rows) - done.arrangement.n_fit
    assert n_held > 2 * floor
    for shift in (s for s in done.shifts if s.party):
        assert shift.stability
        for share, n in zip(shift.stability.most_moved, (n_fit, n_held), strict=True):
            least = 100 * floor / n - 0.5
            assert round(100 * share) >= least
            assert round(100 * share) == 100 or 100 - round(100 * share) >= least  # neither is the rest


@pytest.mark.parametrize(
    ("n_valid", "n_held", "asked"), [(0, 0, False), (30, 0, False), (0, 30, True), (20, 100, True)]
)
def test_it_is_asked_only_of_rows_that_are_held_out(problem: Problem, n_valid: int, n_held: int, asked: bool) -> None:
    def arrange(rows: np.ndarray) -> Arrangement:
        return Arrangement(rows, len(rows) - n_valid - n_held, n_valid)

    session = trees(problem, arrange=arrange)
    frames = Recording(session.wire())
    done = session.train(frames)
    wanted = [m for m in (decode(f, BANK) for f in frames.asked) if isinstance(m, Wanted)]
    assert [m.n_valid for m in wanted] == [n_valid] * (len(HOSTS) if asked else 0)
    assert bool(done.shifts) == asked
    assert {f.stability is None for f in done.shifts} == ({n_held < 50} if asked else set())


LIES: Mapping[str, Callable[[Shifts], Message]] = {
    "one feature less": lambda m: Shifts(shifts=m.shifts[1:]),
    "one feature more": lambda m: Shifts(shifts=(*m.shifts, m.shifts[0])),
    "a share above all": lambda m: Shifts(shifts=((9000, 0, 101), *m.shifts[1:])),
    "a negative share": lambda m: Shifts(shifts=((9000, -1, 50), *m.shifts[1:])),
    "a negative index": lambda m: Shifts(shifts=((-1, 50, 50), *m.shifts[1:])),
    "an index beyond any sample": lambda m: Shifts(shifts=((87_339, 0, 100), *m.shifts[1:])),
    "an index below its bin's part": lambda m: Shifts(shifts=((650, 20, 60), *m.shifts[1:])),
    "another message": lambda m: Goodbye(code=""),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_host_that_tells_what_cannot_be_is_named(lie: str) -> None:
    hosts = {party: fresh() for party in ("host:a", "host:b")}
    wire = MemoryWire({party: Endpoint(host, BANK, (Wanted,)).answer for party, host in hosts.items()})

    def damage(_: int, party: PartyId, frame: bytes) -> bytes:
        message = decode(frame, party)
        assert isinstance(message, Shifts)
        return encode(LIES[lie](message)) if party == "host:b" else frame

    def ask(wire: Wire) -> tuple[FeatureShift, ...]:
        return run(ask_shifts(dict.fromkeys(hosts, ("one", "two")), N, N_FIT, 40), wire)

    assert [f.party for f in ask(wire)] == ["host:a", "host:a", "host:b", "host:b"]
    for host in hosts.values():
        host.state.phase = "closed"
    with pytest.raises(RemoteProtocolError) as caught:
        ask(FaultyWire(wire, damage))
    assert caught.value.party == "host:b"
    assert caught.value.code == ("out_of_turn" if lie == "another message" else "bad_value")


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=9), st.integers(1, 60))
def test_an_honest_host_is_believed(cells: list[tuple[int, int]], minimum: int) -> None:
    e, a = np.array(cells).T
    if min(e.sum(), a.sum()) >= minimum:
        exact = stability_of_counts(e, a, minimum=minimum)
        told = _shift("host:a", *_coarse(exact))
        assert told.index == pytest.approx(exact.index, abs=0.00051)
        assert told.most_moved == pytest.approx(exact.most_moved, abs=0.0051)
