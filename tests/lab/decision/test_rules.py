"""Hard stops by day: listed, removed, disputed, dormant."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.decision.decision import decide
from lab.decision.loan import Listing
from tests.lab.decision.cases import DAY, case, edited, sample

ONE = timedelta(days=1)


def listed(on: date, removed: date | None = None, code: str = "serious_dishonesty", disputed: bool = False) -> Listing:
    return Listing(code=code, listed=on, removed=removed, disputed=disputed)


@pytest.mark.parametrize(
    ("listing", "verdict"),
    [
        (listed(DAY), "decline"),
        (listed(DAY + ONE), "approve"),  # not yet
        (listed(DAY - 900 * ONE, DAY + ONE), "decline"),
        (listed(DAY - 900 * ONE, DAY), "approve"),  # removed this day
        (listed(DAY - 2 * ONE, DAY - ONE), "approve"),
        (listed(DAY, disputed=True), "refer"),
        (listed(DAY, DAY, disputed=True), "approve"),
        (listed(DAY, code="abnormal_operation"), "refer"),
        (listed(DAY, code="dormant_enterprise"), "decline"),
        (listed(DAY, code="never_heard_of"), "refer"),
        (listed(DAY, DAY, code="never_heard_of"), "approve"),
        (listed(DAY - ONE, DAY - 2 * ONE), "refer"),  # removed before it was made
        (listed(DAY + 9 * ONE, DAY), "refer"),
    ],
)
def test_a_listing_stops_from_its_day_to_the_day_before_removal(listing: Listing, verdict: str) -> None:
    assert decide(sample(), case(listings=[listing])).verdict == verdict


@given(st.integers(1, 2000), st.integers(0, 2000))
def test_a_removed_listing_leaves_no_trace(before: int, since: int) -> None:
    """Order 36: what was repaired is not used, however bad or recent it was."""
    gone = DAY - since * ONE
    assert decide(sample(), case(listings=[listed(gone - before * ONE, gone)])) == decide(sample(), case())


def test_of_two_listings_the_undisputed_counts_more() -> None:
    both = [listed(DAY - ONE, disputed=True), listed(DAY)]
    for order in (both, both[::-1]):
        decision = decide(sample(), case(listings=order))
        assert decision.verdict == "decline"
        assert [step.rule for step in decision.made_by] == ["serious_dishonesty"]


def test_all_stops_are_told_at_once_in_the_policys_order() -> None:
    found = [listed(DAY, code="dormant_enterprise"), listed(DAY), listed(DAY, code="dishonest_debtor")]
    made_by = decide(sample(), case("0.5", listings=found, months_inactive=12)).made_by
    assert [s.rule for s in made_by] == [
        "serious_dishonesty",
        "dishonest_debtor",
        "dormant_enterprise",
        "dormant",
        "band",
    ]
    assert f"自 {DAY} 起被列入：严重失信主体名单。" in [s.chinese for s in made_by]


@pytest.mark.parametrize(("months", "verdict"), [(0, "approve"), (11, "approve"), (12, "decline"), (None, "refer")])
def test_a_dormant_enterprise_is_stopped_without_being_listed(months: int | None, verdict: str) -> None:
    assert decide(sample(), case(months_inactive=months)).verdict == verdict
    lenient = edited(('unknown = "refer"\n\n# Bands', 'unknown = "approve"\n\n# Bands'))
    assert decide(lenient, case(months_inactive=None)).verdict == "approve"


@pytest.mark.parametrize(("age", "verdict"), [(0, "approve"), (7, "approve"), (8, "refer"), (-1, "approve")])
def test_lists_must_have_been_looked_at_lately(age: int, verdict: str) -> None:
    decision = decide(sample(), case(listings_checked=DAY - age * ONE))
    assert decision.verdict == verdict


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"amount": 49_999}, "loan_amount"),
        ({"term_months": 2}, "loan_term"),
        ({"term_months": 37}, "loan_term"),
        ({"guarantee": "guarantor"}, "guarantee"),
        ({"guarantee": "never_heard_of"}, "guarantee"),
        ({"months_trading": 23}, "months_trading"),
        ({"sector": "pawnbroking"}, "sector"),
        ({"turnover": 200_000}, "limit"),
    ],
)
def test_what_does_not_fit_the_product_is_declined_by_the_rule_for_it(changes: dict[str, Any], rule: str) -> None:
    decision = decide(sample(), case(**changes))
    assert decision.verdict == "decline"
    assert [step.rule for step in decision.made_by] == [rule]
