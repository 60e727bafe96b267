"""Weighted rows by counting and by what a fitted model makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from models.errors import DataError, ModelError
from models.validation.reject_inference import default_rate_bounds, fuzzy_augmentation, parcelling

accepted = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.floats(0, 1)), min_size=1, max_size=40)
rejected = st.lists(st.floats(0, 1), min_size=1, max_size=40)
factors = st.floats(0, 5)


@given(accepted, rejected, factors)
def test_fuzzy_rows_give_each_applicant_one_vote(own: list, others: list[float], factor: float) -> None:
    label = np.array([y for y, _ in own])
    found = fuzzy_augmentation(label, others, factor)
    assert np.bincount(found.rows, weights=found.weight) == pytest.approx(np.ones(len(label) + len(others)))
    assert (found.weight > 0).all()
    assert found.rows[: len(label)].tolist() == list(range(len(label)))
    assert found.label[: len(label)].tolist() == label.tolist()
    expected = np.minimum(1, factor * np.array(others))
    rate = (label.sum() + expected.sum()) / (len(label) + len(others))
    assert found.default_rate == pytest.approx(rate, abs=1e-12)


def test_fuzzy_augmentation_by_the_models_own_word_changes_nothing() -> None:
    """Rejects weighted by the fitted model's own probabilities leave its likelihood's maximum where it is."""
    rng = np.random.default_rng(14)
    x, x_rejected = rng.normal(size=(500, 2)), rng.normal(1, 1, size=(300, 2))
    label = (rng.random(500) < expit(x @ [1.0, -0.5] - 1)).astype(float)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, label)
    rows = fuzzy_augmentation(label, model.predict_proba(x_rejected)[:, 1])
    everyone = np.vstack([x, x_rejected])
    again = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    again.fit(everyone[rows.rows], rows.label, sample_weight=rows.weight)
    assert again.coef_[0] == pytest.approx(model.coef_[0], abs=1e-4)
    assert again.intercept_ == pytest.approx(model.intercept_, abs=1e-4)


def test_parcels_default_as_often_as_the_accepted_of_their_band_times_the_factor() -> None:
    own = np.repeat([0.1, 0.2, 0.3, 0.4], 10)
    label = np.concatenate([[1] * k + [0] * (10 - k) for k in (1, 2, 3, 6)])
    others = np.concatenate([np.full(20, 0.05), np.full(30, 0.25), np.full(10, 0.9)])
    found = parcelling(label, own, others, 2.0, n_bands=4, seed=3)
    drawn = found.label[40:]
    assert found.rows.tolist() == list(range(100))
    assert set(found.weight) == {1.0}
    assert found.label[:40].tolist() == label.tolist()
    assert drawn[:20].sum() == 20 * 0.2  # beyond the first edge: the first band
    assert drawn[20:50].sum() == 30 * 0.6
    assert drawn[50:].sum() == 10  # 1.2, held to 1


@given(accepted, rejected, factors, st.integers(1, 8))
def test_parcels_follow_their_seed_only(own: list, others: list[float], factor: float, n_bands: int) -> None:
    label, p = np.array(own).T
    first, again = (parcelling(label, p, others, factor, n_bands=n_bands, seed=5) for _ in range(2))
    assert first.label.tolist() == again.label.tolist()
    assert set(first.label) <= {0.0, 1.0}
    assert len(first.rows) == len(label) + len(others)


def test_another_seed_draws_others() -> None:
    label, p = [0, 1] * 50, np.full(100, 0.5)
    first, other = (parcelling(label, p, np.full(100, 0.5), seed=s) for s in (1, 2))
    assert first.label.sum() == other.label.sum() == 100
    assert first.label.tolist() != other.label.tolist()


@given(accepted, rejected, factors, factors)
def test_bounds_stand_in_order(own: list, others: list[float], a: float, b: float) -> None:
    label = np.array([y for y, _ in own])
    found = default_rate_bounds(label, others, (min(a, b), max(a, b)))
    n = len(label) + len(others)
    assert found.accepted == label.mean()
    assert found.all_good == pytest.approx(label.sum() / n)
    assert found.all_bad == pytest.approx((label.sum() + len(others)) / n)
    assert found.all_good <= found.low + 1e-12
    assert found.low <= found.high + 1e-12
    assert found.high <= found.all_bad + 1e-12
    assert found.low == pytest.approx(fuzzy_augmentation(label, others, min(a, b)).default_rate, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: fuzzy_augmentation([0, 1], []), "no_rows"),
        (lambda: fuzzy_augmentation([], [0.5]), "no_rows"),
        (lambda: fuzzy_augmentation([0, 1], [1.5]), "bad_probability"),
        (lambda: fuzzy_augmentation([0, 1], [np.nan]), "score_missing"),
        (lambda: fuzzy_augmentation([0, 1], [0.5], -1.0), "bad_parameter"),
        (lambda: parcelling([0, 1], [0.5], [0.5], seed=0), "wrong_length"),
        (lambda: parcelling([0, 1], [0.5, 0.5], [0.5], 101.0, seed=0), "bad_parameter"),
        (lambda: default_rate_bounds([0, 1], [0.5], (2.0, 1.0)), "bad_parameter"),
    ],
)
def test_what_cannot_be_inferred_is_refused(call: Any, code: str) -> None:
    with pytest.raises((DataError, ModelError)) as caught:
        call()
    assert caught.value.code == code
