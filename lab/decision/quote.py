"""The last two rules, limit and price, and the quote that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from lab.decision.case import Case
from lab.decision.limit import BOUNDS, limit, unknown_facts
from lab.decision.policy import Policy
from lab.decision.price import Price, percent, price
from lab.decision.rules import band_of
from lab.decision.sections import Guarantee, Product, Terms
from lab.decision.verdicts import Step


@dataclass(frozen=True, slots=True)
class Quote:
    """What the loan would be; an offer if the decision is "approve", else where a reviewer begins.

    Attributes:
        limit: yuan.
        bound: what set it, of ``limit.BOUNDS``.
        price: under the guarantee that is asked for.
        others: under each other guarantee that the product takes, "none" among them.
    """

    limit: Decimal
    bound: str
    price: Price
    others: tuple[Price, ...]


def quoted(policy: Policy, product: Product, case: Case, probability: Decimal) -> tuple[list[Step], Quote | None]:
    """What the rules ``limit`` and ``price`` say, and the quote; none if the band is declined, or the limit unknown or
    too small.

    Args:
        probability: the case's.
    """
    band = band_of(policy, product, probability)
    terms = band.joint if case.mode == "joint" else band.bank_only
    guarantee = policy.guarantee(case.loan.guarantee)
    unknown = unknown_facts(product, case.loan)
    if terms.verdict == "decline" or guarantee is None or guarantee.code not in product.guarantees:
        return [], None
    if unknown:
        english, chinese = (", ".join(BOUNDS[u][k] for u in unknown) for k in (0, 1))
        said = f"The limit depends on what is not known: {english}.", f"缺少计算额度所需的信息：{chinese}。"
        return [Step("limit", product.unknown, *said)], None
    amount, bound = limit(product, terms, guarantee, case.loan)
    quote = _priced(policy, product, terms, guarantee, probability, amount, bound)
    # The price is asked for even where the limit is too small: else a smaller limit could spare someone its verdict.
    steps = [_limit_step(product, amount, bound), _price_step(policy, product, quote)]
    return steps, quote if amount >= product.min_amount else None


def _priced(
    policy: Policy,
    product: Product,
    terms: Terms,
    guarantee: Guarantee,
    probability: Decimal,
    amount: Decimal,
    bound: str,
) -> Quote:
    def under(chosen: Guarantee) -> Price:
        return price(product.price, terms.margin, chosen, probability, amount)

    others = (policy.guarantee(code) for code in product.guarantees if code != guarantee.code)
    return Quote(amount, bound, under(guarantee), tuple(under(other) for other in others if other))


def _limit_step(product: Product, amount: Decimal, bound: str) -> Step:
    english, chinese = BOUNDS[bound]
    if amount >= product.min_amount:
        return Step(
            "limit", "approve", f"Limit {amount:,f} yuan, set by {english}.", f"额度 {amount:,f} 元，取决于{chinese}。"
        )
    return Step(
        "limit",
        product.too_small,
        f"The limit, set by {english}, would be under the product's {product.min_amount:,} yuan.",
        f"可获额度取决于{chinese}，低于产品最低金额 {product.min_amount:,} 元。",
    )


def _price_step(policy: Policy, product: Product, quote: Quote) -> Step:
    found = quote.price
    rate, ceiling, total = percent(found.rate), percent(product.price.ceiling), percent(found.total)
    if found.is_within:
        fee, fee_zh = (f", {total} with the guarantee's fee", f"，含担保费合计 {total}") if found.fee else ("", "")
        return Step(
            "price",
            "approve",
            f"Rate {rate} a year{fee}; the ceiling is {ceiling}.",
            f"年利率 {rate}{fee_zh}；上限为 {ceiling}。",
        )
    ways = [g for g in (policy.guarantee(price.guarantee) for price in quote.others if price.is_within) if g]
    way, way_zh = (
        (f" Below it with: {'; '.join(g.english for g in ways)}.", f"改用以下担保方式则不超上限：{_listed(ways)}。")
        if ways
        else ("", "")
    )
    return Step(
        "price",
        product.price.over_ceiling,
        f"The risk needs {total} a year, above the ceiling of {ceiling}; the rate is not cut to fit.{way}",
        f"按风险定价需年化 {total}，高于上限 {ceiling}；不会压低利率放款。{way_zh}",
    )


def _listed(guarantees: Sequence[Guarantee]) -> str:
    return "、".join(guarantee.chinese for guarantee in guarantees)
