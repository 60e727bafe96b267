"""Files of a few sites, and runs over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.federation.horizontal.averaging.cities import population
from tests.federation.horizontal.boosting.cities import shares

SITES = ("site:a", "site:b", "site:c", "site:d")
STANDARD = {"numbers": ["a", "b"], "levels": {"c": ["none", "own", "rent"]}}
TREES: dict[str, Any] = {"boosting": {"n_estimators": 3, "max_depth": 3}}
SCORECARD: dict[str, Any] = {"scorecard": {"min_information_value": 0.0}}
AVERAGE: dict[str, Any] = {"averaging": {"model": "LogisticRegression", "rounds": 3}}


def write_sites(folder: Path, n_rows: int = 1200, sites: tuple[str, ...] = SITES) -> None:
    """A file per site: the columns of the standard, one more, an id and a label."""
    table, label = population(n_rows)
    frame = pd.DataFrame({"id": [f"applicant-{k}" for k in table.ids], **table.columns, "bad": label.astype(int)})
    frame["postcode"] = np.arange(n_rows) % 7
    folder.mkdir(parents=True, exist_ok=True)
    for site, rows in zip(sites, shares(n_rows, len(sites), seed=3), strict=True):
        frame.iloc[rows].to_csv(folder / f"{site.removeprefix('site:')}.csv", index=False)


def run_file(transport: str = "memory", sites: tuple[str, ...] = SITES, **sections: Any) -> dict[str, Any]:
    """Content of a run's file."""
    own = [{"party": site, "data": f"{site.removeprefix('site:')}.csv", "label": "bad"} for site in sites]
    return {
        "run": {"name": "cities", "directory": f"runs/{transport}", "transport": transport},
        "horizontal": {},
        "standard": STANDARD,
        "sites": own,
        **sections,
    }
