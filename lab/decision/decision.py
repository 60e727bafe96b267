"""From a policy and a case to a decision: pure, the same for the same two, and never without a rule that made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Any, Final

from lab.decision.case import Case, Mode
from lab.decision.limit import BOUNDS, limit, unknown_facts
from lab.decision.policy import Policy
from lab.decision.price import Price, price
from lab.decision.rules import asked, band_of
from lab.decision.sections import Guarantee, Product, Terms
from lab.decision.verdicts import Step, Verdict, strictest

#: Whatever the caller's own context is.
_ARITHMETIC: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


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


@dataclass(frozen=True, slots=True)
class Review:
    """Who of the bank decides what was referred.

    Attributes:
        why: the rules that referred it.
        until: last day.
    """

    role: str
    english: str
    chinese: str
    why: tuple[str, ...]
    until: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Attributes:
    steps: what each rule said, in the order in which they were asked.
    quote: None if the verdict is "decline", or if there was nothing to compute it from.
    review: if and only if the verdict is "refer".
    policy, policy_version, policy_digest: what was decided by.
    is_sample: whether that is a sample, no bank's own policy.
    """

    verdict: Verdict
    steps: tuple[Step, ...]
    quote: Quote | None
    review: Review | None
    mode: Mode
    product: str
    as_of: date
    policy: str
    policy_version: str
    policy_digest: str
    is_sample: bool

    @property
    def made_by(self) -> tuple[Step, ...]:
        """The steps that made the verdict: of an approval the band, the limit and the price."""
        if self.verdict == "approve":
            return tuple(step for step in self.steps if step.rule in ("band", "limit", "price"))
        return tuple(step for step in self.steps if step.verdict == self.verdict)

    @property
    def offer(self) -> Quote | None:
        """The quote, if it is one that the applicant may have."""
        return self.quote if self.verdict == "approve" else None

    @property
    def limit(self) -> Decimal | None:
        """Yuan; None: nothing is offered."""
        return self.offer.limit if self.offer else None

    @property
    def rate(self) -> Decimal | None:
        """Per year, without the guarantee's fee; None: nothing is offered."""
        return self.offer.price.rate if self.offer else None

    def to_json(self) -> dict[str, Any]:
        """For machines; money and rates as text."""
        told: dict[str, Any] = _as_json(asdict(self))
        return told | {"made_by": [step.rule for step in self.made_by]}


def decide(policy: Policy, case: Case) -> Decision:
    """What ``policy`` says of ``case``.

    Raises:
        ConfigError: ``unknown_product``.
    """
    product = policy.product(case.loan.product)
    with localcontext(_ARITHMETIC):
        steps = list(asked(policy, product, case))
        quote = None
        if strictest(steps) != "decline" and case.default_probability is not None:
            more, quote = _quote(policy, product, case, case.default_probability)
            steps += more
    verdict = strictest(steps)
    return Decision(
        verdict=verdict,
        steps=tuple(steps),
        quote=None if verdict == "decline" else quote,
        review=_review(policy, case, steps) if verdict == "refer" else None,
        mode=case.mode,
        product=product.code,
        as_of=case.as_of,
        policy=policy.name,
        policy_version=policy.version,
        policy_digest=policy.digest,
        is_sample=policy.sample,
    )


def _quote(policy: Policy, product: Product, case: Case, probability: Decimal) -> tuple[list[Step], Quote | None]:
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


def _review(policy: Policy, case: Case, steps: list[Step]) -> Review:
    why = tuple(step.rule for step in steps if step.verdict == "refer")
    route = next(
        r for r in policy.routes if case.loan.amount >= r.min_amount and (not r.rules or set(r.rules) & set(why))
    )
    return Review(route.role, route.english, route.chinese, why, case.as_of + timedelta(days=route.days))


def percent(share: Decimal) -> str:
    """0.0435 → ``4.35%``."""
    return f"{(share * 100).quantize(Decimal('0.01')):f}%"


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    return f"{value:f}" if isinstance(value, Decimal) else value.isoformat() if isinstance(value, date) else value
