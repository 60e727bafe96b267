"""The bank alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.validation.metrics import auc
from tests.builders import Problem

PARAMETERS = BoostingParameters(n_estimators=10, max_depth=3, min_child_samples=5)


def test_a_baseline_repeats_itself_and_separates(problem: Problem) -> None:
    first, again = (fit_baseline(problem.whole, problem.label, PARAMETERS).margin(problem.whole) for _ in range(2))
    assert first.tobytes() == again.tobytes()
    assert auc(problem.label, first) > 0.8


def test_margins_are_log_odds(problem: Problem) -> None:
    margin = fit_baseline(problem.guest, problem.label, PARAMETERS).margin(problem.guest)
    assert np.mean(1 / (1 + np.exp(-margin))) == pytest.approx(problem.label.mean(), abs=0.02)


def test_unseen_levels_and_missing_columns_of_rows_are_scored(problem: Problem) -> None:
    baseline = fit_baseline(problem.whole, problem.label, PARAMETERS)
    rows = problem.whole.take(np.arange(3))
    odd = np.array(["astronaut", None, "clerk"], dtype=object)
    margin = baseline.margin(type(rows)(rows.ids, {**rows.columns, "occupation_class": odd}))
    assert np.isfinite(margin).all()


def test_categories_are_cut_as_the_parameters_say(problem: Problem) -> None:
    own = {"max_cat_threshold": 5, "cat_l2": 2.0, "cat_smooth": 3.0, "min_data_per_group": 7}

    def thresholds(max_cat_to_onehot: int) -> str:
        p = replace(PARAMETERS, max_cat_to_onehot=max_cat_to_onehot, **own)
        booster = fit_baseline(problem.whole, problem.label, p).booster
        assert {name: booster.params[name] for name in own} == own
        return str(booster.dump_model()["tree_info"])

    assert "||" in thresholds(4)
    assert "||" not in thresholds(99)
