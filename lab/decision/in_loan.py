"""What records do to a limit that was granted: it shrinks year by year while one counts, and comes back when none does.

Nothing is remembered between reviews: each starts from the limit as granted, so a repair undoes all of it at once
(NDRC Order 36, in force since 2026-04-01: what was assessed with a record that is repaired is to be assessed again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from lab.decision.policy import Policy
from lab.decision.sections import Code, Section, Yuan
from lab.governance.days import Day
from lab.governance.record_states import USABLE, Severity, State


class Standing(Section):
    """A record of the applicant on the day of review.

    Attributes:
        state: as ``RecordBook.state`` says; only ``USABLE`` ones count.
        published: first day on which it counted.
    """

    severity: Severity
    state: State
    published: Day


class RunningLoan(Section):
    """A loan to review, as in a file.

    Attributes:
        granted: the limit as it was granted, yuan.
    """

    as_of: Day
    product: Code
    granted: Yuan
    records: Annotated[list[Standing], Field(max_length=1000)]


@dataclass(frozen=True, slots=True)
class LimitReview:
    """Attributes:
    limit: yuan, from this day on.
    share: of the limit that was granted, in [0, 1].
    counted: how many records count.
    """

    limit: Decimal
    share: Decimal
    counted: int
    english: str
    chinese: str


def review_limit(
    policy: Policy, product: str, granted: Decimal, records: Sequence[Standing], as_of: date
) -> LimitReview:
    """The limit of a loan that runs, from its limit as granted (yuan) and the records as they stand.

    Raises:
        ConfigError: ``unknown_product``.
    """
    unit = policy.product(product).unit
    years = {rule.severity: rule.years for rule in policy.in_loan}
    left = [
        years[record.severity][min(_years(record.published, as_of), len(years[record.severity]) - 1)]
        for record in records
        if record.state in USABLE and record.published <= as_of and record.severity in years
    ]
    share = min(left, default=Decimal(1))
    if not left:
        said = (
            "No record counts on this day: the limit is as it was granted.",
            "当日无有效失信记录，额度按授信时执行。",
        )
        return LimitReview(granted, share, 0, *said)
    english = f"{len(left)} records count on this day: {share * 100:f}% of the limit that was granted is left."
    chinese = f"当日有 {len(left)} 条有效失信记录，额度为授信时的 {share * 100:f}%。"
    return LimitReview(granted * share // unit * unit, share, len(left), english, chinese)


def _years(since: date, day: date) -> int:
    """Full years from one day to another, not before it."""
    return day.year - since.year - ((day.month, day.day) < (since.month, since.day))
