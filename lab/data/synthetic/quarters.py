"""The population's calendar: quarters from 2018 on, a day on which the data end, and months counted as calendars do."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]
Ints = NDArray[np.int64]

FIRST_MONTH: Final = np.datetime64("2018-01", "M")
N_QUARTERS: Final = 34
#: The last day of the last quarter: nothing later is known to anyone.
SNAPSHOT: Final = np.datetime64("2026-06-30", "D")
#: Days after its end until a quarter's declarations and meter readings are with the node that holds them.
FILING_DAYS: Final = 20
#: First day of every quarter, and of the one after the last.
STARTS: Final[Dates] = (FIRST_MONTH + 3 * np.arange(N_QUARTERS + 1)).astype("datetime64[D]")
NEVER: Final = np.datetime64("NaT", "D")


def quarter_of(dates: Dates) -> Ints:
    """Number of the quarter a day lies in; below 0 before 2018."""
    return (dates.astype("datetime64[M]") - FIRST_MONTH).astype(np.int64) // 3


def last_filed(as_of: Dates) -> Ints:
    """The last quarter known on a day."""
    return quarter_of(as_of - FILING_DAYS) - 1


def day_in(quarter: NDArray[Any], rng: np.random.Generator) -> Dates:
    """A random day of each quarter."""
    length = (STARTS[quarter + 1] - STARTS[quarter]).astype(np.int64)
    days: Dates = STARTS[quarter] + rng.integers(0, length)
    return days


def add_months(dates: Dates, months: NDArray[Any] | int) -> Dates:
    """The same day of a later month, or its last day where that month is shorter."""
    month = dates.astype("datetime64[M]")
    day = dates - month.astype("datetime64[D]")
    later = month + np.asarray(months, dtype=np.int64)
    last = (later + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
    days: Dates = np.minimum(later.astype("datetime64[D]") + day, last)
    return days


def names_of_quarters() -> tuple[str, ...]:
    """``2018Q1`` and so on."""
    return tuple(f"{2018 + k // 4}Q{k % 4 + 1}" for k in range(N_QUARTERS))


def as_number(dates: Dates) -> Ints:
    """``20240701``: a day as the split of a run compares it."""
    months = dates.astype("datetime64[M]").astype(np.int64)
    day = (dates - dates.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1
    number: Ints = (1970 + months // 12) * 10_000 + (months % 12 + 1) * 100 + day
    return number
