"""Sniffing the end of a session: what is told of features holds no name, no cut point, no count, no exact share."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from federation.codec import decode
from federation.vertical.stability.messages import Shifts, Wanted
from models.bundle import Half
from tests.builders import vertical_problem
from tests.federation.test_leakage import Recording
from tests.federation.vertical.stability.test_session import run_of, session_of


@pytest.fixture(scope="module", params=["trees", "scorecard"])
def sniffed(request: pytest.FixtureRequest) -> tuple[Any, list[bytes]]:
    """The session, and the frames of its end, each way."""
    session = session_of(request.param, vertical_problem(1200))
    frames = Recording(session.wire())
    run_of(session, frames)
    end = [f for f in (*frames.asked, *frames.told) if isinstance(decode(f, "any"), Wanted | Shifts)]
    assert len(end) == 4
    return session, end


def names(session: Any) -> list[bytes]:
    texts = [*session.problem.whole.columns, "clerk", "nurse", "pilot"]
    return [t.encode(e) for t in texts for e in ("utf-8", "utf-16-le", "gb18030")]


def bounds(session: Any) -> list[bytes]:
    halves = [host.half for host in session.hosts.values()]
    bins = [b for h in halves for b in (h.bins if isinstance(h, Half) else [f.prebins.bins for f in h.features])]
    return [n for b in bins for e in b.edges for n in (*doubles(e), repr(e).encode())]


def exact(session: Any) -> list[bytes]:
    """Indices and shares as they are at home, and the counts behind them as numbers of eight bytes."""
    shifts = [s.stability for h in session.hosts.values() for floor in (1, 5, 50) for s in h.moved.shifts(floor)]
    found = [v for s in shifts for v in (s.index, *s.expected, *s.actual)]
    rows = [len(host.alignment.state.rows) for host in session.hosts.values()]
    counts = {round(v * n) for v in found for n in rows}
    return [n for v in found if 0 < v < 1 for n in doubles(v)] + [struct.pack("<q", c) for c in counts if c]


def identifiers(session: Any) -> list[bytes]:
    return [i.encode() for i in session.problem.guest.ids]


def doubles(value: float) -> list[bytes]:
    return [struct.pack("<d", value), struct.pack(">d", value)]


NEEDLES = [names, bounds, exact, identifiers]


@pytest.mark.parametrize("needles", NEEDLES, ids=lambda f: f.__name__)
def test_nothing_private_passes_in_either_direction(sniffed: tuple[Any, list[bytes]], needles: Any) -> None:
    session, end = sniffed
    found = needles(session)
    assert len(found) > 10
    assert [n for n in found if n in b"\0\0".join(end)] == []
    planted = b"\x93\x01" + found[-1] + b"\x00"
    assert [n for n in found if n in planted]


def test_only_three_small_numbers_per_feature_are_told(sniffed: tuple[Any, list[bytes]]) -> None:
    """Whole thousandths and whole percent: no number has room for a count, and none is a float."""
    _, end = sniffed
    told = [m for m in (decode(f, "any") for f in end) if isinstance(m, Shifts)]
    shifts = [one for m in told for one in m.shifts]
    assert len({tuple(one) for one in shifts}) > 2
    assert {type(v) for one in shifts for v in one} == {int}
    assert {0 <= share <= 100 for _, *shares in shifts for share in shares} == {True}
    assert all(len(f) <= 30 + 6 * len(shifts) for f in end)
