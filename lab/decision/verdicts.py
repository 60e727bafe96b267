"""The three verdicts, the rules that may give them in the order in which they are asked, and what a rule says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Verdict = Literal["approve", "refer", "decline"]
Adverse = Literal["refer", "decline"]
#: Mildest first.
VERDICTS: Final[tuple[Verdict, ...]] = ("approve", "refer", "decline")
VERDICTS_ZH: Final[dict[Verdict, str]] = {"approve": "通过", "refer": "转人工审核", "decline": "不予通过"}

#: Rule → English and Chinese. The lists of a policy's hard stops are asked after ``lists_checked``, each under its own
#: name.
RULES: Final[dict[str, tuple[str, str]]] = {
    "policy_in_force": ("Policy in force", "策略有效期"),
    "lists_checked": ("Lists looked at", "名单核查"),
    "list_unknown": ("Listings that cannot be judged", "无法判断的列入记录"),
    "dormant": ("Dormant enterprise", "僵尸企业"),
    "loan_amount": ("Amount requested", "申请金额"),
    "loan_term": ("Term requested", "申请期限"),
    "guarantee": ("Guarantee", "担保方式"),
    "months_trading": ("Time in business", "经营时间"),
    "sector": ("Sector", "行业"),
    "least_points": ("Least points", "最低分数"),
    "scored": ("Scored", "评分"),
    "scale": ("Band and probability agree", "等级与违约概率一致"),
    "band": ("Band", "等级"),
    "limit": ("Limit", "额度"),
    "price": ("Price", "利率"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """What one rule says of one case, in words for the applicant.

    Attributes:
        rule: of ``RULES``, or the name of a list of hard stops.
        verdict: the best the case can still get; "approve": the rule has nothing against it.
    """

    rule: str
    verdict: Verdict
    english: str
    chinese: str


def severity(verdict: Verdict) -> int:
    """0 (approve) to 2 (decline)."""
    return VERDICTS.index(verdict)


def strictest(steps: Iterable[Step]) -> Verdict:
    """The verdict of all rules together; of none: approve."""
    return max((step.verdict for step in steps), key=severity, default="approve")
