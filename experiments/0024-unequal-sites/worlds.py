"""Unequal sites with the same columns: cities, districts and towns of a made-up delta, SBA by state and bank."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.estimators.frames import as_table
from models.losses import Floats
from models.table import Table

Rows = NDArray[np.intp]

#: Enterprises and default rate of each city of the made-up delta.
CITIES = ((50_000, 0.045), (25_000, 0.02), (10_000, 0.07), (5_000, 0.1))
#: Of 16 and of 77 sites, how many are in each city.
SHARED_OUT = {4: (1, 1, 1, 1), 16: (7, 5, 3, 1), 77: (40, 24, 11, 2)}
SYNTHETIC = ["amount", "term_months", "collateral_share", "overdue_days_12m", "credit.age_years", "credit.evaluation"]
SYNTHETIC += ["credit.size_class", "tax.sales_growth_4q", "tax.tax_to_sales_4q", "tax.profit_margin_4q"]
SYNTHETIC += ["tax.arrears_days_8q", "tax.taxpayer_grade", "guarantee.rating", "guarantee.group_claims"]
SBA = ["GrAppv", "share_guaranteed", "NoEmp", "RevLineCr", "LowDoc", "NewExist", "UrbanRural", "sector"]


@dataclass(frozen=True)
class World:
    """``site``: number of the site of each row; -1: of none."""

    name: str
    table: Table
    label: Floats
    site: Rows

    @property
    def parts(self) -> list[Rows]:
        return [np.flatnonzero(self.site == k) for k in range(self.site.max() + 1)]


@cache
def delta(shrink: int) -> pd.DataFrame:
    frames = []
    with tempfile.TemporaryDirectory() as folder:
        for k, (n, rate) in enumerate(CITIES):
            home = Path(folder) / str(k)
            write_population(home, Settings(n_enterprises=max(n // shrink, 400), seed=301 + k, default_rate=rate))
            frame = pd.read_parquet(home / "bank/synthetic-features.parquet").set_index("subject")
            for host in ("credit", "tax", "guarantee"):
                own = pd.read_parquet(home / f"host-{host}/synthetic-features.parquet").set_index("subject")
                frame = frame.join(own.drop(columns=["as_of", "synthetic"]).add_prefix(f"{host}."), how="inner")
            towns = pd.read_parquet(home / "host-credit/synthetic-enterprises.parquet").set_index("subject")
            frames.append(frame.join(towns[["district", "town"]]).assign(city=k))
    return pd.concat(frames).sort_values(["city", "town"]).reset_index(drop=True)


def synthetic(n_sites: int, shrink: int = 1) -> World:
    """Cities, districts or towns, those of one city put together until there are so many."""
    frame = delta(shrink)
    unit = frame["district"] if n_sites == 16 else frame["town"]
    site = np.full(len(frame), -1)
    first = 0
    for city, n in enumerate(SHARED_OUT[n_sites]):
        here = (frame["city"] == city).to_numpy()
        site[here] = first + pd.factorize(unit[here])[0] % n
        first += n
    kind = {4: "cities", 16: "districts", 77: "towns"}[n_sites]
    label = frame["default"].to_numpy(dtype=np.float64)
    return World(f"synthetic, {n_sites} {kind}", as_table(frame[SYNTHETIC], SYNTHETIC), label, site)


def sba(data: Path, column: str, n_sites: int, shrink: int = 1) -> World:
    """The states or banks with most loans."""
    frame = pd.read_csv(data / "sba_loans.csv.gz").dropna(subset=["MIS_Status"]).iloc[::shrink].reset_index(drop=True)
    frame = frame.assign(share_guaranteed=frame.SBA_Appv / frame.GrAppv, sector=frame.NAICS.astype(str).str[:2])
    largest = frame[column].value_counts().index[:n_sites]
    site = np.asarray(largest.get_indexer(frame[column]), dtype=np.intp)
    label = (frame.MIS_Status == "CHGOFF").to_numpy(dtype=np.float64)
    return World(f"SBA, {n_sites} {column.lower()}s", as_table(frame[SBA], SBA), label, site)


def split(world: World, seed: int) -> tuple[list[Rows], list[Rows], list[Rows]]:
    """Of each site three fifths to fit, a fifth to choose by, a fifth to judge by."""
    rng = np.random.default_rng(seed)
    found: tuple[list[Rows], list[Rows], list[Rows]] = ([], [], [])
    for rows in world.parts:
        shuffled = rng.permutation(rows)
        for part, of in zip(np.split(shuffled, [len(rows) * 3 // 5, len(rows) * 4 // 5]), found, strict=True):
            of.append(part)
    return found
