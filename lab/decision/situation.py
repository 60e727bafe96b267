"""A case in a file, with or without the decision that a policy's authors want for it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from lab.decision.case import Case, Mode
from lab.decision.loan import Loan
from lab.decision.sections import Code, Exact, Points, Section, Share, Text, Yuan
from lab.decision.verdicts import Verdict
from lab.errors import ConfigError
from lab.governance.days import Day


class Expected(Section):
    """What an example must come to; ``rules``: those that made the verdict."""

    verdict: Verdict
    rules: list[Code] | None = None
    limit: Yuan | None = None
    rate: Share | None = None
    role: Code | None = None


class Situation(Section):
    """A case in a file: what a service knows when it decides."""

    as_of: Day
    mode: Mode
    default_probability: Annotated[Exact, Field(ge=0, le=1, decimal_places=30)] | None = None
    points: Points | None = None
    band: str = ""
    loan: Loan

    def case(self) -> Case:
        return Case(
            as_of=self.as_of,
            mode=self.mode,
            default_probability=self.default_probability,
            points=self.points,
            band=self.band,
            loan=self.loan,
        )

    @model_validator(mode="after")
    def _is_case(self) -> Self:
        try:
            self.case()
        except ConfigError as error:
            raise ValueError(f"{error.english} / {error.chinese}") from None
        return self


class Example(Situation):
    """A case with the decision that the policy's authors want."""

    name: Text
    expect: Expected
