"""One call measures any model's scores; what cannot be measured is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ks_2samp
from sklearn.metrics import brier_score_loss, roc_auc_score

from lab.validation.pack import validate
from lab.validation.sample import ScoredSample, ValidationRules
from models.errors import DataError, ModelError
from models.losses import default_probability
from tests.lab.validation.samples import scored

QUICK = ValidationRules(n_resamples=20)


def test_separation_agrees_with_scipy_and_scikit_learn() -> None:
    sample, challenger = scored()
    pack = validate(sample, challenger=challenger, rules=QUICK, seed=1)
    y, m = sample.label[sample.holdout], sample.margin[sample.holdout]
    assert pack.holdout.auc_bootstrap.value == pytest.approx(roc_auc_score(y, m))
    assert pack.holdout.auc
    assert pack.holdout.auc.value == pytest.approx(roc_auc_score(y, m))
    assert pack.holdout.ks.value == pytest.approx(ks_2samp(m[y == 1], m[y == 0]).statistic)
    assert pack.comparison
    gain = roc_auc_score(y, m) - roc_auc_score(y, challenger[sample.holdout])
    assert pack.comparison.auc
    assert pack.comparison.auc.gain.value == pytest.approx(gain)
    raw = next(r for r in pack.calibration.methods if r.method == "raw")
    assert raw.brier == pytest.approx(brier_score_loss(y, default_probability(m)))
    assert sum(d.n_rows for d in pack.deciles) == len(y) == pack.holdout.n_rows


def test_a_pack_is_plain_json_and_the_same_every_time() -> None:
    sample, challenger = scored(dated=True)
    groups = np.where(np.arange(4000) % 3 == 0, "甲", "乙")
    packs = [
        validate(sample, challenger=challenger, groups=groups, rejected_margin=[0.1, 2.0], rules=QUICK, seed=3)
        for _ in range(2)
    ]
    first, second = (json.dumps(p.to_json(), allow_nan=False) for p in packs)
    assert first == second
    assert json.loads(first) == packs[0].to_json()


def test_held_out_periods_are_told_apart_and_out_of_time_is_seen() -> None:
    sample, _ = scored(dated=True)
    pack = validate(sample, rules=QUICK, seed=1)
    assert pack.out_of_time
    assert [(v.period, v.part) for v in pack.vintages] == [
        (str(2000 + k), "development" if k < 7 else "holdout") for k in range(10)
    ]
    assert sum(v.n_rows for v in pack.vintages) == 4000
    late = sample.holdout & (sample.period == 2009)
    told = pack.vintages[-1]
    assert told.default_rate
    assert told.default_rate.value == pytest.approx(sample.label[late].mean())
    assert told.auc
    assert told.auc.value == pytest.approx(roc_auc_score(sample.label[late], sample.margin[late]))
    mixed = ScoredSample(sample.label, sample.margin, sample.part, np.arange(4000.0)[::-1] % 7)
    assert not validate(mixed, rules=QUICK, seed=1).out_of_time


def test_many_dates_are_shown_in_bands() -> None:
    sample, _ = scored()
    days = ScoredSample(sample.label, sample.margin, sample.part, 20050101.0 + np.arange(4000) // 10)
    told = [v for v in validate(days, rules=QUICK, seed=1).vintages if v.part == "development"]
    assert told[0].period.startswith("20050101 – 200501")
    assert 8 <= len(told) <= 12


def test_small_periods_and_groups_tell_nothing() -> None:
    sample, _ = scored(dated=True)
    period = np.where(np.arange(4000) >= 3990, 2030.0, 2000.0)
    groups = np.full(4000, "many", dtype=object)
    groups[2900:3900] = "some"
    groups[3990:] = "few"
    pack = validate(ScoredSample(sample.label, sample.margin, sample.part, period), groups=groups, rules=QUICK, seed=1)
    assert pack.vintages[-1].n_rows == 10
    assert pack.vintages[-1].default_rate is None
    # "few" alone could be had from the total, so the smallest group shown goes, too
    assert {g.name: g.suppressed for g in pack.groups} == {"few": True, "many": True, "some": False}


def test_rows_of_one_class_parts_unknown_and_rules_out_of_range_are_errors() -> None:
    sample, challenger = scored()
    with pytest.raises(DataError, match="only one class"):
        ScoredSample(np.where(sample.holdout, 0.0, sample.label), sample.margin, sample.part)
    with pytest.raises(DataError, match="needs a part"):
        ScoredSample(sample.label, sample.margin, np.where(sample.fit, "train", sample.part))
    with pytest.raises(DataError, match="challenger"):
        validate(sample, challenger=challenger[:-1], rules=QUICK, seed=1)
    with pytest.raises(ModelError, match="approval_rate"):
        ValidationRules(approval_rate=1.2)


def test_what_cannot_be_measured_is_noted_not_hidden() -> None:
    label = np.tile([0.0, 1.0], 40)
    part = np.repeat(["fit", "holdout"], 40)
    pack = validate(ScoredSample(label, np.zeros(80), part), rules=QUICK, seed=1)
    assert pack.grades is None
    assert pack.stability is None
    assert {"constant_score", "uncalibrated"} <= {note.code for note in pack.notes}
    perfect = validate(ScoredSample(label, 4 * label - 2 + np.linspace(0, 1, 80), part), rules=QUICK, seed=1)
    assert perfect.calibration.methods[0].cox is None
    assert "separated" in {note.code for note in perfect.notes}


def test_few_resamples_keep_a_large_pack_quick() -> None:
    """By count of work, not by the clock: a quarter of the bootstrap for rows that flatter the model."""
    sample, _ = scored(n=600)
    few = validate(sample, rules=replace(QUICK, n_resamples=80), seed=1)
    again = validate(sample, rules=QUICK, seed=1)
    assert few.development.ks == again.development.ks  # both have 20
    assert few.holdout.ks != again.holdout.ks
