"""From a score the service gave, and the loan asked for with it, to what its answer says of the decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Literal

from pydantic import BaseModel

from lab.decision.case import Case
from lab.decision.decision import Decision, Review, decide
from lab.decision.loan import Loan
from lab.decision.policy import Policy
from lab.decision.verdicts import Verdict
from lab.errors import ConfigError
from lab.governance.audit_kinds import REFERENCES
from lab.governance.policy import CHINA
from lab.serving.answers import Answer
from lab.serving.problems import RequestError

#: As the service tells it; ``refer``: nobody scored.
ScoredBy = Literal["joint", "bank_only", "refer"]


class DecisionRule(BaseModel):
    """A rule that made the decision, in words for the applicant."""

    rule: str
    text: str
    text_zh: str


class ReviewRoute(BaseModel):
    """Who of the bank decides what was referred, because of which rules, until which day."""

    role: str
    text: str
    text_zh: str
    why: list[str]
    until: date


class DecisionAnswer(BaseModel):
    """What the service's answer says of the decision.

    Attributes:
        limit: yuan; null: nothing is offered.
        rate, guarantee_fee: per year, such as 0.0435.
        review: if and only if the decision is "refer".
    """

    decision: Verdict
    policy: str
    policy_version: str
    policy_digest: str
    policy_is_sample: bool
    decided_by: list[DecisionRule]
    limit: int | None
    rate: float | None
    guarantee_fee: float | None
    review: ReviewRoute | None

    def on_record(self) -> dict[str, Any]:
        """What the bank's audit log says of it: verdict, the rules that made it, and by which policy; no amount."""
        return {
            "decision": self.decision,
            "decided_by": list(dict.fromkeys(rule.rule for rule in self.decided_by)),
            "decision_policy": self.policy_digest,
            "policy_version": self.policy_version,
        }


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides in a service: pure, takes well under a millisecond, safe to use from several threads.

    Raises:
        ConfigError: ``policy_version``: it could not stand in an audit log, so nothing that it decides could be told.
    """

    policy: Policy

    def __post_init__(self) -> None:
        if not REFERENCES["policy_version"](self.policy.version):
            raise ConfigError(
                "policy_version",
                "The policy's version looks like the number of a person, an enterprise or a telephone, and cannot "
                "stand in the audit log. Give it another.",
                "策略版本形似证件号、统一社会信用代码或电话号码，不能写入审计日志，请更换。",
            )

    def check(self, loan: Loan) -> None:
        """To be called before anybody is asked for a score. Raises ``RequestError`` (422, ``unknown_product``)."""
        try:
            self.policy.product(loan.product)
        except ConfigError as error:
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, error.code, error.english, error.chinese, fields=["loan.product"]
            ) from None

    def __call__(self, answer: Answer | None, mode: ScoredBy, loan: Loan, at: datetime) -> Decision:
        """The decision of the day that ``at`` (with a time zone) is in China.

        Args:
            answer: calibrated; None if nobody scored, whatever ``mode`` says.

        Raises:
            RequestError: as ``check``.
        """
        self.check(loan)
        return decide(self.policy, case_of(answer, mode, loan, at))


def decider(policy: Policy) -> Decider:
    """What decides by this policy."""
    return Decider(policy)


def case_of(answer: Answer | None, mode: ScoredBy, loan: Loan, at: datetime) -> Case:
    """The case, with numbers as they are written in the answer."""
    day = at.astimezone(CHINA).date()
    if answer is None or mode == "refer":
        return Case(as_of=day, mode="unscored", loan=loan)
    return Case(
        as_of=day,
        mode=mode,
        default_probability=Decimal(repr(float(answer.default_probability))),
        points=Decimal(repr(answer.points)),
        band=answer.band,
        loan=loan,
    )


def decision_answer(decision: Decision) -> DecisionAnswer:
    """For the service's answer."""
    offer, review = decision.offer, decision.review
    return DecisionAnswer(
        decision=decision.verdict,
        policy=decision.policy,
        policy_version=decision.policy_version,
        policy_digest=decision.policy_digest,
        policy_is_sample=decision.is_sample,
        decided_by=[DecisionRule(rule=s.rule, text=s.english, text_zh=s.chinese) for s in decision.made_by],
        limit=int(offer.limit) if offer else None,
        rate=float(offer.price.rate) if offer else None,
        guarantee_fee=float(offer.price.fee) if offer else None,
        review=_route(review) if review else None,
    )


def _route(review: Review) -> ReviewRoute:
    return ReviewRoute(
        role=review.role, text=review.english, text_zh=review.chinese, why=list(review.why), until=review.until
    )
