"""Separation against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp
from sklearn.metrics import roc_auc_score

from models.errors import DataError
from models.validation import metrics
from models.validation.metrics import auc, auc_of_counts, bootstrap, bootstrap_gain, ks, ks_of_counts, roc_curve

rows = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-4, 4).map(float)), min_size=2, max_size=60).filter(
    lambda pairs: len({y for y, _ in pairs}) == 2
)


@given(rows)
def test_auc_is_that_of_scikit_learn_ties_included(pairs: list[tuple[float, float]]) -> None:
    label, score = np.array(pairs).T
    assert auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@given(rows)
def test_ks_is_that_of_scipy_ties_included(pairs: list[tuple[float, float]]) -> None:
    label, score = np.array(pairs).T
    expected = ks_2samp(score[label == 1], score[label == 0]).statistic
    assert ks(label, score) == pytest.approx(expected, abs=1e-12)


def test_the_curve_runs_from_corner_to_corner_once_per_score() -> None:
    false_positive, true_positive = roc_curve(np.array([1.0, 0, 1, 0]), np.array([3.0, 2, 2, 1]))
    assert false_positive.tolist() == [0, 0, 0.5, 1]
    assert true_positive.tolist() == [0, 0.5, 1, 1]


@pytest.mark.parametrize("metric", [auc, ks])
@pytest.mark.parametrize("label", [np.zeros(3), np.ones(3)])
def test_one_class_has_no_separation(metric: object, label: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        metric(label, np.arange(3.0))
    assert caught.value.code == "one_class"


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(DataError):
        auc(np.array([1.0, 0, 1, 0]), np.array([np.nan, 2, 2, 1]))


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    label = (rng.random(300) < 0.3).astype(float)
    return label, label + rng.normal(size=300)


def test_bootstrap_repeats_itself_and_follows_its_seed(scored: tuple[np.ndarray, np.ndarray]) -> None:
    first, again, other = (bootstrap(*scored, auc_of_counts, seed=s, n_resamples=100) for s in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.low < first.value == auc(*scored) < first.high
    assert first.as_dict() == {"value": first.value, "low": first.low, "high": first.high}


@pytest.mark.parametrize("decimals", [9, 0], ids=["distinct", "tied"])
def test_bootstrap_is_that_of_rows_drawn_one_by_one(scored: tuple[np.ndarray, np.ndarray], decimals: int) -> None:
    """Resamples are counted, not sorted; what comes of them is what scikit-learn and scipy make of their rows."""
    label, score = scored[0], np.round(scored[1], decimals)
    other = np.round(np.random.default_rng(4).normal(size=len(label)), decimals)
    rng, draws = np.random.default_rng(5), []
    for _ in range(40):
        rows = np.concatenate([rng.choice(np.flatnonzero(label == of), int((label == of).sum())) for of in (1, 0)])
        y, s = label[rows], score[rows]
        area = roc_auc_score(y, s)
        draws.append((area, ks_2samp(s[y == 1], s[y == 0]).statistic, area - roc_auc_score(y, other[rows])))
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    found = (
        bootstrap(label, score, auc_of_counts, seed=5, n_resamples=40),
        bootstrap(label, score, ks_of_counts, seed=5, n_resamples=40),
        bootstrap_gain(label, score, other, auc_of_counts, seed=5, n_resamples=40),
    )
    np.testing.assert_allclose([interval.low for interval in found], low, rtol=0, atol=1e-12)
    np.testing.assert_allclose([interval.high for interval in found], high, rtol=0, atol=1e-12)


def test_it_does_not_matter_how_many_are_drawn_at_once(
    scored: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bootstrap(*scored, auc_of_counts, seed=1, n_resamples=50)
    monkeypatch.setattr(metrics, "_DRAWN_AT_ONCE", 7 * len(scored[0]))
    assert bootstrap(*scored, auc_of_counts, seed=1, n_resamples=50) == whole


def test_bootstrap_width_is_about_that_of_theory(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, score = scored
    found = bootstrap(label, score, auc_of_counts, seed=0, n_resamples=400)
    a, bad = auc(label, score), label.sum()  # Hanley & McNeil 1982
    good = len(label) - bad
    q1, q2 = a / (2 - a), 2 * a * a / (1 + a)
    error = np.sqrt((a * (1 - a) + (bad - 1) * (q1 - a * a) + (good - 1) * (q2 - a * a)) / (bad * good))
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_a_gain_over_itself_is_nothing(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, score = scored
    assert bootstrap_gain(label, score, score, auc_of_counts, seed=0, n_resamples=20).as_dict() == {
        "value": 0,
        "low": 0,
        "high": 0,
    }


def test_a_clear_gain_is_above_nothing(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, score = scored
    noise = np.random.default_rng(4).normal(size=len(label))
    gain = bootstrap_gain(label, score, noise, auc_of_counts, seed=0, n_resamples=100)
    assert gain.low > 0
    assert gain.value == auc(label, score) - auc(label, noise)
