"""The outside oracle: LightGBM on all rows and columns in one place, over the same bins, grows the same trees."""

from __future__ import annotations

import numpy as np
import pytest

from models.boosting.parameters import BoostingParameters
from tests.builders import Problem, fit_aligned
from tests.federation.horizontal.boosting.cities import DEFAULTS, shares
from tests.federation.hybrid.cities import Trial, coded
from tests.federation.vertical.test_oracle import lightgbm_margin


def agree(trial: Trial) -> None:
    """Equal to LightGBM to rounding, and to our own engine on all rows to the last bit."""
    learnt = trial.learn()
    margin = trial.margin()
    table, label = coded(trial.table, learnt.bins, trial.pooled), trial.label[trial.pooled]
    assert np.ptp(margin) > 0.3
    assert len({b.name for b in learnt.bins}) == 6
    np.testing.assert_allclose(margin, lightgbm_margin(table, label, trial.parameters), atol=1e-6, rtol=0)
    pooled = fit_aligned([table], label, len(label), trial.parameters)
    assert pooled.margin.tobytes() == margin.tobytes()
    owners = {node.owner for tree in learnt.models[trial.names[0]].trees for node in tree}
    assert len(owners) > (3 if trial.parameters.max_depth > 2 else 1)  # leaves, the bank, hosts of many kinds


@pytest.mark.parametrize(("n_banks", "city_of"), [(3, (0, 0, 1)), (3, (0, 1, 2)), (5, (0, 1, 0, 1, 0))], ids=str)
def test_pooled_is_joint_however_rows_are_shared_out(problem: Problem, n_banks: int, city_of: tuple[int, ...]) -> None:
    agree(Trial(problem.whole, problem.label, shares(len(problem.label), n_banks), city_of))


@pytest.mark.parametrize(
    "changes", [{"reg_lambda": 1.0, "max_depth": 2}, {"min_child_weight": 5.0, "max_bin": 4}, {"max_depth": 1}], ids=str
)
def test_parameters_mean_what_they_mean_in_lightgbm(problem: Problem, changes: dict[str, float]) -> None:
    parts = shares(len(problem.label), 3)
    agree(Trial(problem.whole, problem.label, parts, (0, 0, 1), BoostingParameters(**(DEFAULTS | changes))))
