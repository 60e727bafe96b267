"""One case to decide: what the model said of the applicant, and the loan that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Literal

from lab.decision.loan import Loan
from lab.errors import ConfigError

Mode = Literal["joint", "bank_only", "unscored"]
MODES: Final[tuple[Mode, ...]] = ("joint", "bank_only", "unscored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Attributes:
    as_of: day of the decision, as calendars in China have it.
    mode: which model scored: that of all parties, the bank's own, or none.
    default_probability: calibrated, in [0, 1]; None if and only if unscored.
    points: higher is safer; None if and only if unscored.
    band: as the service names it; empty if unscored.

    Raises:
        ConfigError: ``case_unusable``; no value is repeated.
    """

    as_of: date
    mode: Mode
    default_probability: Decimal | None = field(default=None, repr=False)
    points: Decimal | None = field(default=None, repr=False)
    band: str = field(default="", repr=False)
    loan: Loan

    def __post_init__(self) -> None:
        scored = (self.default_probability is not None, self.points is not None, bool(self.band))
        if self.mode not in MODES or scored != (self.mode != "unscored",) * 3:
            raise _unusable("a score goes with joint and bank_only", "joint 与 bank_only 须有评分，unscored 不得有")
        if not 1990 <= self.as_of.year < 3000:
            raise _unusable("its day is no day of our time", "日期超出合理范围")
        p = self.default_probability
        if p is not None and not (p.is_finite() and 0 <= p <= 1):
            raise _unusable("the default probability is not in [0, 1]", "违约概率不在 [0, 1] 内")
        if self.points is not None and not self.points.is_finite():
            raise _unusable("the points are not finite", "分数不是有限数值")


def _unusable(english: str, chinese: str) -> ConfigError:
    return ConfigError(
        "case_unusable", f"This case cannot be decided: {english}.", f"无法对该申请作出决策：{chinese}。"
    )
