"""Amounts against scikit-learn, scipy, and 0/1 outcomes, on which Gini is that of AUC."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn import metrics as oracle

from models.errors import DataError, ModelError
from models.losses import Floats, Objective
from models.validation.amounts import MEASURES, Prediction, amount_report, concentration_curve, unit_deviance

OBJECTIVES = [
    (Objective("regression"), 0.0),
    (Objective("poisson"), 1.0),
    (Objective("tweedie", variance_power=1.3), 1.3),
]


def amounts(n: int = 300, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Outcomes with many zeros, a good prediction with ties, and a weak one."""
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(size=n))
    label = np.where(rng.random(n) < 0.4, 0.0, rng.gamma(2.0, mean / 2.0))
    return label, np.round(mean, 1) + 0.1, np.exp(rng.normal(size=n))


@pytest.mark.parametrize(("objective", "power"), OBJECTIVES, ids=lambda o: getattr(o, "name", ""))
@pytest.mark.parametrize("counted", [False, True], ids=["once", "counted"])
def test_measures_are_those_of_scikit_learn_and_scipy(objective: Objective, power: float, counted: bool) -> None:
    label, expected, _ = amounts()
    times = np.random.default_rng(1).integers(0, 4, len(label)) if counted else np.ones(len(label), dtype=np.int64)
    found = dict(zip(MEASURES, Prediction.of(label, expected, objective).measures(times), strict=True))
    label, expected = np.repeat(label, times), np.repeat(expected, times)
    assert found["rmse"] == pytest.approx(oracle.root_mean_squared_error(label, expected), rel=1e-12)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(label, expected), rel=1e-12)
    assert found["r_squared"] == pytest.approx(oracle.r2_score(label, expected), rel=1e-9)
    assert found["deviance"] == pytest.approx(oracle.mean_tweedie_deviance(label, expected, power=power), rel=1e-9)
    assert found["rank_correlation"] == pytest.approx(spearmanr(label, expected).statistic, rel=1e-9)


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(-4, 4).map(float)), min_size=2, max_size=60))
def test_gini_of_a_0_1_outcome_is_that_of_auc(pairs: list[tuple[float, float]]) -> None:
    label, score = np.array(pairs).T
    if label.min() == label.max():
        label[0] = 1.0 - label[0]
    gini = Prediction.of(label, score, Objective("regression")).measures()[-1]
    assert gini == pytest.approx(2.0 * oracle.roc_auc_score(label, score) - 1.0, abs=1e-12)


def test_gini_is_the_ratio_of_areas_under_the_curve() -> None:
    label, expected, _ = amounts()

    def area(score: Floats) -> float:
        x, y = concentration_curve(label, score)
        return float(np.trapezoid(y, x)) - 0.5

    gini = Prediction.of(label, expected, Objective("regression")).measures()[-1]
    assert gini == pytest.approx(area(expected) / area(label), rel=1e-12)


def test_a_constant_prediction_ranks_nothing_and_negative_outcomes_can_be_measured() -> None:
    label = amounts()[0] - 1.0
    *_, ranks, gini = Prediction.of(label, np.ones(len(label)), Objective("regression")).measures()
    assert (ranks, gini) == (0.0, 0.0)
    assert Prediction.of(label, label, Objective("regression")).measures().tolist() == pytest.approx([0, 0, 1, 0, 1, 1])


def test_a_better_model_gains_and_intervals_repeat() -> None:
    label, good, weak = amounts(600)
    models = {"weak": weak, "good": good}
    report = amount_report(label, models, OBJECTIVES[2][0], seed=3, n_resamples=200)
    assert report == amount_report(label, models, OBJECTIVES[2][0], seed=3, n_resamples=200)
    for name, sign in MEASURES.items():
        gain = report.gain[name]
        assert gain.value == pytest.approx(
            sign * (report.measures["good"][name].value - report.measures["weak"][name].value)
        )
        assert 0 < gain.low < gain.value < gain.high, name
    same = amount_report(label, {"a": good, "b": good}, OBJECTIVES[0][0], seed=3, n_resamples=20)
    assert {(g.low, g.value, g.high) for g in same.gain.values()} == {(0, 0, 0)}


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        label, expected, _ = amounts(120, seed)
        observed = amount_report(label, {"m": expected}, Objective("regression"), seed=0, n_resamples=100).observed
        held += observed.low <= 0.6 * np.exp(0.5) <= observed.high
    assert 170 <= held <= 199


def test_tenths_are_whole_ascending_and_never_part_equal_predictions() -> None:
    label, expected, _ = amounts()
    bands = amount_report(label, {"m": expected}, Objective("regression"), seed=0, n_resamples=50).bands["m"]
    assert sum(b.n_rows for b in bands) == len(label)
    assert [b.expected for b in bands] == sorted(b.expected for b in bands)
    assert sum(b.n_rows * b.observed.value for b in bands) == pytest.approx(label.sum())
    assert all(b.observed.low <= b.observed.value <= b.observed.high for b in bands)
    one = amount_report(label, {"m": np.ones(len(label))}, Objective("regression"), seed=0, n_resamples=20).bands["m"]
    assert len(one) == 1


def test_what_cannot_be_measured_is_told() -> None:
    label, expected, _ = amounts()
    cases = [
        ("constant_label", lambda: amount_report(np.ones(9), {"m": np.ones(9)}, Objective("regression"), seed=0)),
        ("prediction_not_positive", lambda: unit_deviance(label, expected * 0, Objective("poisson"))),
        ("objective_binary", lambda: unit_deviance(label, expected, Objective())),
        ("no_total", lambda: concentration_curve(label - 1.0, expected)),
        ("score_missing", lambda: amount_report(label, {"m": expected * np.nan}, Objective("regression"), seed=0)),
    ]
    for code, call in cases:
        with pytest.raises((DataError, ModelError)) as caught:
            call()
        assert caught.value.code == code


def test_rare_outcomes_are_drawn_until_they_vary() -> None:
    label = np.zeros(40)
    label[0] = 1.0
    report = amount_report(label, {"m": np.arange(40.0)}, Objective("regression"), seed=0, n_resamples=50)
    assert np.isfinite([i.high for i in report.measures["m"].values()]).all()
