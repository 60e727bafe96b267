"""What utilities hold: electricity, water and gas by quarter as an index of usual use, and arrears."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import AS_OF, Column, Rows, TableSpec
from lab.data.synthetic.quarters import N_QUARTERS, Dates, as_number, last_filed, names_of_quarters
from lab.data.synthetic.state import LETTERS, Enterprises, Values, chance, noise, season

QUARTERS: Final = TableSpec(
    "host:utility",
    "quarters",
    "水电气季度用量",
    (
        Column("quarter", "text", "", "A21", "authorised", "所属季度", "quarter read", names_of_quarters()),
        Column("electricity_index", "float", "index", "A21", "authorised", "用电指数", "100: usual for the enterprise"),
        Column("water_index", "float", "index", "A21", "authorised", "用水指数", "100: usual for the enterprise"),
        Column("gas_index", "float", "index", "A21", "authorised", "用气指数", "empty: not connected"),
        Column("arrears_days", "int", "days", "A21", "authorised", "欠费天数", "days a bill was late"),
    ),
)
FEATURES: Final = TableSpec(
    "host:utility",
    "features",
    "水电气特征",
    (
        AS_OF,
        Column("electricity_2q", "float", "index", "A21", "authorised", "近两季用电指数", "mean of two"),
        Column("electricity_growth_4q", "float", "", "A21", "authorised", "用电同比", "over the year before"),
        Column("water_2q", "float", "index", "A21", "authorised", "近两季用水指数", "mean of two"),
        Column("gas_2q", "float", "index", "A21", "authorised", "近两季用气指数", "empty: not connected"),
        Column("arrears_days_4q", "int", "days", "A21", "authorised", "近四季欠费天数", "sum over quarters read"),
    ),
)

#: Share of enterprises on the gas grid, by industry letter.
_GAS: Final = np.array([0.02, 0.45, 0.02, 0.03, 0.02, 0.85, 0.02, 0.03, 0.10, 0.10])


class Readings:
    """All quarters of one block, arrays of shape ``(N_QUARTERS, n)``; quarters before registration mean nothing."""

    def __init__(self, e: Enterprises, rng: np.random.Generator) -> None:
        shape = e.business.shape
        machines = np.where(e.industry == LETTERS.index("C"), 0.30, 0.16).astype(np.float32)
        use = np.float32(np.log(100)) + machines * e.business + season(e.industry) / 2
        self.electricity: Values = _tenths(use + noise(rng, shape, 0.20))
        self.water: Values = _tenths(use + noise(rng, shape, 0.30))
        gas = _tenths(use + noise(rng, shape, 0.22))
        self.gas: Values = np.where(rng.random(len(e)) < _GAS[e.industry], gas, np.float32(np.nan))
        likely = chance(-3.3 - 0.8 * e.business + 0.25 * e.burden)
        late = rng.random(shape, dtype=np.float32) < likely
        self.arrears = np.where(late, rng.integers(1, 61, shape, dtype=np.int16), 0).astype(np.int16)


def _tenths(logs: NDArray[Any]) -> Values:
    return np.asarray(np.round(np.exp(logs), 1), dtype=np.float32)


def quarter_rows(e: Enterprises, r: Readings) -> Rows:
    """One row per enterprise and quarter on the register."""
    known = e.known
    quarter, who = np.nonzero(known)
    columns: Rows = {
        "electricity_index": r.electricity,
        "water_index": r.water,
        "gas_index": r.gas,
        "arrears_days": r.arrears,
    }
    return {"subject": who, "quarter": quarter, **{name: values[known] for name, values in columns.items()}}


def utility_features(e: Enterprises, r: Readings, as_of: Dates, who: NDArray[Any]) -> Rows:
    """Features of the enterprises ``who``, each on its day of ``as_of`` (shape ``(n,)`` of the whole block)."""
    quarters = last_filed(as_of[who])[:, None] - np.arange(5)  # newest first
    seen = (quarters >= e.first_quarter[who][:, None]) & (quarters >= 0)
    at = (np.clip(quarters, 0, N_QUARTERS - 1), who[:, None])

    def history(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(seen, values[at].astype(np.float64), np.nan)

    electricity, water, gas, arrears = (history(v) for v in (r.electricity, r.water, r.gas, r.arrears))
    return {
        "subject": who,
        "as_of": as_number(as_of[who]),
        "electricity_2q": np.round(electricity[:, :2].mean(axis=1), 1),
        "electricity_growth_4q": np.round(electricity[:, 0] / electricity[:, 4] - 1, 4),
        "water_2q": np.round(water[:, :2].mean(axis=1), 1),
        "gas_2q": np.round(gas[:, :2].mean(axis=1), 1),
        "arrears_days_4q": np.where(seen[:, 0], np.nansum(arrears[:, :4], axis=1), np.nan),
    }
