"""What the service says of a decision: the same as the policy, in the service's own forms."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lab.decision.loan import Loan
from lab.errors import ConfigError
from lab.serving.answers import Answer, answer_of
from lab.serving.decisions import case_of, decider, decision_answer
from lab.serving.problems import RequestError
from tests.lab.decision.cases import loan, sample

NOON = datetime(2026, 6, 1, 4, tzinfo=UTC)


@given(st.floats(-12, 12), st.sampled_from(["joint", "bank_only"]))
def test_every_score_of_the_service_is_a_case_whose_band_the_sample_agrees_with(margin: float, mode: Any) -> None:
    answer = answer_of(margin)
    decision = decider(sample())(answer, mode, loan(), NOON)
    assert "scale" not in [step.rule for step in decision.made_by]
    told = decision_answer(decision)
    assert told.decision == decision.verdict
    assert told.policy_digest == sample().digest
    assert [rule.rule for rule in told.decided_by] == [step.rule for step in decision.made_by]
    assert (told.limit is not None) == (told.rate is not None) == (told.decision == "approve")
    assert (told.review is not None) == (told.decision == "refer")
    assert told.rate is None or Decimal(str(told.rate)) == decision.rate
    assert TypeAdapter(type(told)).validate_json(told.model_dump_json()) == told


def test_without_a_score_a_person_decides() -> None:
    told = decision_answer(decider(sample())(None, "refer", loan(), NOON))
    assert told.decision == "refer"
    assert told.review
    assert told.review.why == ["scored"]


def test_the_day_of_a_decision_is_that_of_china() -> None:
    late = datetime(2026, 5, 31, 16, 30, tzinfo=UTC)
    assert str(case_of(None, "refer", loan(), late).as_of) == "2026-06-01"


def test_an_unknown_product_is_the_callers_mistake() -> None:
    asked = loan(product="never_heard_of")
    for act in (lambda: decider(sample()).check(asked), lambda: decider(sample())(None, "refer", asked, NOON)):
        with pytest.raises(RequestError) as refused:
            act()
        assert (refused.value.status, refused.value.code) == (422, "unknown_product")
        assert "never_heard_of" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 800_000.5},
        {"amount": "800000"},
        {"amount": 0},
        {"amount": True},
        {"term_months": 10**9},
        {"listings": [{"code": "serious_dishonesty"}]},
        {"listings": [{"code": "serious_dishonesty", "listed": "2026-02-30"}]},
        {"listings": [{"code": "x", "listed": "2026-02-03"}] * 101},
        {"surprise": 1},
        {"sector": ""},
    ],
)
def test_a_loan_that_does_not_fit_is_refused_without_repeating_it(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        loan(**changes)
    assert "800000" not in str(refused.value)


def test_a_whole_amount_may_be_written_as_a_fraction() -> None:
    assert loan(amount=800_000.0, turnover=9e6) == loan()


def test_a_loan_prints_nothing_and_has_a_schema() -> None:
    assert repr(loan()) == "Loan()"
    schema = Loan.model_json_schema()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["product", "amount", "term_months"]
    assert Loan.model_validate_json(loan().model_dump_json()) == loan()


def test_an_answer_with_a_scorecards_fraction_of_points_is_a_case() -> None:
    case = case_of(Answer(0.012, 629.25, "A"), "joint", loan(), NOON)
    assert case.points == Decimal("629.25")


def test_a_version_that_cannot_stand_in_the_audit_log_is_refused_before_anything_is_decided() -> None:
    with pytest.raises(ConfigError) as caught:
        decider(sample().model_copy(update={"version": "13800138000"}))
    assert caught.value.code == "policy_version"
    assert "138" not in str(caught.value)
