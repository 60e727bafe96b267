"""One site by itself: what it adds up, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from federation.errors import LocalProtocolError, PlaintextOverflow
from federation.horizontal.aggregation.rules import check_bound
from federation.horizontal.scorecard import messages as m
from federation.horizontal.scorecard import moments
from federation.horizontal.scorecard.features import from_fields
from federation.horizontal.scorecard.site import TRANSITIONS, ScorecardSite
from federation.messages import Failure, Goodbye, Message
from models.scorecard.card import ScorecardHalf, ScorecardRules
from models.scorecard.logistic import moments_of, with_intercept
from models.table import Table
from tests.federation.horizontal.scorecard.cities import Plain

X = (("x", False, (0.0, 1.0), (), False, True), (), (0, 1, 1, 2), (0.5, -1.5, 0.25), 0.0)
C = (("c", True, (), ("a", "b"), False, False), (), (0, 1, 2), (-0.75, 3.0, 0.0), 0.5)
OPEN = m.Open(model_id="m", features=(X, C), most_rows=100)
STEP = m.Step(places=(0, 1), coefficients=(0.1, -0.5, -1.0))
CARD = ScorecardHalf("m", "sites", from_fields([X]), (-1.0,), 0.1, ScorecardRules(), (0.0,))
FINISH = m.Finish(scorecard=json.dumps(CARD.to_json()).encode())

WOE = np.array([[0.5, -0.75], [-1.5, 3.0], [-1.5, -0.75], [0.25, 0.5]])
LABEL = np.array([0.0, 1.0, 1.0, 0.0])


def site_at(phase: str, opens: bool = True) -> ScorecardSite:
    x, c = np.array([-1.0, 0.5, 2.0, np.nan]), np.array(["a", "b", "a", "z"], dtype=object)
    site = ScorecardSite(Table(tuple("abcd"), {"x": x, "c": c}), LABEL, Plain(opens))
    for name, message in {"opened": OPEN, "fitting": STEP, "finished": FINISH}.items():
        if phase == "closed":
            break
        site.answer(message)
        if name == phase:
            break
    return site


MESSAGES: tuple[Message, ...] = (
    OPEN,
    replace(STEP, coefficients=(0.2, 0.0, 0.0)),
    FINISH,
    m.Opened(),
    m.Finished(),
    Goodbye(code=""),
    Failure(code="policy"),
)


@pytest.mark.parametrize("phase", ["closed", "opened", "fitting", "finished"])
@pytest.mark.parametrize("message", MESSAGES, ids=lambda x: x.kind)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    site = site_at(phase)
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


def test_sums_are_those_of_the_rows() -> None:
    values = np.frombuffer(site_at("opened").answer(STEP).data, dtype=np.int64)
    coefficients = np.array(STEP.coefficients)
    margin = coefficients[0] + WOE @ coefficients[1:]
    rate = 1 / (1 + np.exp(-margin))
    loss, found = moments.summed(values, moments.scales_of(from_fields([X, C])))
    expected = moments_of(with_intercept(WOE), rate - LABEL, rate * (1 - rate))
    assert loss == pytest.approx(-np.log(np.where(LABEL, rate, 1 - rate)).sum(), abs=1e-7)
    np.testing.assert_allclose(found.gradient, expected.gradient, atol=1e-8)
    np.testing.assert_allclose(found.hessian, expected.hessian, atol=1e-8)


@pytest.mark.parametrize("coefficients", [(0.0, 0.0, 0.0), (30.0, -500.0, 1e6), (-1e6, -1e6, -1e6)])
def test_no_row_adds_more_than_a_unit_wherever_the_fit_stands(coefficients: tuple[float, ...]) -> None:
    """So sums of a site stay within the bound that room is proven for."""
    scales = moments.scales_of(from_fields([X, C]))
    for k in range(4):
        values = moments.contribution(WOE[k : k + 1], LABEL[k : k + 1], np.array(coefficients), scales)
        check_bound(values, moments.bound(1))
    with pytest.raises(PlaintextOverflow):
        check_bound(moments.contribution(WOE, LABEL, np.array([-99.0, 0.0, 0.0]), scales / 4), moments.bound(1))


def test_sums_at_the_same_coefficients_are_given_once() -> None:
    """Over fewer sites the second time they would tell those of a site that left."""
    site = site_at("fitting")
    narrow = m.Step(places=(0,), coefficients=(0.1, -0.5))
    site.answer(narrow)
    for again in (STEP, narrow, replace(STEP, coefficients=(0.1, -0.5, 0.0))):
        with pytest.raises(LocalProtocolError, match="before"):
            site.answer(again)


def test_a_sum_that_was_not_opened_may_be_asked_for_again() -> None:
    """The last one only: what was asked before it was perhaps opened by others."""
    site = site_at("fitting", opens=False)
    given = site.answer(STEP)
    assert site.answer(STEP) == given
    site.answer(replace(STEP, coefficients=(0.2, 0.0, 0.0)))
    with pytest.raises(LocalProtocolError, match="before"):
        site.answer(STEP)


@pytest.mark.parametrize(
    "request_",
    [
        replace(STEP, places=()),
        replace(STEP, places=(0, 2)),
        replace(STEP, places=(1, 0)),
        replace(STEP, places=(0, 0)),
        replace(STEP, places=(0,)),
        replace(STEP, coefficients=(0.0, 0.0, 1e7)),
        m.Finish(scorecard=b"{}"),
        m.Finish(scorecard=b"\xff"),
        m.Finish(scorecard=json.dumps(replace(CARD, model_id="n").to_json()).encode()),
    ],
    ids=lambda r: str(r)[:70],
)
def test_a_request_that_does_not_fit_changes_nothing(request_: Message) -> None:
    site = site_at("fitting")
    before = site.state.dump()
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(request_)
    assert caught.value.code == "bad_value"
    assert site.state.dump() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"most_rows": 3},
        {"most_rows": 2**40},
        {"features": ()},
        {"features": (X, X)},
        {"features": ((X[0], (), (0, 1, 1), (0.5, -1.5), 0.0),)},
        {"features": ((X[0], (), (0, 1, 1, 3), (0.5, -1.5, 0.25), 0.0),)},
        {"features": ((X[0], (), (0, 1, 1, 2), (0.5, 1e9, 0.25), 0.0),)},
    ],
    ids=str,
)
def test_a_run_that_does_not_fit_is_refused(changes: dict[str, object]) -> None:
    site = site_at("closed")
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == "bad_value"
    assert site.state.phase == "closed"
