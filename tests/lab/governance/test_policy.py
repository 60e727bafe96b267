"""A project does what it was approved for, within its budget, until it is stopped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from lab.errors import GovernanceError
from lab.governance.policy import DECISIONS, PolicyBook, Status, Terms, Use

NOW = datetime(2026, 6, 1, 4, 0, tzinfo=UTC)  # noon in Shanghai


def terms(**changes: Any) -> Terms:
    told = {"parties": ["bank"], "purposes": ["loan_model"], "algorithms": ["boosting", "scorecard"]}
    return Terms(**{**told, **changes})


def use(**changes: Any) -> Use:
    told = {"project": "p", "party": "bank", "purpose": "loan_model", "algorithm": "boosting", "n_rows": 10, "at": NOW}
    return Use(**{**told, **changes})


def book(store: Engine, **changes: Any) -> PolicyBook:
    found = PolicyBook(store)
    found.propose("p", terms(**changes), "Li", NOW)
    found.decide("p", "approved", "Wang", NOW)
    return found


def refusal(found: PolicyBook, asked: Use) -> str:
    with pytest.raises(GovernanceError) as caught:
        found.admit(asked)
    error, _ = found.dry_run(asked) if caught.value.code != "project_unknown" else (caught.value, None)
    assert error is not None
    assert error.code == caught.value.code
    return caught.value.code


def test_an_approved_project_is_admitted_on_its_terms(store: Engine) -> None:
    found = book(store, min_rows_per_bin=25)
    assert found.admit(use()).min_rows_per_bin == 25
    assert found.dry_run(use())[1].uses == 99


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"project": "q"}, "project_unknown"),
        ({"party": "bank2"}, "party_not_allowed"),
        ({"purpose": "marketing"}, "purpose_not_allowed"),
        ({"algorithm": "scoring"}, "algorithm_not_allowed"),
        ({"at": datetime(2026, 6, 1, 0, 59, tzinfo=UTC)}, "out_of_hours"),  # 8:59
        ({"at": datetime(2026, 6, 1, 9, 0, tzinfo=UTC)}, "out_of_hours"),  # 17:00
        ({"at": datetime(2026, 7, 1, 4, 0, tzinfo=UTC)}, "project_ended"),
        ({"n_rows": 1_001}, "budget_spent"),
    ],
    ids=str,
)
def test_what_was_not_approved_is_refused_with_its_reason(store: Engine, changes: dict[str, Any], code: str) -> None:
    found = book(store, hours=(9, 17), ends=datetime(2026, 7, 1, tzinfo=UTC), max_rows=1_000)
    assert refusal(found, use(**changes)) == code
    found.admit(use(at=datetime(2026, 6, 1, 1, 0, tzinfo=UTC)))


def test_budgets_are_per_period_and_what_is_refused_costs_nothing(store: Engine) -> None:
    found = book(store, max_uses=2, max_rows=100, period_days=10)
    found.admit(use(n_rows=60))
    assert refusal(found, use(n_rows=41)) == "budget_spent"
    found.admit(use(n_rows=40))
    assert refusal(found, use(n_rows=0)) == "budget_spent"
    found.admit(use(n_rows=100, at=NOW + timedelta(days=10)))


def test_two_that_ask_at_once_do_not_share_the_last_of_a_budget(store: Engine) -> None:
    found = book(store, max_uses=3)

    def ask(_: int) -> bool:
        try:
            found.admit(use())
        except GovernanceError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 3


@pytest.mark.parametrize("before", get_args(Status))
@pytest.mark.parametrize("after", get_args(Status))
def test_every_state_meets_every_decision(store: Engine, before: Status, after: Status) -> None:
    found = PolicyBook(store)
    found.propose("p", terms(), "Li", NOW)
    way: dict[Status, list[Status]] = {
        "proposed": [],
        "approved": ["approved"],
        "suspended": ["approved", "suspended"],
        "stopped": ["stopped"],
    }
    for step in way[before]:
        found.decide("p", step, "Wang", NOW)
    assert found.status("p") == before
    if before != "approved":
        assert refusal(found, use()) == "project_not_approved"
    if before in DECISIONS.get(after, ()):
        found.decide("p", after, "Wang", NOW)
        assert found.status("p") == after
    else:
        with pytest.raises(GovernanceError) as caught:
            found.decide("p", after, "Wang", NOW)
        assert caught.value.code == "project_decision"


def test_a_project_is_proposed_once(store: Engine) -> None:
    found = book(store)
    with pytest.raises(GovernanceError) as caught:
        found.propose("p", terms(), "Li", NOW)
    assert caught.value.code == "project_exists"
    assert found.terms("p") == terms()


@pytest.mark.parametrize(
    "changes",
    [{"parties": []}, {"algorithms": ["magic"]}, {"hours": (9, 9)}, {"hours": (9, 25)}, {"min_rows": 0}, {"x": 1}],
    ids=str,
)
def test_terms_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        terms(**changes)


def test_each_consumer_has_a_budget_of_its_own(store: Engine) -> None:
    found = book(store, parties=["bank", "bank2"], max_uses=2)
    for _ in range(2):
        found.admit(use())
    assert refusal(found, use()) == "budget_spent"
    assert found.dry_run(use(party="bank2"))[1].uses == 2
    found.admit(use(party="bank2"))


def test_a_day_of_a_budget_is_a_day_in_china(store: Engine) -> None:
    found = book(store, max_uses=1, period_days=1)
    found.admit(use(at=datetime(2026, 6, 1, 15, 59, tzinfo=UTC)))  # one minute to midnight
    assert refusal(found, use(at=datetime(2026, 6, 1, 15, 59, 59, tzinfo=UTC))) == "budget_spent"
    found.admit(use(at=datetime(2026, 6, 1, 16, 0, tzinfo=UTC)))
