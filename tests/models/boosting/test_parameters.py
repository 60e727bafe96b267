"""Parameters name themselves when they are out of range."""

from __future__ import annotations

import math

import lightgbm
import pytest

from models.boosting.parameters import BoostingParameters
from models.boosting.sets import SetRules
from models.boosting.splits import SplitRules
from models.errors import ModelError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_estimators", 0),
        ("n_estimators", 10_001),
        ("learning_rate", 0.0),
        ("learning_rate", 1.1),
        ("learning_rate", math.nan),
        ("max_depth", 0),
        ("max_depth", 13),
        ("max_bin", 1),
        ("max_bin", 254),
        ("min_child_samples", -1),
        ("min_child_weight", -1e-9),
        ("reg_lambda", -0.1),
        ("reg_lambda", math.inf),
        ("min_split_gain", -1),
        ("early_stopping_rounds", -1),
        ("random_state", -1),
        ("max_cat_to_onehot", 0),
        ("max_cat_threshold", 0),
        ("cat_l2", -0.1),
        ("cat_smooth", math.nan),
        ("min_data_per_group", 0),
    ],
)
def test_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ModelError) as caught:
        BoostingParameters(**{name: value})
    assert caught.value.code == "bad_parameter"
    assert name in caught.value.english
    assert name in caught.value.chinese


def test_rules_are_the_parameters_of_the_same_names() -> None:
    parameters = BoostingParameters(reg_lambda=2.0, min_split_gain=0.5, min_child_weight=3.0)
    assert parameters.rules == SplitRules(reg_lambda=2.0, min_split_gain=0.5, min_child_weight=3.0)
    sets = {"max_cat_threshold": 5, "cat_smooth": 2.0, "min_data_per_group": 7, "min_child_samples": 9}
    assert BoostingParameters(**sets, min_child_weight=3.0).set_rules == SetRules(**sets, min_child_weight=3.0)


def test_defaults_of_categories_are_lightgbms() -> None:
    config = lightgbm.LGBMRegressor().fit([[0.0], [1.0]], [0.0, 1.0]).booster_.model_to_string()
    p = BoostingParameters()
    for name in ("max_cat_to_onehot", "max_cat_threshold", "cat_l2", "cat_smooth", "min_data_per_group"):
        assert f"[{name}: {getattr(p, name):g}]" in config
