"""No calibrator sees the rows it is judged on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from lab.validation.calibrated import calibrated, cross_fitted
from lab.validation.notes import Notes
from lab.validation.sample import ScoredSample, ValidationRules
from models.losses import Floats
from models.validation.calibrators import calibrator_from_json, fit_platt
from tests.lab.validation.samples import scored

RULES = ValidationRules(n_resamples=20)


def test_the_calibrator_does_not_change_with_held_out_labels() -> None:
    sample, _ = scored(stretch=2.0, shift=0.7)
    report, probability = calibrated(sample, RULES, 1, Notes())
    flipped = np.where(sample.holdout, 1 - sample.label, sample.label)
    other, same = calibrated(ScoredSample(flipped, sample.margin, sample.part), RULES, 1, Notes())
    assert report.source == "valid"
    assert report.method == other.method == "platt"
    assert report.calibrator == other.calibrator
    assert (probability == same).all()
    assert report.brier != other.brier


def test_a_stretched_margin_is_set_right() -> None:
    sample, _ = scored(n=20_000, stretch=2.0, shift=0.7)
    report, probability = calibrated(sample, RULES, 1, Notes())
    raw = next(m for m in report.methods if m.method == "raw")
    chosen = next(m for m in report.methods if m.method == report.method)
    assert {m.method for m in report.methods} == {"raw", "platt", "isotonic"}
    assert raw.cox
    assert chosen.cox
    assert raw.cox.slope.high < 0.6
    assert chosen.cox.slope.value == pytest.approx(1.0, abs=0.1)
    assert chosen.log_loss < raw.log_loss
    held_out = sample.holdout
    assert probability[held_out].mean() == pytest.approx(sample.label[held_out].mean(), abs=0.02)
    assert report.calibrator
    stored = calibrator_from_json(report.calibrator).apply(sample.margin)
    assert (stored == probability).all()


def test_without_rows_apart_held_out_rows_calibrate_and_others_of_them_judge() -> None:
    """Where raw probabilities are off the error falls, and each row is judged by a calibrator that did not see it."""
    sample, _ = scored(n=6_000, valid=0.0, stretch=2.0, shift=0.7)
    notes = Notes()
    report, probability = calibrated(sample, RULES, 1, notes)
    assert (report.source, report.n_rows) == ("holdout", int(sample.holdout.sum()))
    assert {(m.method, m.judged) for m in report.methods} >= {("raw", "apart"), ("platt", "folds")}
    assert not notes.kept
    by = {m.method: m for m in report.methods}
    raw, chosen = by["raw"], by[report.method]
    assert raw.cox
    assert chosen.cox
    assert raw.cox.slope.high < 0.6
    assert chosen.cox.slope.low < 1 < chosen.cox.slope.high
    assert chosen.log_loss < raw.log_loss
    assert chosen.brier < raw.brier
    y, m = sample.label[sample.holdout], sample.margin[sample.holdout]
    assert (probability[sample.holdout] == cross_fitted(y, m, report.method, 1)).all()
    assert expected_error(y, probability[sample.holdout]) < 0.3 * expected_error(y, 1 / (1 + np.exp(-m)))


def expected_error(label: Floats, probability: Floats) -> float:
    """Expected calibration error over ten bands (Naeini et al. 2015), counted anew here."""
    bands = np.array_split(np.argsort(probability, kind="stable"), 10)
    gaps = [abs(label[rows].mean() - probability[rows].mean()) * len(rows) for rows in bands]
    return float(sum(gaps) / len(label))


@pytest.mark.parametrize("n", [1_500, 6_000])  # few enough for a line alone, and enough for steps
def test_a_calibrator_never_turns_ranks_around(n: int) -> None:
    sample, _ = scored(n=n, valid=0.0, stretch=2.0, shift=0.7)
    report, _ = calibrated(sample, RULES, 1, Notes())
    assert report.calibrator
    told = calibrator_from_json(report.calibrator).apply(np.sort(sample.margin))
    assert (np.diff(told) >= 0).all()
    if report.method == "platt":
        assert (np.diff(told)[np.diff(np.sort(sample.margin)) > 0] > 0).all()


def test_a_margin_that_ranks_the_wrong_way_stays_as_it_is_and_that_is_said() -> None:
    sample, _ = scored(valid=0.0)
    notes = Notes()
    report, _ = calibrated(replace(sample, margin=-sample.margin), RULES, 1, notes)
    assert (report.source, report.n_rows, report.method, report.calibrator) == ("none", 0, "raw", None)
    assert [note.code for note in notes.kept] == ["bad_calibrator", "uncalibrated"]


def test_margins_out_of_fold_are_calibrated_on_and_fitted_ones_never() -> None:
    sample, _ = scored(valid=0.0, stretch=2.0)
    overfitted = np.where(sample.fit, 50.0 * (sample.label - 0.5), sample.margin)
    out_of_fold = np.where(sample.fit, sample.margin, np.nan)
    with_folds = ScoredSample(sample.label, overfitted, sample.part, out_of_fold=out_of_fold)
    report, _ = calibrated(with_folds, RULES, 1, Notes())
    assert report.source == "out_of_fold"
    chosen = next(m for m in report.methods if m.method == report.method)
    assert chosen.cox
    assert chosen.cox.slope.low < 1 < chosen.cox.slope.high
    assert calibrated(replace(with_folds, out_of_fold=None), RULES, 1, Notes())[0].source == "holdout"


def test_a_row_is_judged_by_a_calibrator_of_the_other_folds() -> None:
    rng = np.random.default_rng(2)
    margin = rng.normal(size=500)
    label = (rng.random(500) < 1 / (1 + np.exp(-margin))).astype(float)
    told = cross_fitted(label, margin, "platt", 1)
    n_seen = 0
    for others, own in StratifiedKFold(5, shuffle=True, random_state=1).split(margin[:, None], label):
        assert (told[own] == fit_platt(label[others], margin[others]).apply(margin[own])).all()
        n_seen += len(own)
    assert n_seen == 500


def test_too_few_defaults_to_calibrate_on() -> None:
    sample, _ = scored(n=400, valid=0.1)
    notes = Notes()
    assert calibrated(sample, RULES, 1, notes)[0].source == "none"
    assert [note.code for note in notes.kept] == ["uncalibrated"]
