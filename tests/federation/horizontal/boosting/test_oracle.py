"""The outside oracle: LightGBM on all rows pooled, over the same bins, grows the same trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from federation.horizontal.boosting.coordinator import OWNER
from models.boosting.parameters import BoostingParameters
from models.boosting.reasons import contributions
from models.losses import Floats
from models.table import Table
from tests.builders import Problem, fit_aligned
from tests.federation.horizontal.boosting.cities import DEFAULTS, PARAMETERS, Trial, shares
from tests.federation.vertical.test_oracle import as_table, lightgbm_margin

PENALISED = BoostingParameters(**(DEFAULTS | {"reg_lambda": 1.0, "max_depth": 2}))


def agree(table: Table, label: Floats, n_sites: int, p: BoostingParameters = PARAMETERS) -> None:
    """Equal to LightGBM to rounding, and to our own engine on all rows to the last bit; sites know their margins."""
    trial = Trial(table, label, shares(len(table), n_sites), p)
    grown = trial.fit()
    margin = trial.margin(grown)
    assert np.ptp(margin) > 0.3
    np.testing.assert_allclose(margin, lightgbm_margin(table, label, p), atol=1e-6, rtol=0)
    pooled = fit_aligned([table], label, len(label), p)
    assert pooled.margin.tobytes() == margin.tobytes()
    for site, rows in zip(trial.sites.values(), trial.parts, strict=True):
        assert site.boosting.state.margin.tobytes() == margin[rows].tobytes()
    assert grown.contributors == (trial.names,) * p.n_estimators


@pytest.mark.parametrize("n_sites", [3, 8])
def test_synthetic_rows_with_missing_values_and_levels(problem: Problem, n_sites: int) -> None:
    agree(problem.whole, problem.label, n_sites)


@pytest.mark.parametrize(
    "changes",
    [
        {"reg_lambda": 1.0, "max_depth": 2},
        {"reg_lambda": 20.0, "max_depth": 1, "n_estimators": 10},
        {"min_child_weight": 5.0},
        {"learning_rate": 1.0, "n_estimators": 5},
        {"max_depth": 5},
        {"max_bin": 2},
    ],
    ids=str,
)
def test_parameters_mean_what_they_mean_in_lightgbm(problem: Problem, changes: dict[str, float]) -> None:
    agree(problem.whole, problem.label, 4, BoostingParameters(**(DEFAULTS | changes)))


@pytest.mark.parametrize("parameters", [PARAMETERS, PENALISED], ids=["deep", "penalised"])
def test_credit_data(shared_data: Path, parameters: BoostingParameters) -> None:
    frame = pd.read_csv(shared_data / "credit_data.csv.gz").sample(frac=1, random_state=0)
    label = (frame.pop("Status") == "bad").to_numpy(dtype=np.float64)
    agree(as_table(frame), label, 5, parameters)


def test_a_score_is_explained_though_no_rows_are_counted(problem: Problem) -> None:
    """Parts of all features and the average add up to the margin; the average is about that over all rows."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    grown = trial.fit()
    margin = trial.margin(grown)
    found = contributions(grown.model, {OWNER: grown.model.own.routes(problem.whole)}, len(problem.whole))
    np.testing.assert_allclose(found.values.sum(axis=1) + found.average, margin, atol=1e-9)
    assert abs(found.average - margin.mean()) < 0.1
    assert {tree[0].n_rows for tree in grown.model.trees} <= set(range(990, 1011))
