"""Logistic regression, against scikit-learn and the textbook's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from models.errors import DataError, ModelError
from models.losses import Floats
from models.scorecard.logistic import LogisticRules, Newton, fit_logistic, run_newton, with_intercept
from models.scorecard.quadratic import Penalty, minimise
from tests.builders import numbers

NAMES = ("age", "income", "arrears", "tenure")
TIGHT = {"tolerance": 1e-12}


def rows(n: int = 600, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Features that go together, on different scales; label; weight."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)) @ (np.eye(4) + 0.4) * numbers(1.0, 3.0, 0.2, 1.0)
    label = (x @ numbers(-0.9, 0.3, -2.0, 0.0) - 1.0 + rng.logistic(size=n) > 0).astype(np.float64)
    return x, label, rng.integers(1, 4, n).astype(np.float64)


def fitted(x: Floats, label: Floats, weight: Floats | None = None, **rules: Any) -> Floats:
    fit = fit_logistic(x, label, NAMES[: x.shape[1]], LogisticRules(**(TIGHT | rules)), weight)
    return np.array([fit.intercept.value, *fit.values])


def by_sklearn(x: Floats, label: Floats, weight: Floats | None = None, **options: Any) -> Floats:
    model = LogisticRegression(max_iter=100_000, **({"tol": 1e-12, "solver": "newton-cholesky"} | options))
    model.fit(x, label, weight)
    return np.array([*model.intercept_, *model.coef_[0]])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_coefficients_are_those_of_scikit_learn(seed: int, weighted: bool) -> None:
    x, label, weight = rows(seed=seed)
    s = weight if weighted else None
    np.testing.assert_allclose(fitted(x, label, s), by_sklearn(x, label, s, C=np.inf), atol=1e-8, rtol=0)


@pytest.mark.parametrize("l2", [0.1, 5.0, 300.0])
def test_an_l2_penalty_is_one_over_c_of_scikit_learn(l2: float) -> None:
    x, label, weight = rows()
    expected = by_sklearn(x, label, weight, C=1.0 / l2)
    np.testing.assert_allclose(fitted(x, label, weight, l2=l2), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("l1", [1.0, 20.0, 60.0])
def test_an_l1_penalty_is_one_over_c_of_scikit_learn(l1: float) -> None:
    x, label, weight = rows()
    expected = by_sklearn(x, label, weight, C=1.0 / l1, l1_ratio=1.0, solver="saga", tol=1e-13, random_state=0)
    found = fitted(x, label, weight, l1=l1)
    np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)
    assert ((found == 0.0) == (expected == 0.0)).all()


def test_both_penalties_are_the_elastic_net_of_scikit_learn() -> None:
    x, label, weight = rows()
    expected = by_sklearn(x, label, weight, C=0.1, l1_ratio=0.3, solver="saga", tol=1e-13, random_state=0)
    np.testing.assert_allclose(fitted(x, label, weight, l1=3.0, l2=7.0), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("penalty", [{}, {"l2": 5.0}, {"l1": 10.0}])
def test_signs_are_kept_and_the_rest_is_the_best_under_them(penalty: dict[str, float]) -> None:
    x, label, _ = rows()
    found = fitted(x, label, nonpositive=True, **penalty)
    assert (found[1:] <= 0).all()
    assert (found[1:] == 0).any()

    def loss(b: Floats) -> float:
        margin = b[0] + x @ b[1:]
        penalised = penalty.get("l2", 0.0) * (b[1:] @ b[1:]) / 2 - penalty.get("l1", 0.0) * b[1:].sum()
        return float((np.logaddexp(0, margin) - label * margin).sum() + penalised)

    oracle = minimize(loss, np.zeros(5), method="L-BFGS-B", bounds=[(None, None), *[(None, 0)] * 4], tol=1e-14)
    assert loss(found) <= loss(oracle.x) + 1e-7
    np.testing.assert_allclose(found, oracle.x, atol=2e-3)


def test_standard_errors_follow_the_textbook() -> None:
    x, label, _ = rows()
    fit = fit_logistic(x, label, NAMES, LogisticRules(**TIGHT))
    design = np.column_stack([np.ones(len(x)), x])
    p = 1.0 / (1.0 + np.exp(-(fit.intercept.value + x @ fit.values)))
    expected = np.sqrt(np.diag(np.linalg.inv((design.T * (p * (1 - p))) @ design)))
    found = (fit.intercept, *fit.features)
    np.testing.assert_allclose([c.standard_error for c in found], expected, rtol=1e-9)
    np.testing.assert_allclose([c.z for c in found], [c.value / e for c, e in zip(found, expected, strict=True)])
    assert [c.name for c in found] == ["intercept", *NAMES]
    assert fit.features[0].p_value < 1e-10 < 0.01 < fit.features[3].p_value


def test_the_ingots_of_the_literature() -> None:
    """Cox & Snell (1989), "Analysis of Binary Data", §1.2: ingots not ready for rolling, by heating and soaking time.

    Coefficients and standard errors as published for these data: -5.5592 (1.1197), 0.0820 (0.0237), 0.0568 (0.3312).
    """
    cells = [
        *[(7, s, n, r) for s, n, r in ((1.0, 10, 0), (1.7, 17, 0), (2.2, 7, 0), (2.8, 12, 0), (4.0, 9, 0))],
        *[(14, s, n, r) for s, n, r in ((1.0, 31, 0), (1.7, 43, 0), (2.2, 33, 2), (2.8, 31, 0), (4.0, 19, 0))],
        *[(27, s, n, r) for s, n, r in ((1.0, 56, 1), (1.7, 44, 4), (2.2, 21, 0), (2.8, 22, 1), (4.0, 16, 1))],
        *[(51, s, n, r) for s, n, r in ((1.0, 13, 3), (1.7, 1, 0), (2.2, 1, 0), (4.0, 1, 0))],
    ]
    x = np.array([(h, s) for h, s, _, _ in cells for _ in range(2)], dtype=np.float64)
    label = numbers(*[0.0, 1.0] * len(cells))
    weight = numbers(*[k for _, _, n, r in cells for k in (n - r, r)])
    assert weight.sum() == 387
    fit = fit_logistic(x, label, ("heat", "soak"), weight=weight)
    found = (fit.intercept, *fit.features)
    assert [c.value for c in found] == pytest.approx([-5.5592, 0.0820, 0.0568], abs=6e-5)
    assert [c.standard_error for c in found] == pytest.approx([1.1197, 0.0237, 0.3312], abs=6e-5)


def test_a_coefficient_held_at_zero_has_no_standard_error() -> None:
    x, label, _ = rows()
    fit = fit_logistic(x, label, NAMES, LogisticRules(nonpositive=True))
    assert [c.standard_error is None for c in fit.features] == [c.value == 0.0 for c in fit.features]
    assert any(c.value == 0.0 for c in fit.features)


def test_without_features_the_rate_is_left() -> None:
    _, label, _ = rows()
    fit = fit_logistic(np.empty((len(label), 0)), label, ())
    rate = label.mean()
    assert fit.intercept.value == pytest.approx(np.log(rate / (1 - rate)))
    assert fit.intercept.standard_error == pytest.approx(1 / np.sqrt(len(label) * rate * (1 - rate)))


def refusal(x: Floats, label: Floats, weight: Floats | None = None, **rules: Any) -> DataError | ModelError:
    with pytest.raises((DataError, ModelError)) as caught:
        fit_logistic(x, label, NAMES[: x.shape[1]], LogisticRules(**rules), weight)
    return caught.value


def test_one_class_is_refused_also_if_weights_make_it_so() -> None:
    x, label, _ = rows()
    assert refusal(x, np.zeros(len(x))).code == "one_class"
    assert refusal(x, label, 1.0 - label).code == "one_class"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_missing_values_are_refused_by_the_name_of_their_column(bad: float) -> None:
    x, label, _ = rows()
    x[3, 2] = bad
    error = refusal(x, label)
    assert error.code == "not_finite"
    assert "arrears" in error.english
    assert "age" not in error.english


@pytest.mark.parametrize("constant", [False, True])
def test_columns_that_determine_each_other_are_named(constant: bool) -> None:
    x, label, _ = rows()
    x[:, 3] = 5.0 if constant else 2.0 * x[:, 0] - x[:, 1] + 3.0
    error = refusal(x, label)
    assert error.code == "collinear"
    assert [name in error.english for name in NAMES] == [not constant, not constant, False, True]
    assert np.isfinite(fitted(x, label, l2=1.0)).all()  # what the text advises


def test_an_all_zero_column_is_refused_or_left_at_zero() -> None:
    x, label, _ = rows()
    x[:, 3] = 0.0
    assert refusal(x, label).code == "collinear"
    assert fitted(x, label, l1=1.0)[4] == 0.0


@pytest.mark.parametrize("quasi", [False, True])
def test_separation_is_recognised(quasi: bool) -> None:
    x, label, _ = rows()
    x[:, 0] = np.where(label == 1, 1.0, -1.0)
    if quasi:
        x[:50, 0] = 0.0
    assert refusal(x, label).code == "separated"
    assert np.isfinite(fitted(x, label, l2=1.0)).all()


def test_a_fit_that_may_not_go_on_says_so() -> None:
    x, label, _ = rows()
    assert refusal(x, label, max_iterations=1).code == "not_converged"


@pytest.mark.parametrize("rules", [{"l1": -1.0}, {"l2": np.nan}, {"tolerance": 0.0}, {"max_iterations": 0}])
def test_rules_have_ranges(rules: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        LogisticRules(**rules)
    assert caught.value.code == "bad_parameter"


def test_a_step_too_far_is_halved() -> None:
    x, label, _ = rows()
    newton = run_newton(x, label, NAMES, LogisticRules(), None)
    design = with_intercept(x)
    start = Newton(label, np.ones(len(x)), LogisticRules(), newton.names, newton.coefficients, newton.margin)
    far = newton.coefficients + numbers(0, 50, 0, 0, 0)
    start.move(far, design @ far)
    assert (
        start._objective(start.coefficients, start.margin)
        <= newton._objective(newton.coefficients, newton.margin) + 1e-6
    )
    np.testing.assert_allclose(start.margin, design @ start.coefficients, atol=1e-9)


@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans(), st.floats(0.0, 3.0), st.floats(0.0, 3.0))
def test_no_point_nearby_is_below_the_least_one(seed: int, n: int, signs: bool, l1: float, l2: float) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n + 2, n))
    hessian, gradient = root.T @ root, rng.normal(size=n) * 3
    penalty = Penalty(np.full(n, l1), np.full(n, l2), np.full(n, signs))
    at = -np.abs(rng.normal(size=n))
    b = minimise(gradient, hessian, at, penalty)

    def model(point: Floats) -> float:
        d = point - at
        return float(gradient @ d + d @ hessian @ d / 2) + penalty.value(point)

    assert not signs or (b <= 0).all()
    for _ in range(20):
        near = b + rng.normal(size=n) * rng.choice([1e-3, 0.1, 1.0])
        near = np.minimum(near, 0.0) if signs else near
        assert model(b) <= model(near) + 1e-9
    slope = gradient + hessian @ (b - at)
    assert penalty.violation(b, slope).max() < 1e-8
