"""Derivatives and losses against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.metrics import log_loss as sklearn_log_loss

from models.losses import base_margin, default_probability, log_loss, logistic_derivatives

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
