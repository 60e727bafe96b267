"""Other losses and weighted rows: LightGBM's models, and the pooled twin's bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.baselines import fit_baseline
from models.boosting.derivatives import Derivatives
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.errors import DataError, ModelError
from models.losses import Floats
from models.table import Table
from tests.builders import Problem, fit_aligned, join_tables
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

BASE = BoostingParameters(n_estimators=4, max_depth=4, min_child_samples=0, max_bin=16, reg_lambda=0.0)


def tables(problem: Problem) -> list[Table]:
    return cut_in(problem.whole, 2, 2, 2)


def label_for(objective: str, problem: Problem) -> Floats:
    """A label the features explain: shares, counts, or amounts of which half are zero."""
    rng = np.random.default_rng(3)
    signal = np.nan_to_num(problem.whole.columns["tax_paid_2023"]) - problem.label
    if objective == "regression":
        return np.clip(0.4 + 0.2 * signal + 0.1 * rng.normal(size=len(signal)), 0, 1)
    if objective == "poisson":
        return rng.poisson(np.exp(0.5 * signal)).astype(np.float64)
    if objective == "tweedie":
        return np.where(rng.random(len(signal)) < 0.5, 0.0, rng.gamma(2.0, 500 * np.exp(0.5 * signal)))
    return problem.label


CASES = {
    "regression": BASE,
    "poisson": replace(BASE, min_child_weight=20.0),  # small nodes of equal counts hold cuts that tie
    "tweedie": replace(BASE, objective="tweedie", tweedie_variance_power=1.3),
    "binary": replace(BASE, scale_pos_weight=4.0),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", CASES)
def test_every_objective_is_lightgbms(problem: Problem, name: str, weighted: bool) -> None:
    p, label = replace(CASES[name], objective=name), label_for(name, problem)
    n_fit = len(label) * 4 // 5
    weight = np.random.default_rng(0).uniform(0.5, 3.0, len(label)) if weighted else None
    parts = tables(problem)
    whole = join_tables(*parts)
    joint = fit_aligned(parts, label, n_fit, p, weight=weight)
    fit = whole.take(np.arange(n_fit))
    booster, codes = lightgbm_twin(fit, label[:n_fit], p, None if weight is None else weight[:n_fit])
    expected = booster.predict(codes, raw_score=True)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(joint.margin[:n_fit], expected, atol=2e-6, rtol=0)
    np.testing.assert_allclose(joint.model.predict(joint.margin[:n_fit]), booster.predict(codes), rtol=1e-5)
    pooled = fit_aligned([whole], label, n_fit, p, weight=weight)
    assert pooled.margin.tobytes() == joint.margin.tobytes()


@pytest.mark.parametrize("name", ["regression", "tweedie"])
def test_a_model_says_how_margins_become_predictions_also_when_stored(problem: Problem, name: str) -> None:
    p = replace(CASES[name], objective=name, n_estimators=1)
    fitted = fit_aligned(tables(problem), label_for(name, problem), 200, p)
    again = JointModel.from_json(fitted.model.to_json())
    expected = fitted.margin if name == "regression" else np.exp(fitted.margin)
    assert again.predict(fitted.margin).tolist() == expected.tolist()
    assert again.digest() == fitted.model.digest()


def test_a_binary_model_is_stored_as_before(problem: Problem) -> None:
    model = fit_aligned(tables(problem), problem.label, 200, replace(BASE, n_estimators=1)).model
    assert "objective" not in model.to_json()
    with pytest.raises(ModelError):
        JointModel.from_json({**model.to_json(), "objective": "gamma"})


def test_early_stopping_watches_the_weighted_loss(problem: Problem) -> None:
    p = replace(BASE, n_estimators=3)
    weight = np.random.default_rng(1).uniform(0.1, 5.0, len(problem.label))
    fitted = fit_aligned(tables(problem), problem.label, 250, p, n_valid=80, weight=weight)
    watching = slice(250, 330)
    margin, label = fitted.margin[watching], problem.label[watching]
    expected = np.average(np.logaddexp(0, margin) - label * margin, weights=weight[watching])
    assert fitted.valid_loss[-1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, 0.0])
def test_bad_weights_and_labels_stop_before_any_message(problem: Problem, wrong: float) -> None:
    weight = np.full(len(problem.label), wrong)
    with pytest.raises(DataError) as caught:
        fit_aligned(tables(problem), problem.label, 200, BASE, weight=weight)
    assert caught.value.code == "bad_weight"
    with pytest.raises(DataError) as caught:
        fit_aligned(tables(problem), problem.label - 0.5, 200, replace(BASE, objective="poisson"))
    assert caught.value.code == "label_negative"


def test_margins_that_run_away_are_told() -> None:
    with pytest.raises(ModelError) as caught:
        Derivatives.exact(np.array([1.0, np.inf]), np.ones(2), np.arange(2), None)
    assert caught.value.code == "diverged"


def test_units_follow_the_data_where_nothing_bounds_them() -> None:
    rows = np.arange(3)
    d = Derivatives.exact(np.array([3e7, -1.0, 0.0]), np.array([0.01, 0.02, 0.0]), rows, None)
    assert d.sums(rows)[0] == pytest.approx(3e7 - 1.0, rel=1e-9)
    assert d.sums(rows)[1] == pytest.approx(0.03, rel=1e-8)
    assert np.abs(d.g).max() <= 2**32
    assert d.h.max() <= 2**32
    assert Derivatives.exact(np.zeros(2), np.ones(2), np.arange(2), None).g_unit > 0


@pytest.mark.parametrize("name", CASES)
def test_the_banks_own_model_minimises_the_same(problem: Problem, name: str) -> None:
    label = label_for(name, problem)
    p = replace(CASES[name], objective=name, n_estimators=20)
    weight = np.where(np.arange(len(label)) % 2, 1.0, 1e-6)
    light, heavy = (fit_baseline(problem.whole, label, p, w).margin(problem.whole) for w in (weight, None))
    odd = slice(1, None, 2)
    loss = p.loss.loss
    assert loss(label[odd], light[odd]) < loss(label[odd], heavy[odd])


@pytest.mark.parametrize(
    "changes", [{"objective": "gamma"}, {"objective": "poisson", "scale_pos_weight": 2.0}, {"scale_pos_weight": 0.0}]
)
def test_parameters_out_of_range_are_named(changes: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        BoostingParameters(**changes)
    assert caught.value.code == "bad_parameter"
    assert list(changes)[-1] in caught.value.english
