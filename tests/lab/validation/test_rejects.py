"""What the rejected could mean, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from lab.validation.rejects import cutoff_at, reject_report
from lab.validation.sample import ScoredSample
from models.errors import DataError, ModelError
from models.losses import Floats, default_probability

#: Ten accepted: six fitted with two defaults; four held out, of which the riskiest defaults.
P = np.array([0.1, 0.1, 0.2, 0.2, 0.5, 0.5, 0.1, 0.2, 0.2, 0.5])
LABEL = np.array([0, 0, 0, 1, 0, 1, 0, 0, 0, 1], dtype=float)
PART = np.array(["fit"] * 6 + ["holdout"] * 4)
SAMPLE = ScoredSample(LABEL, np.log(P / (1 - P)), PART)
#: Five rejected; their predicted defaults sum to 2.
REJECTED = np.array([0.2, 0.2, 0.4, 0.4, 0.8])


def test_bounds_and_rates_by_hand() -> None:
    """Three of ten accepted default. Twice 0.8 counts as 1: at factor 2 the rejected make 0.4+0.4+0.8+0.8+1 = 3.4."""
    found = reject_report(SAMPLE, default_probability, REJECTED, factors=(1.0, 2.0), n_unscored=4, seed=1)
    assert (found.n_accepted, found.n_rejected, found.n_unscored) == (10, 5, 4)
    bounds = found.bounds
    assert (bounds.accepted, bounds.all_good, bounds.all_bad) == pytest.approx((0.3, 3 / 15, 8 / 15))
    assert (bounds.low, bounds.high) == pytest.approx((5 / 15, 6.4 / 15))
    first, second = found.assumptions
    assert (first.fuzzy_rate, second.fuzzy_rate) == pytest.approx((bounds.low, bounds.high))
    assert (first.rejected_rate, second.rejected_rate) == pytest.approx((2 / 5, 3.4 / 5))


def test_parcelling_uses_held_out_rates_by_hand() -> None:
    """Bands of the held-out: at 0.1 and 0.2 none of three defaults, at 0.5 one of one. So of the rejected the two at
    0.2 get none, the three above all default: 3 + 3 of 15, at any factor from 1."""
    found = reject_report(SAMPLE, default_probability, REJECTED, factors=(1.0, 3.0), seed=1)
    assert [a.parcelled_rate for a in found.assumptions] == pytest.approx([6 / 15, 6 / 15])


def test_the_cutoff_by_hand() -> None:
    """Each held-out row stands for 2.5 accepted; today 30 % default. By probability: 0.1 (2.5 rows, 0 bad), 0.2 (5 + 2
    rows, 0.4 bad), 0.4 (2 rows, 0.8 bad), 0.5 (2.5 rows, 2.5 bad), 0.8 (1, 0.8). Up to 0.4: 1.2 of 11.5 = 10 %; up to
    0.5: 3.7 of 14 = 26 %; all: 4.5 of 15 = 30 %. Twice as risky: 2.4 of 11.5 = 21 %; with 0.5: 4.9 of 14 = 35 %."""
    found = reject_report(SAMPLE, default_probability, REJECTED, factors=(1.0, 2.0), seed=1)
    first, second = found.assumptions
    assert (first.cutoff, first.approval_rate) == pytest.approx((0.8, 1.0))
    assert (second.cutoff, second.approval_rate) == pytest.approx((0.4, 11.5 / 15))


def test_a_riskier_assumption_never_approves_more() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.6, 2000)
    sample = ScoredSample(
        (rng.random(2000) < p).astype(float), np.log(p / (1 - p)), np.repeat(["fit", "holdout"], 1000)
    )
    found = reject_report(sample, default_probability, np.minimum(0.95, p[:500] * 1.4), seed=2)
    shares = [a.approval_rate for a in found.assumptions]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > shares[-1]
    rates = [a.parcelled_rate for a in found.assumptions]
    assert rates == sorted(rates)
    assert all(found.bounds.all_good <= a.fuzzy_rate <= found.bounds.all_bad for a in found.assumptions)


def test_nobody_can_be_approved_if_even_the_safest_are_too_risky() -> None:
    p: Floats = np.array([0.5, 0.6])
    assert cutoff_at(p, p, np.ones(2), 0.4) == (None, 0.0)


def test_probabilities_and_factors_are_checked() -> None:
    with pytest.raises(DataError):
        reject_report(SAMPLE, default_probability, [1.2], seed=1)
    with pytest.raises(ModelError):
        reject_report(SAMPLE, default_probability, REJECTED, factors=(-1.0,), seed=1)
