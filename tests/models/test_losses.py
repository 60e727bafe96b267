"""Derivatives and losses against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import log_loss as sklearn_log_loss

from models.errors import DataError
from models.losses import (
    LINKS,
    POISSON_STEP,
    Objective,
    base_margin,
    check_weight,
    default_probability,
    log_loss,
    logistic_derivatives,
)

margins = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40).map(np.array)


@given(margins)
def test_default_probability_is_the_logistic_function(margin: np.ndarray) -> None:
    np.testing.assert_allclose(default_probability(margin), expit(margin), atol=3e-16, rtol=0)


@given(margins)
def test_one_row_gives_the_same_bits_as_many(margin: np.ndarray) -> None:
    together = default_probability(margin)
    alone = [default_probability(np.array([m]))[0] for m in margin]
    assert together.tobytes() == np.array(alone).tobytes()


def test_log_loss_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    label, margin = rng.integers(0, 2, 200).astype(float), rng.normal(size=200) * 5
    assert log_loss(label, margin) == pytest.approx(sklearn_log_loss(label, expit(margin)), rel=1e-12)


def test_log_loss_of_a_certain_error_is_finite() -> None:
    assert log_loss(np.array([1.0]), np.array([-1000.0])) == pytest.approx(1000.0)


def test_base_margin_is_the_log_odds_of_the_bad_rate() -> None:
    assert base_margin(np.array([1.0, 0, 0, 0])) == pytest.approx(logit(0.25), rel=1e-15)


@given(margins)
def test_derivatives_stay_within_their_bounds(margin: np.ndarray) -> None:
    for label in (0.0, 1.0):
        g, h = logistic_derivatives(np.full(len(margin), label), margin)
        assert np.abs(g).max() <= 1.0
        assert 0.0 <= h.min() <= h.max() <= 0.25


def test_derivatives_are_those_of_the_loss() -> None:
    margin, step = np.array([-2.0, 0.3, 4.0]), 1e-5
    for y in (0.0, 1.0):
        label = np.full(3, y)
        loss = [np.array([log_loss(label[:1], np.array([m + d])) for m in margin]) for d in (-step, 0, step)]
        g, h = logistic_derivatives(label, margin)
        np.testing.assert_allclose(g, (loss[2] - loss[0]) / (2 * step), atol=1e-8)
        np.testing.assert_allclose(h, (loss[2] - 2 * loss[1] + loss[0]) / step**2, atol=1e-4)


OBJECTIVES = [
    Objective(),
    Objective(scale_pos_weight=3.0),
    Objective("regression"),
    Objective("poisson"),
    *(Objective("tweedie", variance_power=power) for power in (1.1, 1.5, 1.9)),
]
each = pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
LABEL = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
MARGIN = np.array([-1.0, 0.4, 2.0, 0.3, -0.7])


@each
def test_every_objective_has_the_derivatives_of_its_loss(objective: Objective) -> None:
    step = 1e-4
    weight = np.array([1.0, 0.5, 2.0, 3.0, 1.5])
    g, h = objective.derivatives(LABEL, MARGIN, weight)
    scale = np.where(LABEL > 0, objective.scale_pos_weight, 1.0) * weight
    for k in range(len(LABEL)):
        down, here, up = (objective.loss(LABEL[[k]], MARGIN[[k]] + d) for d in (-step, 0, step))
        half = 0.5 if objective.name == "regression" else 1.0  # LightGBM's l2 reports the square, minimises its half
        damped = np.exp(POISSON_STEP) if objective.name == "poisson" else 1.0
        assert g[k] == pytest.approx(half * scale[k] * (up - down) / (2 * step), abs=1e-6)
        assert h[k] == pytest.approx(damped * half * scale[k] * (up - 2 * here + down) / step**2, rel=1e-5, abs=1e-6)


@each
def test_the_base_margin_is_the_margin_of_the_mean(objective: Objective) -> None:
    weight = np.array([1.0, 0.5, 2.0, 3.0, 1.5])
    for w in (None, weight):
        margin = objective.base_margin(LABEL, w)
        mean = LINKS[objective.name](np.array([margin]))[0]
        assert mean == pytest.approx(np.average(LABEL, weights=w), rel=1e-12)


@each
def test_the_limit_bounds_what_it_says_it_bounds(objective: Objective) -> None:
    weight = np.array([1.0, 0.5, 2.0, 3.0, 1.5])
    limit = objective.limit(weight)
    if objective.name != "binary":
        assert limit is None
        return
    g, h = objective.derivatives(LABEL, MARGIN * 100, weight)
    assert max(np.abs(g).max(), h.max()) <= limit <= 3 * objective.scale_pos_weight


@each
def test_a_weight_counts_as_so_many_rows(objective: Objective) -> None:
    times = np.array([1, 2, 3, 1, 2])
    repeated = [np.repeat(v, times) for v in (LABEL, MARGIN)]
    assert objective.loss(LABEL, MARGIN, times.astype(float)) == pytest.approx(objective.loss(*repeated), rel=1e-12)


@pytest.mark.parametrize(
    ("objective", "label", "code"),
    [
        (Objective(), [0.0, 0.0, 1.0], "one_class"),
        (Objective(), [0.0, 1.0, 0.5], "label_not_binary"),
        (Objective(), [0.0, 1.0, np.nan], "label_not_finite"),
        (Objective("regression"), [0.0, np.inf, 0.5], "label_not_finite"),
        (Objective("poisson"), [0.0, 1.0, -1.0], "label_negative"),
        (Objective("tweedie"), [0.0, 0.0, 1.0], "no_positive_label"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(objective: Objective, label: list[float], code: str) -> None:
    with pytest.raises(DataError) as caught:
        objective.check(np.array(label), n_fit=2)
    assert caught.value.code == code
    assert len(caught.value.chinese) > 10


@pytest.mark.parametrize("name", ["regression", "poisson", "tweedie"])
def test_one_value_of_other_objectives_is_no_class(name: str) -> None:
    Objective(name).check(np.array([1.0, 1.0]), n_fit=2)


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_weights_are_finite_and_positive(wrong: float) -> None:
    check_weight(np.array([0.5, 2.0]))
    with pytest.raises(DataError, match="1 rows") as caught:
        check_weight(np.array([0.5, wrong]))
    assert caught.value.code == "bad_weight"
