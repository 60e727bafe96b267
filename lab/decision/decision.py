"""From a policy and a case to a decision: pure, the same for the same two, and never without a rule that made it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation, localcontext
from typing import Any, Final

from lab.decision.case import Case, Mode
from lab.decision.policy import Policy
from lab.decision.quote import Quote, quoted
from lab.decision.rules import asked
from lab.decision.verdicts import Step, Verdict, strictest

#: Whatever the caller's own context is.
_ARITHMETIC: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])


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
            more, quote = quoted(policy, product, case, case.default_probability)
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


def _review(policy: Policy, case: Case, steps: list[Step]) -> Review:
    why = tuple(step.rule for step in steps if step.verdict == "refer")
    route = next(
        r for r in policy.routes if case.loan.amount >= r.min_amount and (not r.rules or set(r.rules) & set(why))
    )
    return Review(route.role, route.english, route.chinese, why, case.as_of + timedelta(days=route.days))


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(inner) for inner in value]
    return f"{value:f}" if isinstance(value, Decimal) else value.isoformat() if isinstance(value, date) else value
