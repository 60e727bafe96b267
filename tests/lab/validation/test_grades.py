"""Grades come from development rows; held-out rows judge them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, binom

from lab.validation.grades import development_scale, grade_report
from lab.validation.sample import ScoredSample, ValidationRules
from models.errors import DataError
from models.losses import default_probability
from models.validation.master_scale import MasterScale
from tests.lab.validation.samples import scored

RULES = ValidationRules(n_resamples=20)


def test_counts_tests_and_shares_of_every_grade() -> None:
    sample, _ = scored()
    p = default_probability(sample.margin)
    report = grade_report(sample, p, RULES)
    held_out = sample.holdout
    assert sum(g.n_rows for g in report.rows) == held_out.sum()
    assert sum(g.n_defaults for g in report.rows) == sample.label[held_out].sum()
    assert sum(g.development_share for g in report.rows) == pytest.approx(1)
    for g in report.rows:
        rows = held_out & (p >= g.lower) & (p < g.upper)
        assert g.n_rows == rows.sum()
        assert g.binomial_p == pytest.approx(binom.sf(g.n_defaults - 1, g.n_rows, g.default_probability))
        a, b = g.n_defaults + 0.5, g.n_rows - g.n_defaults + 0.5
        assert g.jeffreys_p == pytest.approx(beta.cdf(g.default_probability, a, b))
        developed = p[~held_out & (p >= g.lower) & (p < g.upper)]
        assert g.default_probability == pytest.approx(developed.mean())
        assert len(developed) >= max(RULES.minimum, 0.02 * (~held_out).sum() - 1)


def test_understated_risk_turns_red_and_overstated_does_not() -> None:
    sample, _ = scored(n=20_000)
    for shift, red in ((-0.8, True), (0.8, False)):
        report = grade_report(sample, default_probability(sample.margin + shift), RULES)
        assert ("red" in {g.light for g in report.rows}) is red


def test_held_out_labels_do_not_move_the_scale() -> None:
    sample, _ = scored()
    p = default_probability(sample.margin)
    flipped = ScoredSample(np.where(sample.holdout, 1 - sample.label, sample.label), sample.margin, sample.part)
    assert grade_report(sample, p, RULES).scale == grade_report(flipped, p, RULES).scale


def test_a_bank_may_bring_its_own_scale() -> None:
    sample, _ = scored()
    scale = MasterScale(("A", "B"), (0.1,), (0.05, 0.3))
    report = grade_report(sample, default_probability(sample.margin), RULES, scale)
    assert [g.name for g in report.rows] == ["A", "B"]
    assert report.scale == scale.to_json()


def test_a_grade_without_held_out_rows_has_no_rate() -> None:
    sample, _ = scored()
    scale = MasterScale(("A", "B", "C"), (1e-9, 0.2), (1e-10, 0.05, 0.3))
    first = grade_report(sample, default_probability(sample.margin), RULES, scale).rows[0]
    assert (first.n_rows, first.default_rate, first.light) == (0, None, "green")


def test_too_few_rows_or_no_spread_make_no_scale() -> None:
    with pytest.raises(DataError, match="one grade"):
        development_scale(np.linspace(0.1, 0.2, 60), RULES)
    with pytest.raises(DataError, match="same for all rows"):
        development_scale(np.full(500, 0.2), RULES)
