"""A policy tested before use: its own examples, what none of them covers, and where its bands and prices disagree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from lab.decision.case import MODES
from lab.decision.decision import Decision, decide
from lab.decision.policy import Policy
from lab.decision.price import percent
from lab.decision.sections import Band, Guarantee, Product
from lab.decision.situation import Expected

_PLACES: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Finding:
    """Attributes:
    is_fault: whether the policy must not be used; else something to know.
    """

    code: str
    is_fault: bool
    english: str
    chinese: str


def examine(policy: Policy, earlier: Policy | None = None) -> list[Finding]:
    """Faults first. That bands leave no gap, do not overlap, and never favour the riskier or the bank-only score, is
    checked when a policy is read.

    Args:
        earlier: another version, whose examples are tried on this one as well.
    """
    decided = [(example, decide(policy, example.case())) for example in policy.examples]
    found: list[Finding] = []
    for example, decision in decided:
        found += _differences(example.name, example.expect, decision)
    found += _against(policy, earlier) if earlier else []
    found += _never_priced(policy)
    found += _uncovered(policy, [(example.loan.product, example.band, decision) for example, decision in decided])
    return found


def _against(policy: Policy, earlier: Policy) -> Iterator[Finding]:
    """Whether it is a version of its own, and whose decision changes."""
    if policy.digest != earlier.digest and (policy.name, policy.version) == (earlier.name, earlier.version):
        yield Finding(
            "same_version",
            True,
            f"It says other things than the earlier policy under the same version {policy.version}. Give it a new one.",
            f"内容与先前策略不同，版本号却同为 {policy.version}，请更改版本号。",
        )
    always = policy.model_copy(update={"in_force_from": date.min, "in_force_until": None})
    known = {product.code for product in policy.products}
    for example in earlier.examples:
        if example.loan.product not in known:
            yield Finding(
                "product_gone",
                False,
                f"The product {example.loan.product} is no longer there.",
                f"产品 {example.loan.product} 已不存在。",
            )
            continue
        before, after = (_outcome(decide(version, example.case())) for version in (earlier, always))
        if before != after:
            yield Finding(
                "decided_otherwise",
                False,
                f"Example '{example.name}' of {earlier.version} changes: {before} → {after}.",
                f"{earlier.version} 的示例“{example.name}”结果变化：{before} → {after}。",
            )


def _outcome(decision: Decision) -> str:
    if decision.limit is None or decision.rate is None:
        return decision.verdict
    return f"{decision.verdict}, {decision.limit:,f}, {percent(decision.rate)}"


def _differences(name: str, expect: Expected, decision: Decision) -> Iterator[Finding]:
    got: dict[str, Any] = {
        "verdict": decision.verdict,
        "rules": [step.rule for step in decision.made_by],
        "limit": decision.limit,
        "rate": decision.rate,
        "role": decision.review.role if decision.review else None,
    }
    for field, wanted in expect.model_dump(exclude_none=True).items():
        if got[field] != wanted:
            yield Finding(
                "example_differs",
                True,
                f"Example '{name}': {field} is {_shown(got[field])}, expected {_shown(wanted)}.",
                f"示例“{name}”：{field} 为 {_shown(got[field])}，预期 {_shown(wanted)}。",
            )


def _never_priced(policy: Policy) -> Iterator[Finding]:
    """Where a band is approved and the ceiling forbids the price."""
    for product in policy.products:
        begins = Decimal(0)
        for band in policy.bands_of(product):
            for code in product.guarantees:
                guarantee = policy.guarantee(code)
                for mode in ("joint", "bank_only"):
                    if guarantee and getattr(band, mode).verdict == "approve":
                        yield from _over_ceiling(product, band, guarantee, mode, begins)
            begins = band.below


def _over_ceiling(product: Product, band: Band, guarantee: Guarantee, mode: str, begins: Decimal) -> Iterator[Finding]:
    pricing, margin = product.price, getattr(band, mode).margin
    room = pricing.ceiling - guarantee.fee - pricing.funding - pricing.operating - pricing.profit - margin
    per_probability = pricing.loss_given_default * guarantee.shares.bank * 12 / pricing.horizon_months
    if room < 0 or pricing.floor + guarantee.fee > pricing.ceiling:
        highest = Decimal(0)
    elif room >= per_probability * band.below:
        return
    else:
        highest = (room / per_probability).quantize(_PLACES, ROUND_FLOOR)
    where = f"{product.code}, {guarantee.code}, {mode}, {band.name}"
    if highest <= begins:
        yield Finding(
            "never_priced",
            False,
            f"{where}: the rate that is needed is always above the ceiling; nobody of this band is offered a loan.",
            f"{where}：所需利率始终高于上限，该等级无人可获得贷款。",
        )
    else:
        yield Finding(
            "partly_priced",
            False,
            f"{where}: above a default probability of {highest:f} the rate that is needed is over the ceiling.",
            f"{where}：违约概率超过 {highest:f} 时，所需利率高于上限。",
        )


def _uncovered(policy: Policy, seen: list[tuple[str, str, Decision]]) -> Iterator[Finding]:
    """What no example shows."""
    shown = {(band, decision.mode) for _, band, decision in seen}
    made = {step.rule for _, _, decision in seen for step in decision.steps if step.verdict != "approve"}
    missing = [
        *(f"{band.name} {mode}" for band in policy.bands for mode in MODES[:2] if (band.name, mode) not in shown),
        *(stop.code for stop in policy.stops if stop.code not in made),
        *(p.code for p in policy.products if p.code not in {product for product, _, _ in seen}),
        *(r.role for r in policy.routes if r.role not in {d.review.role for _, _, d in seen if d.review}),
    ]
    if missing:
        listed = ", ".join(missing)
        yield Finding("not_shown", False, f"No example shows: {listed}.", f"尚无示例覆盖：{listed}。")


def _shown(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else str(value)
