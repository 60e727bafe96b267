"""Moments and days as imported files write them: as text in one form (ISO 8601); nothing else is taken for one."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AwareDatetime, BeforeValidator, Field

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:?\d{2})")


def _written(form: re.Pattern[str], said: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if isinstance(value, str | bytes | int | float) and not (isinstance(value, str) and form.fullmatch(value)):
            raise ValueError(said)
        return value

    return BeforeValidator(check)


#: YYYY-MM-DD.
Day = Annotated[date, Field(strict=False), _written(_DAY, "a day is written YYYY-MM-DD / 日期应写作 YYYY-MM-DD")]
#: With a time zone.
Moment = Annotated[
    AwareDatetime,
    Field(strict=False),
    _written(
        _MOMENT,
        "a moment is written YYYY-MM-DDTHH:MM:SS with a time zone / 时间应写作 YYYY-MM-DDTHH:MM:SS 并带时区",
    ),
]
