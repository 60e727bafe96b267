"""The loan that is asked for, as the bank's loan system describes it in a request."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Final

from pydantic import BeforeValidator, ConfigDict, Field

from lab.given import Given, whole
from lab.governance.days import Day

MOST_YUAN: Final = 10**12
MOST_MONTHS: Final = 1200

_Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
#: The bounds stand first, so that the JSON schema has them.
_Yuan = Annotated[int, Field(ge=0, le=MOST_YUAN), BeforeValidator(whole)]
_Months = Annotated[int, Field(ge=0, le=MOST_MONTHS), BeforeValidator(whole)]


class Listing(Given):
    """An entry of the applicant on a list, such as that of seriously dishonest enterprises.

    Attributes:
        code: of the list, as the policy names it.
        removed: first day on which it stands there no more; None: it does.
        disputed: whether the applicant disputes it.
    """

    model_config = ConfigDict(frozen=True)

    code: _Code
    listed: Day
    removed: Day | None = None
    disputed: bool = False

    @property
    def is_contradictory(self) -> bool:
        """Whether it was removed before it was made: nobody can tell whether it stands."""
        return self.removed is not None and self.removed < self.listed

    def counts(self, day: date) -> bool:
        """Whether it stands on the list on that day."""
        return self.listed <= day and not (self.removed and self.removed <= day)


class Loan(Given):
    """Amounts are whole yuan. What is left out is unknown, which no rule takes for good news.

    Attributes:
        guarantee: as the policy names it; "none": unsecured.
        listings: found on any list; None: nobody has looked.
        listings_checked: day on which somebody looked.
        turnover, tax_paid: of the last twelve months.
        months_trading: since it began.
        months_inactive: since the last sign of business (a tax return, social insurance paid, electricity used).
        sector: as the policy names sectors.
        headroom: what is left under the cap of the portfolio, park or village that it belongs to.
    """

    model_config = ConfigDict(frozen=True)

    product: _Code
    amount: Annotated[int, Field(ge=1, le=MOST_YUAN), BeforeValidator(whole)]
    term_months: Annotated[int, Field(ge=1, le=MOST_MONTHS), BeforeValidator(whole)]
    guarantee: _Code = "none"
    listings: Annotated[list[Listing], Field(max_length=100)] | None = None
    listings_checked: Day | None = None
    turnover: _Yuan | None = None
    tax_paid: _Yuan | None = None
    months_trading: _Months | None = None
    months_inactive: _Months | None = None
    sector: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    headroom: _Yuan | None = None
