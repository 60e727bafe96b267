"""The sample's prices, computed anew by a formula of another shape: what a thousand equal loans earn and lose."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.decision.decision import decide
from lab.decision.limit import limit
from lab.decision.price import price
from tests.lab.decision.cases import case, edited, loan, sample

N = 1000  # loans


def needed(p: Fraction, lgd: Fraction, ead: int, costs: Fraction, share: Fraction, months: int) -> Fraction:
    """The yearly rate at which ``N`` loans of ``ead`` yuan earn what they cost.

    Basel Framework CRE35.3: EL = PD × LGD; CRE35.2: EL amount = EL × EAD. ``N p`` loans default over the horizon, each
    loses ``lgd`` of ``ead``, the bank bears ``share`` of it; the horizon is ``months`` / 12 years.
    """
    lost = N * p * lgd * ead * share
    years = Fraction(months, 12)
    return (N * ead * costs * years + lost) / (N * ead * years)


@given(st.decimals("0.0001", "0.15", places=6), st.sampled_from(["none", "policy_guarantee", "guarantor"]))
def test_rates_are_those_of_a_portfolio_that_earns_what_it_costs(p: Decimal, code: str) -> None:
    product, guarantee = sample().product("park_limit"), sample().guarantee(code)
    assert guarantee
    found = price(product.price, Decimal("0.01"), guarantee, p, Decimal(640_000))
    share = {"none": Fraction(1), "policy_guarantee": Fraction(2, 10), "guarantor": Fraction(2, 10)}[code]
    exact = needed(Fraction(p), Fraction(45, 100), 640_000, Fraction("0.0450"), share, 12)
    up = Fraction(math.ceil(exact * 10_000), 10_000)  # rounded up to 0.01 %
    assert Fraction(found.rate) == max(up, Fraction("0.0365"))
    assert 0 <= Fraction(found.rate) - max(exact, Fraction("0.0365")) < Fraction(1, 10_000)
    assert found.total == found.rate + guarantee.fee
    assert found.is_within == (found.total <= Decimal("0.08"))
    amount = Fraction(p) * Fraction(45, 100) * 640_000
    assert Fraction(found.expected_loss) == Fraction(math.ceil(amount * 100), 100)


def test_a_worked_example() -> None:
    """PD 9 %, LGD 45 %, EAD 640,000: EL 25,920.00; 4 : 3 : 2 : 1."""
    quote = decide(sample(), case("0.09", guarantee="policy_guarantee")).quote
    assert quote
    assert quote.limit == 640_000
    assert quote.price.expected_loss == Decimal("25920.00")
    assert dict(quote.price.split) == {
        "bank": Decimal("5184.00"),
        "guarantor": Decimal("10368.00"),
        "reguarantor": Decimal("7776.00"),
        "government": Decimal("2592.00"),
    }
    # 2.00 + 0.80 + 0.50 + 0.50 + 9 × 0.45 × 0.2 = 4.61, and 0.80 fee; unsecured 3.80 + 4.05 = 7.85
    assert (quote.price.rate, quote.price.total) == (Decimal("0.0461"), Decimal("0.0541"))
    [unsecured] = quote.others
    assert (unsecured.rate, unsecured.is_within) == (Decimal("0.0785"), False)


@given(st.integers(1, 10**12), st.decimals("0", "1", places=6))
def test_a_split_of_any_loss_adds_up_to_the_fen(amount: int, p: Decimal) -> None:
    policy = sample()
    for guarantee in policy.guarantees:
        found = price(policy.products[0].price, Decimal(0), guarantee, p, Decimal(amount))
        assert sum(part for _, part in found.split) == found.expected_loss
        for party, part in found.split:
            exact = Fraction(found.expected_loss) * Fraction(getattr(guarantee.shares, party))
            assert abs(Fraction(part) - exact) <= Fraction(3, 100)
            assert part <= exact or party == "bank"


@pytest.mark.parametrize("months", [6, 12, 24])
def test_a_probability_over_another_horizon_is_a_yearly_loss_in_proportion(months: int) -> None:
    pricing = sample().products[0].price.model_copy(update={"horizon_months": months})
    unsecured = sample().guarantee("none")
    assert unsecured
    found = price(pricing, Decimal(0), unsecured, Decimal("0.04"), Decimal(100))
    exact = needed(Fraction(4, 100), Fraction(45, 100), 100, Fraction("0.033"), Fraction(1), months)
    assert Fraction(found.rate) == Fraction(math.ceil(exact * 10_000), 10_000)


def test_a_guarantee_that_covers_less_bounds_the_limit() -> None:
    policy = edited(("max_amount = 10_000_000", "max_amount = 100_500"))
    quote = decide(policy, case(guarantee="policy_guarantee")).quote
    assert quote
    assert (quote.limit, quote.bound) == (100_000, "guarantee")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (800_000, "requested")),
        ({"amount": 800_999}, (800_000, "requested")),
        ({"turnover": 1_234_567}, (246_000, "turnover")),
        ({"tax_paid": 20_000}, (160_000, "tax_paid")),
        ({"amount": 9_000_000, "turnover": 10**9, "tax_paid": 10**9}, (3_000_000, "product")),
    ],
)
def test_the_smallest_bound_sets_the_limit_and_is_named(changes: dict[str, int], expected: tuple[int, str]) -> None:
    product, unsecured = sample().product("tax_credit_loan"), sample().guarantee("none")
    assert unsecured
    assert limit(product, sample().bands[0].joint, unsecured, loan(**changes)) == expected
