"""Platt and isotonic against scikit-learn; JSON there and back; what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from models.errors import DataError, ModelError
from models.validation.calibrators import (
    FLOOR,
    Calibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    calibrator_from_json,
    fit_isotonic,
    fit_platt,
)

finite = st.floats(-30, 30)


class Margin(ClassifierMixin, BaseEstimator):
    """A classifier that hands its one column on as margin."""

    def fit(self, x: np.ndarray, y: np.ndarray) -> Margin:
        self.classes_ = np.unique(y)
        return self

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        return x[:, 0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classes_[(x[:, 0] > 0).astype(int)]


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    margin = np.round(rng.normal(-1, 1.5, size=800), 2)
    label = (rng.random(800) < expit(-0.5 + 0.6 * margin)).astype(float)
    return label, margin, rng.integers(0, 4, size=800).astype(float)


@pytest.mark.filterwarnings("ignore:Since FrozenEstimator")
@pytest.mark.parametrize("n_rows", [20, 800])
@pytest.mark.parametrize("weighted", [False, True])
def test_platt_is_that_of_scikit_learn(scored: tuple[np.ndarray, ...], weighted: bool, n_rows: int) -> None:
    label, margin, weight = (column[:n_rows] for column in scored)
    weight = weight if weighted else np.ones(n_rows)
    frozen = FrozenEstimator(Margin().fit(margin[:, None], label))
    theirs = CalibratedClassifierCV(frozen, method="sigmoid").fit(margin[:, None], label, sample_weight=weight)
    fitted = theirs.calibrated_classifiers_[0].calibrators[0]  # 1 / (1 + exp(a * margin + b))
    ours = fit_platt(label, margin, weight if weighted else None)
    assert (ours.slope, ours.intercept) == pytest.approx((-fitted.a_, -fitted.b_), rel=1e-3)
    assert ours.apply(margin) == pytest.approx(theirs.predict_proba(margin[:, None])[:, 1], abs=1e-4)


def test_platt_without_smoothing_is_logistic_regression(scored: tuple[np.ndarray, ...]) -> None:
    label, margin, weight = scored
    theirs = LogisticRegression(C=np.inf, tol=1e-10, solver="lbfgs", max_iter=1000)
    theirs.fit(margin[:, None], label, sample_weight=weight)
    ours = fit_platt(label, margin, weight, smoothed=False)
    assert ours.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    p = ours.apply(margin)
    assert weight @ p == pytest.approx(weight @ label, rel=1e-9)  # the score equations of maximum likelihood
    assert weight @ (p * margin) == pytest.approx(weight @ (label * margin), rel=1e-7)


def test_smoothing_keeps_a_perfect_margin_finite() -> None:
    label, margin = [0, 0, 0, 1, 1], [-2.0, -1, 0, 1, 2]
    assert 0 < fit_platt(label, margin).slope < 50
    with pytest.raises(DataError) as caught:
        fit_platt(label, margin, smoothed=False)
    assert caught.value.code == "separated"


@pytest.mark.parametrize("weighted", [False, True])
def test_isotonic_is_that_of_scikit_learn(scored: tuple[np.ndarray, ...], weighted: bool) -> None:
    label, margin, weight = scored
    theirs = IsotonicRegression(out_of_bounds="clip").fit(margin, label, weight if weighted else None)
    ours = fit_isotonic(label, margin, weight if weighted else None, floor=0.0)
    asked = np.linspace(-8, 8, 401)
    assert ours.apply(asked) == pytest.approx(theirs.predict(asked), abs=1e-12)


def test_a_constant_margin_isotonically_gives_the_default_rate() -> None:
    assert fit_isotonic([0, 1, 0, 0], [2.0] * 4).apply([-5.0, 2.0, 5.0]).tolist() == [0.25] * 3


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0]), finite), min_size=2, max_size=40).filter(
        lambda r: len({y for y, _ in r}) == 2
    ),
    st.lists(finite, min_size=1, max_size=40),
)
def test_isotonic_never_falls_and_stays_inside(rows: list[tuple[float, float]], asked: list[float]) -> None:
    label, margin = np.array(rows).T
    p = fit_isotonic(label, margin).apply(np.sort(asked))
    assert (np.diff(p) >= 0).all()
    assert FLOOR <= p.min() <= p.max() <= 1 - FLOOR


@given(st.dictionaries(finite, st.floats(0, 1), min_size=1, max_size=12), st.lists(finite, min_size=1, max_size=12))
@example({0.0: 0.0, 5e-324: 1.0}, [0.0, 5e-324, -1.0])
@example({-1.0112406619686012: 0.1816241450112761, 0.0849064052901731: 0.8239492169678898}, [0.0849064052901730])
def test_one_margin_gives_the_same_bits_as_many(points: dict[float, float], asked: list[float]) -> None:
    margins = tuple(sorted(points))
    steps = IsotonicCalibrator(margins, tuple(sorted(points.values())))
    m = [*asked, *margins]
    for calibrator in (steps, PlattCalibrator(-0.3, 1.7)):
        assert [calibrator.apply_one(value) for value in m] == calibrator.apply(m).tolist()


def test_rounding_never_lifts_a_margin_over_the_next_point() -> None:
    margins, probabilities = (-1.0112406619686012, 0.0849064052901731), (0.1816241450112761, 0.8239492169678898)
    just_below = np.nextafter(margins[1], -1)
    assert np.interp(just_below, margins, probabilities) > probabilities[1]  # what plain interpolation would give
    assert IsotonicCalibrator(margins, probabilities).apply([just_below])[0] <= probabilities[1]


@given(finite, st.floats(1e-3, 10), st.lists(finite, min_size=1, max_size=40))
def test_platt_never_falls_and_stays_inside(intercept: float, slope: float, asked: list[float]) -> None:
    p = PlattCalibrator(intercept, slope, floor=0.001).apply(np.sort(asked))
    assert (np.diff(p) >= -1e-15).all()
    assert 0.001 <= p.min() <= p.max() <= 0.999


@pytest.mark.parametrize(
    "calibrator", [PlattCalibrator(-0.1, 0.7, 0.0005), IsotonicCalibrator((-1.0, 0.5, 2.0), (0.0, 0.1, 1.0))]
)
def test_json_there_and_back(calibrator: Calibrator) -> None:
    again = calibrator_from_json(json.loads(json.dumps(calibrator.to_json(), allow_nan=False)))
    assert again == calibrator
    asked = np.linspace(-5, 5, 50)
    assert again.apply(asked).tolist() == calibrator.apply(asked).tolist()


PLATT: Mapping[str, Any] = {"format": 1, "kind": "platt", "intercept": 0.0, "slope": 1.0, "floor": 0.0}
STEPS: Mapping[str, Any] = {"format": 1, "kind": "isotonic", "margins": [0, 1], "probabilities": [0, 1], "floor": 0.0}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([], "calibrator_unreadable"),
        ({}, "calibrator_unreadable"),
        ({**PLATT, "format": 2}, "calibrator_unreadable"),
        ({**PLATT, "kind": ["platt"]}, "calibrator_unreadable"),
        ({k: v for k, v in PLATT.items() if k != "slope"}, "calibrator_unreadable"),
        ({**PLATT, "floor": "0.1"}, "calibrator_unreadable"),
        ({**PLATT, "floor": 0.5}, "bad_parameter"),
        ({**PLATT, "slope": 0.0}, "bad_calibrator"),
        ({**PLATT, "slope": True}, "bad_calibrator"),
        ({**PLATT, "intercept": float("nan")}, "bad_calibrator"),
        ({**STEPS, "margins": 3}, "calibrator_unreadable"),
        ({**STEPS, "margins": [1, 1]}, "bad_calibrator"),
        ({**STEPS, "margins": [0]}, "bad_calibrator"),
        ({**STEPS, "margins": [], "probabilities": []}, "bad_calibrator"),
        ({**STEPS, "probabilities": [0.5, 0.4]}, "bad_calibrator"),
        ({**STEPS, "probabilities": [0.5, 1.1]}, "bad_calibrator"),
        ({**STEPS, "probabilities": [0.5, "1"]}, "bad_calibrator"),
    ],
)
def test_a_damaged_file_is_refused(data: Any, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        calibrator_from_json(data)
    assert caught.value.code == code


def test_the_other_kind_is_refused() -> None:
    with pytest.raises(ModelError):
        PlattCalibrator.from_json(STEPS)
    with pytest.raises(ModelError):
        IsotonicCalibrator.from_json(PLATT)


def test_a_margin_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        fit_platt([1, 0, 1, 0, 0], [-1.0, 1, 0, 0, 2])
    assert caught.value.code == "bad_calibrator"


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
@pytest.mark.parametrize(
    ("label", "margin", "weight", "code"),
    [
        ([0, 0], [1.0, 2.0], None, "one_class"),
        ([0, 1], [1.0, 2.0], [1.0, 0.0], "one_class"),
        ([0, 1], [1.0, 2.0], [1.0], "wrong_length"),
        ([0, 1], [1.0, np.nan], None, "score_missing"),
        ([], [], None, "no_rows"),
    ],
)
def test_rows_that_cannot_calibrate_are_refused(fit: Any, label: list, margin: list, weight: Any, code: str) -> None:
    with pytest.raises(DataError) as caught:
        fit(label, margin, weight)
    assert caught.value.code == code


def test_platt_needs_margins_that_differ() -> None:
    with pytest.raises(DataError) as caught:
        fit_platt([0, 1], [1.0, 1.0])
    assert caught.value.code == "constant_score"
