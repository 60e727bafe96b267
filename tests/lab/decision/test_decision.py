"""What a decision promises whatever the case: order, monotony, and a rule behind it."""

from __future__ import annotations

import decimal
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.decision.case import Case
from lab.decision.decision import Decision, decide
from lab.decision.limit import BOUNDS
from lab.decision.loan import Listing
from lab.decision.policy import Policy
from lab.decision.verdicts import RULES, severity
from lab.errors import ConfigError
from tests.lab.decision.cases import DAY, case, edited, listings, loans, policies, probabilities, sample

INFINITE = Decimal("Infinity")


def worth(decision: Decision) -> tuple[int, Decimal, Decimal]:
    """Each part smaller is better for the applicant; what is not offered is no money at an infinite price."""
    limit = Decimal(0) if decision.limit is None else decision.limit
    rate = INFINITE if decision.rate is None else decision.rate
    return severity(decision.verdict), -limit, rate


def is_no_better(one: Decision, than: Decision) -> bool:
    return all(a >= b for a, b in zip(worth(one), worth(than), strict=True))


@settings(max_examples=100, deadline=None)
@given(st.just(sample()) | policies(), loans, probabilities, probabilities, st.sampled_from(["joint", "bank_only"]))
def test_a_riskier_applicant_never_gets_a_better_decision_a_higher_limit_or_a_lower_rate(
    policy: Policy, loan: dict[str, Any], one: str, other: str, mode: str
) -> None:
    safer, riskier = sorted((one, other), key=Decimal)
    assert is_no_better(decide(policy, case(riskier, mode, **loan)), decide(policy, case(safer, mode, **loan)))


@settings(max_examples=100, deadline=None)
@given(st.just(sample()) | policies(), loans, probabilities)
def test_bank_only_is_never_milder_than_joint_and_no_score_never_approves(
    policy: Policy, loan: dict[str, Any], p: str
) -> None:
    joint, alone = (decide(policy, case(p, mode, **loan)) for mode in ("joint", "bank_only"))
    assert is_no_better(alone, joint)
    assert decide(policy, case(None, **loan)).verdict != "approve"


@settings(max_examples=100, deadline=None)
@given(st.just(sample()) | policies(), loans, probabilities, listings())
def test_one_more_listing_never_helps(policy: Policy, loan: dict[str, Any], p: str, listing: Listing) -> None:
    before = {**loan, "listings": loan["listings"] or []}
    after = {**before, "listings": [*before["listings"], listing]}
    assert is_no_better(decide(policy, case(p, **after)), decide(policy, case(p, **before)))


@settings(max_examples=100, deadline=None)
@given(loans, probabilities, st.sampled_from(["joint", "bank_only"]))
def test_every_decision_has_a_rule_that_made_it_in_the_order_of_rules(loan: dict[str, Any], p: str, mode: str) -> None:
    policy = sample()
    decision = decide(policy, case(p, mode, **loan))
    asked = [step.rule for step in decision.steps]
    order = list(RULES)
    order[order.index("list_unknown") : order.index("list_unknown")] = [stop.code for stop in policy.stops]
    assert asked == [rule for rule in order if rule in asked]
    assert decision.made_by
    assert {step.verdict for step in decision.made_by} == {decision.verdict}
    assert all(severity(step.verdict) <= severity(decision.verdict) for step in decision.steps)
    assert all(step.english and step.chinese for step in decision.steps)
    assert (decision.verdict == "refer") == (decision.review is not None)
    assert (decision.verdict == "approve") == (decision.limit is not None) == (decision.rate is not None)
    if decision.review:
        assert decision.review.why == tuple(step.rule for step in decision.made_by)
    assert decide(policy, case(p, mode, **loan)) == decision


@settings(max_examples=100, deadline=None)
@given(loans, probabilities)
def test_an_offer_is_within_every_bound_and_its_split_adds_up_exactly(loan: dict[str, Any], p: str) -> None:
    policy = sample()
    decision = decide(policy, case(p, **loan))
    product = policy.product(decision.product)
    if decision.quote:
        for price in (decision.quote.price, *decision.quote.others):
            assert sum((amount for _, amount in price.split), Decimal(0)) == price.expected_loss
            assert all(amount >= 0 for _, amount in price.split)
    if decision.offer:
        quote = decision.offer
        assert quote.bound in BOUNDS
        assert product.min_amount <= quote.limit <= min(loan["amount"], product.max_amount)
        assert quote.limit % product.unit == 0
        assert quote.price.total <= product.price.ceiling
        assert quote.price.rate >= product.price.floor
        if product.portfolio:
            assert quote.limit <= loan["headroom"]
        if product.tax_multiple is not None:
            assert quote.limit <= product.tax_multiple * loan["tax_paid"]
            assert quote.limit <= Fraction(str(product.turnover_share)) * loan["turnover"]
        codes = {quote.price.guarantee, *(price.guarantee for price in quote.others)}
        assert codes == set(product.guarantees)


@pytest.mark.parametrize("precision", [3, 9])
def test_the_callers_arithmetic_does_not_matter(precision: int) -> None:
    asked = case("0.0312345678", guarantee="policy_guarantee")
    before = decide(sample(), asked)
    with decimal.localcontext(decimal.Context(prec=precision, rounding=decimal.ROUND_UP)):
        assert decide(sample(), asked) == before


