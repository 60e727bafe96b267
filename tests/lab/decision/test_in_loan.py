"""A granted limit and the applicant's records: down year by year, and back on repair."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.decision.in_loan import LimitReview, Standing, review_limit
from lab.governance.record_states import USABLE, Severity, State
from tests.lab.decision.cases import sample

PUBLISHED = date(2024, 2, 29)
GRANTED = Decimal(1_000_000)


def standing(severity: Severity, state: State) -> Standing:
    return Standing(severity=severity, state=state, published=PUBLISHED)


def review(*records: Standing, day: date, granted: Decimal = GRANTED) -> LimitReview:
    return review_limit(sample(), "tax_credit_loan", granted, records, day)


@pytest.mark.parametrize(
    ("day", "left"),
    [
        (PUBLISHED - timedelta(days=1), 1_000_000),
        (PUBLISHED, 500_000),
        (date(2025, 2, 28), 500_000),
        (date(2025, 3, 1), 300_000),
        (date(2026, 3, 1), 0),
        (date(2036, 3, 1), 0),
    ],
)
def test_a_serious_record_shrinks_the_limit_year_by_year(day: date, left: int) -> None:
    assert review(standing("serious", "active"), day=day).limit == left


@given(st.sampled_from(get_args(Severity)), st.sampled_from(get_args(State)), st.integers(0, 2000))
def test_a_record_that_no_longer_counts_gives_the_whole_limit_back(severity: Severity, state: State, days: int) -> None:
    found = review(standing(severity, state), day=PUBLISHED + timedelta(days=days))
    if state in USABLE and severity != "minor":  # the sample has no rule for minor ones
        assert found.limit < GRANTED
        assert found.counted == 1
    else:
        assert (found.limit, found.share, found.counted) == (GRANTED, 1, 0)


def test_a_repair_undoes_every_years_cut_at_once() -> None:
    day = date(2025, 6, 1)
    assert review(standing("serious", "in_repair"), day=day).limit == 300_000
    assert review(standing("serious", "repaired"), day=day).limit == GRANTED


@given(st.lists(st.builds(standing, st.sampled_from(get_args(Severity)), st.just("active"))))
def test_the_worst_record_counts_and_more_of_them_never_help(records: list[Standing]) -> None:
    day = PUBLISHED + timedelta(days=10)
    limits = [review(*records[:n], day=day).limit for n in range(len(records) + 1)]
    assert limits == sorted(limits, reverse=True)
    assert all(limit in (GRANTED, 800_000, 500_000) for limit in limits)


def test_limits_are_whole_units_rounded_down() -> None:
    found = review(standing("ordinary", "active"), day=PUBLISHED, granted=Decimal(123_000))
    assert found.limit == 98_000
    assert "80" in found.english
    assert found.chinese.startswith("当日有 1 条")
