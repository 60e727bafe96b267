"""LightGBM on rows that one party may see: the bank alone, or (for comparison only) everything joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table, is_category

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True, slots=True)
class Baseline:
    """A fitted LightGBM model and the category levels it knows."""

    booster: lightgbm.Booster
    levels: dict[str, list[str]]

    def margin(self, table: Table) -> Floats:
        """Margin, shape ``(n_rows,)``: log-odds of default if the objective is binary."""
        return np.asarray(self.booster.predict(_frame(table, self.levels), raw_score=True), dtype=np.float64)


def fit_baseline(table: Table, label: Floats, parameters: BoostingParameters, weight: Floats | None = None) -> Baseline:
    """LightGBM with the same parameters as the joint model, one thread, deterministic.

    Args:
        weight: of every row, above 0; none: all weigh 1.
    """
    import lightgbm  # CPU seconds, with all of scikit-learn: only where one is fitted

    levels = {
        name: sorted({str(v) for v in column if v is not None})
        for name, column in table.columns.items()
        if is_category(column)
    }
    p = parameters
    directions = [p.monotone_constraints.get(name, 0) for name in table.columns]
    booster = lightgbm.train(
        {
            "objective": p.objective,
            "scale_pos_weight": p.scale_pos_weight,
            "tweedie_variance_power": p.tweedie_variance_power,
            "learning_rate": p.learning_rate,
            "max_depth": p.max_depth,
            "num_leaves": p.num_leaves or 2**p.max_depth,
            "max_bin": p.max_bin,
            "min_data_in_leaf": p.min_child_samples,
            "min_sum_hessian_in_leaf": p.min_child_weight,
            "lambda_l2": p.reg_lambda,
            "min_gain_to_split": p.min_split_gain,
            "max_cat_to_onehot": p.max_cat_to_onehot,
            "max_cat_threshold": p.max_cat_threshold,
            "cat_l2": p.cat_l2,
            "cat_smooth": p.cat_smooth,
            "min_data_per_group": p.min_data_per_group,
            "monotone_constraints": directions if any(directions) else None,
            "seed": p.random_state,
            "deterministic": True,
            "num_threads": 1,
            "verbose": -1,
        },
        lightgbm.Dataset(_frame(table, levels), label, weight=weight),
        p.n_estimators,
    )
    return Baseline(booster, levels)


def _frame(table: Table, levels: dict[str, list[str]]) -> pd.DataFrame:
    """Numbered columns, because LightGBM refuses names with punctuation; a level never seen in training is missing."""
    columns: dict[str, object] = {}
    for i, (name, column) in enumerate(table.columns.items()):
        if name in levels:
            code_of = {level: code for code, level in enumerate(levels[name])}
            codes = [code_of.get(value, -1) for value in column]
            columns[f"f{i}"] = pd.Categorical.from_codes(np.array(codes), categories=pd.Index(levels[name]))
        else:
            columns[f"f{i}"] = column
    return pd.DataFrame(columns)