@pytest.mark.parametrize("mode", ["joint", "bank_only"])
def test_a_rate_above_the_ceiling_is_never_cut_to_fit(mode: str) -> None:
    decision = decide(sample(), case("0.0999", mode))
    assert decision.verdict == "refer"
    assert decision.rate is None
    assert decision.quote
    assert not decision.quote.price.is_within
    assert decision.quote.price.total > sample().product("tax_credit_loan").price.ceiling
    told = {step.rule: step for step in decision.steps}["price"]
    assert "above the ceiling" in told.english
    assert "Below it with: policy guarantee" in told.english
    assert "政策性担保（4321 风险分担）" in told.chinese
    declined = decide(edited(('over_ceiling = "refer"', 'over_ceiling = "decline"')), case("0.0999", mode))
    assert declined.verdict == "decline"
    assert [step.rule for step in declined.made_by] == ["price"]


def test_a_limit_that_is_too_small_does_not_spare_the_verdict_of_the_price() -> None:
    """Referred for one, declined for the other: the bank-only score has the smaller limit and must not fare better."""
    small = {"product": "park_limit", "amount": 12_500}
    joint, alone = (decide(sample(), case("0.08889", mode, **small)) for mode in ("joint", "bank_only"))
    assert (joint.verdict, alone.verdict) == ("decline", "decline")
    assert {step.rule: step.verdict for step in alone.steps}["limit"] == "refer"


def test_an_unknown_fact_is_no_good_news() -> None:
    for fact in ("listings", "listings_checked", "months_inactive", "months_trading", "sector", "turnover", "tax_paid"):
        assert decide(sample(), case(**{fact: None})).verdict == "refer", fact
    assert decide(sample(), case(product="park_limit", headroom=None)).verdict == "refer"


def test_a_band_that_the_policy_would_not_give_goes_to_a_person() -> None:
    told = case("0.012")
    p = Decimal("0.012")
    other = Case(as_of=DAY, mode="joint", default_probability=p, points=told.points, band="B", loan=told.loan)
    decision = decide(sample(), other)
    assert [step.rule for step in decision.made_by] == ["scale"]
    assert decision.verdict == "refer"


def test_outside_its_days_a_policy_decides_nothing() -> None:
    first, last = sample().in_force_from, sample().in_force_until
    assert last
    for day, verdict in (
        (first - timedelta(days=1), "refer"),
        (first, "approve"),
        (last, "approve"),
        (last + timedelta(days=1), "refer"),
    ):
        decision = decide(sample(), case(day=day, listings_checked=day))
        assert decision.verdict == verdict
        assert decision.verdict == "approve" or [s.rule for s in decision.made_by] == ["policy_in_force"]


def test_the_review_names_who_why_and_until_when() -> None:
    review = decide(sample(), case("0.15", amount=2_500_000)).review
    assert review
    assert (review.role, review.why, review.until) == ("credit_committee", ("band", "price"), DAY + timedelta(days=7))
    review = decide(sample(), case("0.15", amount=2_500_000, listings=None)).review
    assert review
    assert review.role == "compliance_officer"
    assert review.why == ("lists_checked", "band", "price")


def test_a_bank_only_score_meets_its_own_terms() -> None:
    joint, alone = (decide(sample(), case("0.012", mode)) for mode in ("joint", "bank_only"))
    assert (joint.limit, joint.rate) == (800_000, Decimal("0.0384"))
    assert (alone.limit, alone.rate) == (400_000, Decimal("0.0434"))
    joint, alone = (
        decide(sample(), case("0.06", mode, guarantee="policy_guarantee")) for mode in ("joint", "bank_only")
    )
    assert (joint.verdict, alone.verdict) == ("approve", "refer")
    assert [step.rule for step in alone.made_by] == ["band"]


def own_bands(*bands: tuple[str, str, str]) -> Policy:
    """The sample, with bands of its own for its first product."""
    told = "".join(
        f"""[[products.bands]]
name = "{name}"
below = {below}
joint = {{ {terms} }}
bank_only = {{ verdict = "decline" }}
"""
        for name, below, terms in bands
    )
    return edited(('over_ceiling = "refer"\n', f'over_ceiling = "refer"\n{told}'))


def test_products_may_have_bands_and_least_points_of_their_own() -> None:
    points = edited(("min_months_trading = 24", "min_months_trading = 24\nmin_points = 695"))
    assert decide(points, case("0.012")).verdict == "approve"
    assert [s.rule for s in decide(points, case("0.03")).made_by] == ["least_points"]
    safe, rest = ("A", "0.02", 'verdict = "refer", share = 1, cap = 100_000'), ("B", "1", 'verdict = "decline"')
    own = own_bands(safe, rest)
    assert decide(own, case("0.012")).verdict == "refer"
    assert decide(own, case("0.03")).verdict == "decline"
    assert decide(own, case("0.03", product="park_limit")).verdict == "approve"
    for wrong in ((safe,), (rest, safe), (safe, ("B", "1", 'verdict = "approve", share = 1, cap = 100_000'))):
        with pytest.raises(ConfigError, match="bands of tax_credit_loan"):
            own_bands(*wrong)


def test_a_case_without_sense_is_refused_without_repeating_it() -> None:
    good = case()
    for wrong in (
        {"default_probability": Decimal("1.5")},
        {"default_probability": Decimal("NaN")},
        {"points": Decimal("Infinity")},
        {"band": ""},
        {"mode": "guessed"},
        {"mode": "unscored"},
        {"as_of": date(9999, 12, 31)},
    ):
        told = {name: getattr(good, name) for name in good.__dataclass_fields__}
        with pytest.raises(ConfigError) as refused:
            Case(**told | wrong)
        assert refused.value.code == "case_unusable"
        assert "1.5" not in str(refused.value)
    with pytest.raises(ConfigError, match="does not know this product"):
        decide(sample(), case(product="never_heard_of"))
    assert "0.012" not in repr(good)
    assert "9000000" not in repr(good)
