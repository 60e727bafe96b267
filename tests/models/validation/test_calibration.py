"""Brier, reliability, intercept and slope against scikit-learn and a likelihood maximised by scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from models.errors import DataError, ModelError
from models.validation.calibration import brier, cox, in_the_large, reliability_table

row = st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 10).map(lambda k: k / 10))


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    margin = rng.normal(-1.5, 1.0, size=2000)
    return (rng.random(2000) < expit(0.4 + 0.7 * margin)).astype(float), margin


@given(st.lists(row, min_size=1, max_size=60), st.integers(1, 12))
def test_brier_is_that_of_scikit_learn_and_its_parts_add_up(rows: list[tuple[float, float]], n_bands: int) -> None:
    label, p = np.array(rows).T
    found = brier(label, p, n_bands)
    assert found.score == pytest.approx(brier_score_loss(label, p), abs=1e-12)
    parts = found.reliability - found.resolution + found.uncertainty + found.within_groups
    assert parts == pytest.approx(found.score, abs=1e-12)


def test_one_probability_per_group_leaves_murphys_three_terms() -> None:
    label = np.array([0, 0, 1, 0, 1, 1, 0, 1.0])
    grade = np.array([0, 0, 0, 0, 3, 3, 3, 3])
    found = brier(label, np.array([0.1, 0.6])[grade // 3], group=grade)
    assert found.within_groups == pytest.approx(0, abs=1e-15)
    assert found.reliability == pytest.approx(0.15**2)  # rates 1/4 and 3/4 against 0.1 and 0.6
    assert found.resolution == pytest.approx(0.25**2)
    assert found.uncertainty == 0.25


def test_reliability_table_is_the_calibration_curve(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, margin = scored
    observed, said = calibration_curve(label, expit(margin), n_bins=10, strategy="quantile")
    table = reliability_table(label, expit(margin))
    assert [r.default_rate.value for r in table] == pytest.approx(list(observed))
    assert [r.mean_probability for r in table] == pytest.approx(list(said))
    assert sum(r.n_rows for r in table) == 2000
    assert sum(r.n_defaults for r in table) == label.sum()
    assert all(r.default_rate.low < r.default_rate.value < r.default_rate.high for r in table)


def test_groups_without_rows_are_left_out() -> None:
    assert len(reliability_table([0, 1, 0], [0.1, 0.2, 0.3], group=[4, 4, 0])) == 2


def test_cox_finds_the_maximum_of_the_likelihood(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, margin = scored

    def loss(ab: np.ndarray) -> float:
        return log_loss(label, expit(ab[0] + ab[1] * margin), normalize=False)

    best = minimize(loss, [0.0, 1.0], method="BFGS", options={"gtol": 1e-4})
    found = cox(label, margin)
    assert (found.intercept.value, found.slope.value) == pytest.approx(tuple(best.x), abs=1e-4)
    for k, interval in enumerate((found.intercept, found.slope)):
        error = (interval.high - interval.low) / (2 * norm.ppf(0.975))
        assert error == pytest.approx(np.sqrt(best.hess_inv[k, k]), rel=0.05)
    assert found.intercept.low < 0.4 < found.intercept.high  # what the sample was drawn with
    assert found.slope.low < 0.7 < found.slope.high
    assert found.p_value < 1e-10
    few = slice(0, 60)
    slight = cox(label[few], margin[few])
    fitted = slight.intercept.value + slight.slope.value * margin[few]
    deviance = [2 * log_loss(label[few], expit(m), normalize=False) for m in (margin[few], fitted)]
    assert slight.p_value == pytest.approx(np.exp(-(deviance[0] - deviance[1]) / 2))  # chi-square, two degrees


def test_a_calibrated_margin_passes() -> None:
    rng = np.random.default_rng(7)
    margin = rng.normal(-1, 1, size=3000)
    found = cox((rng.random(3000) < expit(margin)).astype(float), margin)
    assert found.slope.low < 1 < found.slope.high
    assert found.in_the_large.low < 0 < found.in_the_large.high
    assert found.p_value > 0.05


def test_in_the_large_makes_expected_and_observed_defaults_equal(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, margin = scored
    shift = in_the_large(label, margin)
    assert expit(margin + shift.value).sum() == pytest.approx(label.sum(), rel=1e-9)
    assert shift.low < shift.value < shift.high
    flat = in_the_large(label, np.zeros(2000))
    assert flat.value == pytest.approx(logit(label.mean()))
    error = 1 / np.sqrt(2000 * label.mean() * (1 - label.mean()))
    assert flat.high - flat.value == pytest.approx(norm.ppf(0.975) * error)


@pytest.mark.parametrize(
    ("label", "margin", "code"),
    [
        ([0, 0, 1, 1], [1, 2, 3, 4], "separated"),
        ([0, 0, 1, 1], [1, 2, 2, 4], "separated"),
        ([1, 1, 0, 0], [1, 2, 2, 4], "separated"),
        ([0, 1, 0, 1], [1, 1, 1, 1], "constant_score"),
        ([0, 0, 0, 0], [1, 2, 3, 4], "one_class"),
        ([0, 1, 0, 1], [1, 2, np.nan, 4], "score_missing"),
        ([0, 1, 0, 1], [1, 2, 3], "wrong_length"),
        ([], [], "no_rows"),
    ],
)
def test_no_slope_without_a_finite_estimate(label: list[int], margin: list[float], code: str) -> None:
    with pytest.raises(DataError) as caught:
        cox(label, margin)
    assert caught.value.code == code


def test_margins_beyond_any_doubt_have_no_information() -> None:
    with pytest.raises(DataError) as caught:
        in_the_large([0, 1], [-2000.0, 2000.0])
    assert caught.value.code == "separated"


def test_a_confidence_out_of_range_is_refused(scored: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ModelError):
        in_the_large(*scored, confidence=0.0)


def test_one_class_has_a_brier_score() -> None:
    assert brier([0, 0], [0.5, 0.1]).score == pytest.approx(0.13)
    with pytest.raises(DataError):
        brier([0, 0], [0.5, 1.1])
    with pytest.raises(DataError):
        brier([0, 0], [0.5, 0.1], group=[0])
