"""The outside oracle: LightGBM on the same codes grows the same trees, so that joint and pooled cannot err together.

LightGBM gives a feature up for all of a node's descendants once no cut of it gains anything in the node. Without an
L2 penalty every cut gains something and both search the same cuts; with one, ours may find better cuts deeper down. So
deep trees are compared without a penalty, and penalised ones where LightGBM has not given up a feature yet.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from models.binning import encode, fit_bins
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from tests.builders import Problem, fit_aligned, join_tables

DEFAULTS = {"n_estimators": 3, "max_depth": 4, "min_child_samples": 0, "max_bin": 16, "reg_lambda": 0.0}
PARAMETERS = BoostingParameters(**DEFAULTS)
PENALISED = BoostingParameters(**(DEFAULTS | {"reg_lambda": 1.0, "max_depth": 2}))


def lightgbm_margin(fit: Table, label: Floats, p: BoostingParameters) -> Floats:
    """Margins of the fitted rows by LightGBM, over our codes."""
    booster, codes = lightgbm_twin(fit, label, p)
    return booster.predict(codes, raw_score=True)


def lightgbm_twin(
    fit: Table, label: Floats, p: BoostingParameters, weight: Floats | None = None, **options: object
) -> tuple[lightgbm.Booster, Floats]:
    """LightGBM over our codes (missing numbers as NaN), and these codes, rows first."""
    bins = fit_bins(fit, p.max_bin)
    codes = encode(fit, bins).astype(float)
    for row, b in zip(codes, bins, strict=True):
        if not b.category:
            row[row == b.missing_code] = np.nan
    booster = lightgbm.train(
        {
            "objective": p.objective,
            "scale_pos_weight": p.scale_pos_weight,
            "tweedie_variance_power": p.tweedie_variance_power,
            "learning_rate": p.learning_rate,
            "max_depth": p.max_depth,
            "num_leaves": p.num_leaves or 2**p.max_depth,
            "lambda_l2": p.reg_lambda,
            "min_data_in_leaf": 0,
            "min_sum_hessian_in_leaf": p.min_child_weight,
            "min_data_in_bin": 1,
            "max_bin": 255,
            "max_cat_to_onehot": p.max_cat_to_onehot,
            "max_cat_threshold": p.max_cat_threshold,
            "cat_l2": p.cat_l2,
            "cat_smooth": p.cat_smooth,
            "min_data_per_group": p.min_data_per_group,
            "feature_pre_filter": False,
            "num_threads": 1,
            "verbose": -1,
            **options,
        },
        lightgbm.Dataset(
            codes.T, label, weight=weight, categorical_feature=[k for k, b in enumerate(bins) if b.category]
        ),
        p.n_estimators,
    )
    return booster, codes.T


def agree(tables: list[Table], label: Floats, parameters: BoostingParameters = PARAMETERS) -> None:
    """Joint equals LightGBM on the fitted rows, and its pooled twin exactly on all rows."""
    whole, n_fit = join_tables(*tables), len(label) * 4 // 5
    joint = fit_aligned(tables, label, n_fit, parameters)
    owners = {n.owner for t in joint.model.trees for n in t} - {""}
    assert owners - {"bank"}  # the hosts' features matter here
    expected = lightgbm_margin(whole.take(np.arange(n_fit)), label[:n_fit], parameters)
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(joint.margin[:n_fit], expected, atol=1e-6, rtol=0)
    pooled = fit_aligned([whole], label, n_fit, parameters)
    assert pooled.margin.tobytes() == joint.margin.tobytes()


def cut_in(table: Table, *sizes: int) -> list[Table]:
    names, bounds = list(table.columns), np.cumsum([0, *sizes])
    assert bounds[-1] == len(names)
    return [table.select(tuple(names[a:b])) for a, b in pairwise(bounds.tolist())]


def as_table(frame: pd.DataFrame) -> Table:
    def column(series: pd.Series) -> np.ndarray:
        if pd.api.types.is_numeric_dtype(series):
            return series.to_numpy(dtype=np.float64)
        return series.astype(object).where(series.notna(), None).to_numpy(dtype=object)

    return Table(tuple(map(str, range(len(frame)))), {str(m): column(frame[m]) for m in frame.columns})


REAL = pytest.mark.parametrize("parameters", [PARAMETERS, PENALISED], ids=["deep", "penalised"])


@pytest.mark.parametrize("sizes", [(2, 4), (2, 2, 2), (0, 6), (4, 1, 1)])
def test_synthetic_rows_with_missing_values_and_levels(problem: Problem, sizes: tuple[int, ...]) -> None:
    agree(cut_in(problem.whole, *sizes), problem.label)


@pytest.mark.parametrize(
    "changes",
    [
        {"reg_lambda": 1.0, "max_depth": 2},
        {"reg_lambda": 20.0, "max_depth": 1, "n_estimators": 10},
        {"min_child_weight": 5.0},
        {"learning_rate": 1.0, "n_estimators": 5, "max_cat_to_onehot": 64},
        {"max_depth": 1, "n_estimators": 10},
        {"max_depth": 7, "max_cat_to_onehot": 64},
        {"max_bin": 2},
    ],
    ids=str,
)
def test_parameters_mean_what_they_mean_in_lightgbm(problem: Problem, changes: dict[str, float]) -> None:
    agree(cut_in(problem.whole, 2, 2, 2), problem.label, BoostingParameters(**(DEFAULTS | changes)))


@REAL
def test_credit_data(shared_data: Path, parameters: BoostingParameters) -> None:
    frame = pd.read_csv(shared_data / "credit_data.csv.gz").sample(frac=1, random_state=0)
    label = (frame.pop("Status") == "bad").to_numpy(dtype=np.float64)
    agree(cut_in(as_table(frame), 6, 4, 3), label, parameters)


@REAL
def test_german_credit(shared_data: Path, parameters: BoostingParameters) -> None:
    frame = pd.read_csv(shared_data / "germancredit.csv.gz").sample(frac=1, random_state=0)
    label = (frame.pop("creditability") == "bad").to_numpy(dtype=np.float64)
    # Its smallest nodes hold cuts that tie and part the rows differently; heavier leaves keep clear of them.
    agree(cut_in(as_table(frame), 8, 12), label, replace(parameters, min_child_weight=3.0))


@REAL
def test_polish_bankruptcy(shared_data: Path, parameters: BoostingParameters) -> None:
    frame = pd.read_csv(shared_data / "polish_bankruptcy_5year.csv.gz").sample(3000, random_state=0)
    label = frame.pop("class").to_numpy(dtype=np.float64)
    agree(cut_in(as_table(frame), 20, 22, 22), label, parameters)


@REAL
def test_default_credit(shared_data: Path, parameters: BoostingParameters) -> None:
    guest, host = (pd.read_csv(shared_data / f"default_credit_{side}.csv.gz") for side in ("guest", "host"))
    joined = guest.merge(host, on="id", suffixes=("", "_host")).sample(4000, random_state=0).drop(columns="id")
    label = joined.pop("y").to_numpy(dtype=np.float64)
    agree(cut_in(as_table(joined), 13, 10), label, parameters)
