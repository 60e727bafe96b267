"""One site by itself: what it counts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation.errors import LocalProtocolError
from federation.horizontal.prebinning import messages as m
from federation.horizontal.prebinning.coordinator import HorizontalPrebinning
from federation.horizontal.prebinning.grid import GRID
from federation.horizontal.prebinning.site import TRANSITIONS, PrebinningSite
from federation.messages import Failure, Goodbye, Message
from models.errors import LianmoError, ModelError
from models.table import Table
from models.woe.prebins import PrebinRules
from tests.federation.horizontal.scorecard.cities import Plain

ZERO, ONE = np.searchsorted(GRID, [0.0, 1.0]).tolist()
COLUMNS = (("x", False, (), (-9.0,)), ("c", True, ("a", "b"), ()))
OPEN = m.Open(columns=COLUMNS, most_rows=100, n_rounds=2)
SEARCH = m.Search(round=0, bounds=((ZERO, ONE),))
COUNT = m.Count(cuts=((ZERO, ONE),))


def site_at(phase: str, opens: bool = True) -> PrebinningSite:
    x = np.array([-1.0, 0.0, 0.5, 2.0, np.nan, -9.0])
    c = np.array(["a", "b", None, "c", "a", "a"], dtype=object)
    label = np.array([0.0, 1, 1, 0, 0, 1])
    site = PrebinningSite(Table(tuple("abcdef"), {"x": x, "c": c}), label, Plain(opens), seed=0)
    for name, message in {"opened": OPEN, "searching": SEARCH, "counted": COUNT}.items():
        if phase == "closed":
            break
        site.answer(message)
        if name == phase:
            break
    return site


MESSAGES: tuple[Message, ...] = (OPEN, SEARCH, COUNT, m.Opened(), Goodbye(code=""), Failure(code="policy"))


@pytest.mark.parametrize("phase", ["closed", "opened", "searching", "counted"])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda x: x.kind)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    site = site_at(phase, opens=False)
    assert site.state.phase == phase
    before = site.state.dump()
    if (phase, type(message)) in TRANSITIONS:
        site.answer(message)
        assert site.state.phase == TRANSITIONS[phase, type(message)]
    else:
        with pytest.raises(LocalProtocolError) as caught:
            site.answer(message)
        assert caught.value.code == "out_of_turn"
        assert site.state.dump() == before


@pytest.mark.parametrize("again", [COUNT, replace(COUNT, cuts=((ONE,),)), OPEN, replace(SEARCH, round=1)], ids=str)
def test_goods_and_bads_are_counted_once(again: Message) -> None:
    """A second count, or a search after it, of fewer sites, would tell those of a site that left."""
    with pytest.raises(LocalProtocolError):
        site_at("counted").answer(again)


def test_a_sum_that_was_not_opened_may_be_asked_for_again() -> None:
    site = site_at("opened", opens=False)
    for request in (SEARCH, replace(SEARCH, round=1), COUNT):
        assert site.answer(request) == site.answer(request)
    with pytest.raises(LocalProtocolError):
        site.answer(SEARCH)


@pytest.mark.parametrize("request_", [SEARCH, replace(SEARCH, bounds=((ONE,),))], ids=str)
def test_a_round_that_was_opened_is_over(request_: Message) -> None:
    site = site_at("searching")
    with pytest.raises(LocalProtocolError, match="number of the round"):
        site.answer(request_)


def test_counts_are_those_of_the_rows() -> None:
    site = site_at("opened")
    rounds = [np.frombuffer(site.answer(replace(SEARCH, round=k)).data, dtype=np.int64) for k in (0, 1)]
    assert sum(rounds).tolist() == [2, 1, 1]  # neither missing nor special
    goods_and_bads = np.frombuffer(site.answer(COUNT).data, dtype=np.int64).reshape(2, 9)
    assert goods_and_bads.tolist() == [[1, 0, 1, 1, 0, 2, 0, 1, 0], [1, 1, 0, 0, 1, 1, 1, 0, 1]]


@pytest.mark.parametrize(
    "request_",
    [
        replace(SEARCH, round=1),
        replace(SEARCH, bounds=()),
        replace(SEARCH, bounds=((0,), (1,))),
        replace(SEARCH, bounds=((ONE, ZERO),)),
        replace(SEARCH, bounds=((-1, ZERO),)),
        replace(SEARCH, bounds=((ZERO, len(GRID)),)),
        replace(SEARCH, bounds=(tuple(range(20_000)),)),
        replace(COUNT, cuts=((ZERO, ZERO),)),
        replace(COUNT, cuts=(tuple(range(300)),)),
    ],
    ids=lambda r: str(r)[:60],
)
def test_a_request_that_does_not_fit_changes_nothing(request_: Message) -> None:
    site = site_at("opened")
    before = site.state.dump()
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(request_)
    assert caught.value.code == "bad_value"
    assert site.state.dump() == before


def test_no_more_rounds_than_were_opened() -> None:
    site = site_at("searching")
    site.answer(replace(SEARCH, round=1))
    with pytest.raises(LocalProtocolError):
        site.answer(replace(SEARCH, round=2))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"most_rows": 3}, "bad_value"),
        ({"most_rows": 2**40}, "bad_value"),
        ({"n_rounds": 0}, "bad_value"),
        ({"n_rounds": 300}, "bad_value"),
        ({"columns": ()}, "bad_value"),
        ({"columns": (COLUMNS[0], COLUMNS[0])}, "bad_value"),
        ({"columns": (("c", True, ("a", "a"), ()),)}, "bad_value"),
        ({"columns": (("c", True, tuple(map(str, range(300))), ()),)}, "bad_value"),
        ({"columns": (("y", False, (), ()),)}, "missing_columns"),
        ({"columns": (("x", True, ("a",), ()),)}, "wrong_column_type"),
    ],
    ids=lambda x: str(x)[:40],
)
def test_a_run_that_does_not_fit_the_table_is_refused(changes: dict[str, object], code: str) -> None:
    site = site_at("closed")
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == code
    assert site.state.phase == "closed"


def test_equal_widths_are_refused_because_they_need_single_values() -> None:
    with pytest.raises(ModelError, match="smallest and the largest"):
        HorizontalPrebinning(None, (), 1, PrebinRules(method="equal_width"))
