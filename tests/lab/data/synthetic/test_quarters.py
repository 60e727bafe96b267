"""The calendar agrees with pandas'."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lab.data.synthetic import quarters
from lab.data.synthetic.quarters import SNAPSHOT, STARTS, add_months, as_number, last_filed, quarter_of

DAYS = np.arange("2018-01-01", "2026-07-01", dtype="datetime64[D]")


def test_quarters_are_those_of_pandas() -> None:
    periods = pd.PeriodIndex(DAYS, freq="Q")
    assert [quarters.names_of_quarters()[k] for k in quarter_of(DAYS)] == periods.astype(str).tolist()
    assert STARTS[-1] == SNAPSHOT + 1


def test_months_are_added_as_pandas_does() -> None:
    for months in (1, 3, 12, 13, 36):
        expected = pd.DatetimeIndex(DAYS) + pd.DateOffset(months=months)
        assert (add_months(DAYS, months) == expected.to_numpy().astype("datetime64[D]")).all()


def test_a_day_as_a_number() -> None:
    assert as_number(DAYS).tolist() == pd.DatetimeIndex(DAYS).strftime("%Y%m%d").astype(int).tolist()


def test_a_quarter_is_known_only_after_its_declaration() -> None:
    assert last_filed(np.array(["2024-07-20", "2024-07-21"], dtype="datetime64[D]")).tolist() == [24, 25]
    assert quarters.names_of_quarters()[25] == "2024Q2"


def test_random_days_lie_in_their_quarter() -> None:
    asked = np.repeat(np.arange(quarters.N_QUARTERS), 200)
    days = quarters.day_in(asked, np.random.default_rng(0))
    assert (quarter_of(days) == asked).all()
    assert len(np.unique(days)) > 2500
