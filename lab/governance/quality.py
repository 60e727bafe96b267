"""Whether a source is good enough to be used: reporting, compliance, timeliness (“双公示”三率), and its age."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.samples import check_parameter

Verdict = Literal["good", "flagged", "blocked"]


class SourceReport(BaseModel):
    """What a source delivered in a period, one JSON object per line.

    Attributes:
        source: as in the catalogue.
        due: records it had to report.
        reported, compliant, on_time: of them, those it did, those in the required form, those within the time allowed.
        newest: day of its newest record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    source: str = Field(min_length=1, max_length=100)
    due: int = Field(ge=1)
    reported: int = Field(ge=0)
    compliant: int = Field(ge=0)
    on_time: int = Field(ge=0)
    newest: Annotated[date, Field(strict=False)]

    @model_validator(mode="after")
    def _nested(self) -> Self:
        if not max(self.compliant, self.on_time) <= self.reported <= self.due:
            raise ValueError("compliant and on_time are part of reported, that of due / 合规与及时数不得多于上报数")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """Attributes:
        block_under: a source with a lower rate is not used, 0 to 1.
        flag_under: one with a lower rate is used and named; the national aim is 1.
        max_age_days: a source whose newest record is older is not used.

    Raises:
        ModelError: ``bad_parameter``.
    """

    block_under: float = 0.9
    flag_under: float = 1.0
    max_age_days: int = 366

    def __post_init__(self) -> None:
        check_parameter("flag_under", self.flag_under, 0.0, 1.0)
        check_parameter("block_under", self.block_under, 0.0, self.flag_under)
        check_parameter("max_age_days", self.max_age_days, 0, 100_000)


@dataclass(frozen=True, slots=True)
class SourceQuality:
    """One source, judged.

    Attributes:
        reporting, compliance, timeliness: of what was due, and of what was reported, in [0, 1].
        why: what is too low or too old, as codes: ``reporting``, ``compliance``, ``timeliness``, ``age``.
    """

    source: str
    reporting: float
    compliance: float
    timeliness: float
    age_days: int
    verdict: Verdict
    why: tuple[str, ...]


def judge(reports: Iterable[SourceReport], rules: QualityRules, today: date) -> tuple[SourceQuality, ...]:
    """A verdict on every source, in order."""
    return tuple(_judge(r, rules, today) for r in reports)


def _judge(r: SourceReport, rules: QualityRules, today: date) -> SourceQuality:
    rates = {
        "reporting": r.reported / r.due,
        "compliance": r.compliant / r.reported if r.reported else 0.0,
        "timeliness": r.on_time / r.reported if r.reported else 0.0,
    }
    age = (today - r.newest).days
    blocked = [name for name, rate in rates.items() if rate < rules.block_under]
    blocked += ["age"] * (age > rules.max_age_days)
    flagged = [name for name, rate in rates.items() if rate < rules.flag_under]
    verdict: Verdict = "blocked" if blocked else "flagged" if flagged else "good"
    return SourceQuality(r.source, **rates, age_days=age, verdict=verdict, why=tuple(blocked or flagged))
