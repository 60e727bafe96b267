"""DeLong by its definition over all pairs and by scipy's Brunner–Munzel test; tables against counting."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import brunnermunzel, norm
from sklearn.metrics import roc_auc_score

from models.errors import DataError, ModelError
from models.validation.discrimination import (
    auc_gain,
    auc_interval,
    auc_variance,
    capture_at,
    decile_table,
    gini,
    lift_at,
)
from models.validation.metrics import auc_of_counts, bootstrap, bootstrap_gain, ks

row = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-4, 4).map(float), st.integers(-4, 4).map(float))
rows = st.lists(row, min_size=4, max_size=50).filter(lambda r: 2 <= sum(y for y, _, _ in r) <= len(r) - 2)


def over_pairs(label: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """AUC and structural components as DeLong et al. define them, O(n_bad * n_good)."""
    bad, good = score[label == 1], score[label == 0]
    kernel = (bad[:, None] > good) + 0.5 * (bad[:, None] == good)
    return kernel.mean(), kernel.mean(axis=1), kernel.mean(axis=0)


def covariance(a: tuple[float, np.ndarray, np.ndarray], b: tuple[float, np.ndarray, np.ndarray]) -> float:
    return float(np.cov(a[1], b[1])[0, 1] / len(a[1]) + np.cov(a[2], b[2])[0, 1] / len(a[2]))


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    label = (rng.random(500) < 0.2).astype(float)
    shared = rng.normal(size=500)
    return label, 1.2 * label + shared + rng.normal(size=500), 0.9 * label + shared + rng.normal(size=500)


@given(rows)
def test_gini_is_twice_auc_less_one(drawn: list[tuple[float, float, float]]) -> None:
    label, score, _ = np.array(drawn).T
    assert gini(label, score) == pytest.approx(2 * roc_auc_score(label, score) - 1, abs=1e-12)


@given(rows)
def test_variance_is_that_over_all_pairs_ties_included(drawn: list[tuple[float, float, float]]) -> None:
    label, score, _ = np.array(drawn).T
    pairs = over_pairs(label, score)
    assert auc_variance(label, score) == pytest.approx(covariance(pairs, pairs), abs=1e-14)
    assert auc_interval(label, score).value == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@given(rows)
def test_the_test_of_two_aucs_is_that_over_all_pairs(drawn: list[tuple[float, float, float]]) -> None:
    label, score, reference = np.array(drawn).T
    a, b = over_pairs(label, score), over_pairs(label, reference)
    variance = covariance(a, a) + covariance(b, b) - 2 * covariance(a, b)
    if variance < 1e-12:
        return
    z = (a[0] - b[0]) / np.sqrt(variance)
    found = auc_gain(label, score, reference)
    assert found.z == pytest.approx(z, rel=1e-6, abs=1e-9)
    assert found.p_value == pytest.approx(2 * norm.cdf(-abs(z)), rel=1e-5)
    assert found.gain.high - found.gain.low == pytest.approx(2 * norm.ppf(0.975) * np.sqrt(variance), rel=1e-6)


def test_variance_is_the_one_in_the_brunner_munzel_test(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    score = np.round(score)  # ties
    statistic = brunnermunzel(score[label == 0], score[label == 1], distribution="normal").statistic
    expected = (roc_auc_score(label, score) - 0.5) / np.sqrt(auc_variance(label, score))
    assert expected == pytest.approx(statistic, rel=1e-9)


def test_intervals_agree_with_the_bootstrap(scored: tuple[np.ndarray, ...]) -> None:
    label, score, reference = scored
    theory, drawn = auc_interval(label, score), bootstrap(label, score, auc_of_counts, seed=0, n_resamples=500)
    assert theory.low == pytest.approx(drawn.low, abs=0.01)
    assert theory.high == pytest.approx(drawn.high, abs=0.01)
    gain = bootstrap_gain(label, score, reference, auc_of_counts, seed=0, n_resamples=500)
    found = auc_gain(label, score, reference).gain
    assert found.low == pytest.approx(gain.low, abs=0.01)
    assert found.high == pytest.approx(gain.high, abs=0.01)


def test_scores_that_rank_alike_do_not_differ(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    found = auc_gain(label, score, np.exp(score))
    assert (found.gain.value, found.z, found.p_value) == (0.0, 0.0, 1.0)


def test_a_constant_score_has_half_the_area_and_no_width() -> None:
    assert auc_interval([0, 0, 1, 1], [3.0] * 4).as_dict() == {"value": 0.5, "low": 0.5, "high": 0.5}


def test_intervals_stay_within_zero_and_one() -> None:
    assert auc_interval([0, 0, 0, 1, 1], [1, 2, 4, 3, 5]).high == 1.0
    assert auc_interval([1, 1, 1, 0, 0], [1, 2, 4, 3, 5]).low == 0.0


@pytest.mark.parametrize(
    ("label", "score", "reference", "code"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], [1, 1, 1, 1], "no_variance"),
        ([0, 0, 0, 1], [1, 2, 3, 4], [1, 2, 3, 4], "too_few_rows"),
        ([0, 0, 0, 0], [1, 2, 3, 4], [1, 2, 3, 4], "one_class"),
        ([0, 0, 1, 1], [1, 2, 3, np.nan], [1, 2, 3, 4], "score_missing"),
        ([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3], "wrong_length"),
        ([], [], [], "no_rows"),
    ],
)
def test_no_test_without_something_to_test(label: list[int], score: list[float], reference: list, code: str) -> None:
    with pytest.raises(DataError) as caught:
        auc_gain(label, score, reference)
    assert caught.value.code == code


def test_deciles_count_what_is_there(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    table = decile_table(label, score)
    order = np.argsort(-score)
    assert [b.number for b in table] == list(range(1, 11))
    for k, band in enumerate(table):
        own, down = label[order[50 * k : 50 * (k + 1)]], label[order[: 50 * (k + 1)]]
        assert (band.n_rows, band.n_defaults) == (50, own.sum())
        assert band.default_rate == own.mean()
        assert band.lift == pytest.approx(own.mean() / label.mean())
        assert band.cumulative_lift == pytest.approx(down.mean() / label.mean())
        assert band.share_of_defaults == pytest.approx(down.sum() / label.sum())
        assert band.ks == pytest.approx(abs(down.sum() / label.sum() - (1 - down).sum() / (1 - label).sum()))
    assert all(a.lowest >= b.highest for a, b in pairwise(table))
    last = table[-1]
    assert (last.share_of_rows, last.share_of_defaults, last.share_of_rest, last.ks) == (1, 1, 1, 0)
    assert max(b.ks for b in table) <= ks(label, score)


@given(rows, st.integers(1, 12))
def test_no_band_parts_equal_scores(drawn: list[tuple[float, float, float]], n_bands: int) -> None:
    label, score, _ = np.array(drawn).T
    table = decile_table(label, score, n_bands)
    assert sum(b.n_rows for b in table) == len(label)
    assert sum(b.n_defaults for b in table) == label.sum()
    assert all(a.lowest > b.highest for a, b in pairwise(table))
    for band in table:
        assert band.n_rows == ((score >= band.lowest) & (score <= band.highest)).sum()


def test_as_many_bands_as_scores_find_the_ks_itself(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    assert max(b.ks for b in decile_table(label, score, 500)) == pytest.approx(ks(label, score), abs=1e-12)


def test_a_constant_score_gives_one_band_and_no_lift() -> None:
    (band,) = decile_table([0, 1, 0, 0], [2.0] * 4)
    assert (band.n_rows, band.lift, band.ks) == (4, 1.0, 0.0)
    assert lift_at([0, 1, 0, 0], [2.0] * 4, 0.1) == pytest.approx(1.0)


def test_lift_counts_the_riskiest_and_ties_by_the_part_that_fits() -> None:
    label = [1, 1, 0, 1, 0, 0, 0, 0, 0, 0]
    assert lift_at(label, np.arange(10.0)[::-1], 0.2) == pytest.approx(5 / 1.5)
    assert capture_at(label, np.arange(10.0)[::-1], 0.4) == pytest.approx(1.0)
    tied = [9, 9, 9, 9, 1, 1, 1, 1, 1, 1]  # half of four rows with three defaults
    assert capture_at(label, tied, 0.2) == pytest.approx(0.5)
    assert lift_at(label, tied, 1.0) == pytest.approx(1.0)


def test_parameters_out_of_range_are_refused(scored: tuple[np.ndarray, ...]) -> None:
    label, score, _ = scored
    for share in (0.0, 1.1, float("nan")):
        with pytest.raises(ModelError):
            lift_at(label, score, share)
    with pytest.raises(ModelError):
        auc_interval(label, score, confidence=1.0)
    with pytest.raises(ModelError):
        decile_table(label, score, 0)
