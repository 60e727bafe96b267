"""Where our trees and LightGBM's part: at ties of different rows with the same exact sums, and nowhere else.

Rows with the same margin and label have the same derivatives, so small nodes often hold two cuts that part different
rows with equal sums. Either is right, ours takes the first in its order and LightGBM the one its rounding prefers; what
follows then differs. Rows that all weigh differently leave no such cuts, and the trees are the same to the last.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.boosting.parameters import BoostingParameters
from tests.builders import Problem, fit_aligned
from tests.federation.vertical.partings import first_apart
from tests.federation.vertical.test_leaf_wise import BASE
from tests.federation.vertical.test_objectives import label_for
from tests.federation.vertical.test_oracle import lightgbm_twin

CASES = {
    "best leaf first": replace(BASE, num_leaves=20),
    "counts": replace(BASE, n_estimators=4, max_depth=4, objective="poisson"),
    "deep": replace(BASE, max_depth=7),
}
EACH = pytest.mark.parametrize("p", CASES.values(), ids=CASES.keys())


@EACH
def test_what_parts_the_trees_is_an_exact_tie(problem: Problem, p: BoostingParameters) -> None:
    label = label_for(p.objective, problem)
    n_fit = len(label) * 4 // 5
    fit, label = problem.whole.take(np.arange(n_fit)), label[:n_fit]
    ours = fit_aligned([fit], label, n_fit, p)
    booster, codes = lightgbm_twin(fit, label, p)
    assert np.abs(ours.margin - booster.predict(codes, raw_score=True)).max() > 0.01
    found = first_apart(ours.model, booster, codes, fit, label, p)
    assert found is not None
    assert found.apart()
    for a, b in found.apart():
        assert found.tie(a, b)
        assert a.gain == pytest.approx(b.gain, rel=1e-5)


@EACH
def test_where_no_two_rows_weigh_the_same_the_trees_are_lightgbms(problem: Problem, p: BoostingParameters) -> None:
    label = label_for(p.objective, problem)
    n_fit = len(label) * 4 // 5
    fit, label = problem.whole.take(np.arange(n_fit)), label[:n_fit]
    weight = np.random.default_rng(0).uniform(0.5, 3.0, n_fit)
    ours = fit_aligned([fit], label, n_fit, p, weight=weight)
    booster, codes = lightgbm_twin(fit, label, p, weight)
    np.testing.assert_allclose(ours.margin, booster.predict(codes, raw_score=True), atol=1e-6, rtol=0)
