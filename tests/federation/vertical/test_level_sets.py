"""Sets of levels: LightGBM's trees where a category has many levels, whoever holds it, and what a host refuses."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from tests.builders import Problem, fit_aligned, join_tables, texts
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

P = BoostingParameters(n_estimators=4, max_depth=4, min_child_samples=0, max_bin=16, reg_lambda=0.0)


def regions(n: int = 2500, seed: int = 0) -> tuple[Table, Floats]:
    """Two categories of 12 and 15 levels, all frequent, one with missing values, among numbers; half are outcomes."""
    rng = np.random.default_rng(seed)
    region, trade = rng.integers(0, 12, n), rng.choice(15, n, p=np.arange(4, 19) / 165)
    effect = rng.normal(size=(2, 15))
    x = rng.normal(size=(n, 3))
    x[rng.random(x.shape) < 0.05] = np.nan
    truth = effect[0, region] + effect[1, trade] + np.nan_to_num(x[:, 0]) - 0.5 * np.nan_to_num(x[:, 1])
    trades = texts(*(f"行业{k:02}" for k in trade))
    trades[rng.random(n) < 0.08] = None
    columns = {
        "amount": x[:, 0],
        "region": texts(*(f"R{k:02}" for k in region)),
        "tax": x[:, 1],
        "trade": trades,
        "bill": x[:, 2],
    }
    return Table(tuple(map(str, range(n))), columns), (truth + rng.logistic(size=n) > 0).astype(np.float64)
