"""Shifts of one party's features, over the bins of its trees or of its scorecard."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from models.binning import fit_bins
from models.scorecard.card import WoeFeature
from models.table import Table
from models.validation.features import (
    FeatureShift,
    binned_by_cuts,
    binned_by_woe,
    feature_shifts,
    shifts_of_others,
)
from models.validation.stability import Shift, stability_index
from models.woe.prebins import fit_prebins
from models.woe.tables import WoeBins
from tests.builders import numbers, texts

FIRST, SECOND = np.arange(500), np.arange(500, 1000)


def test_a_shift_of_a_feature_is_seen_and_small_bins_are_joined() -> None:
    rng = np.random.default_rng(0)
    steady, moved = rng.normal(size=1000), rng.normal(size=1000)
    moved[500:] += 1.0
    rare = texts(*np.where(np.arange(1000) % 100 == 0, "rare", "often"))
    table = Table(tuple(map(str, range(1000))), {"a": steady, "b": moved, "c": rare, "d": numbers(*steady)})
    binned = binned_by_cuts(table, fit_bins(table, 8))
    a, b, c, _ = feature_shifts(binned, FIRST, SECOND, minimum=50)
    assert a.stability
    assert b.stability
    assert c.stability
    assert a.stability.index < 0.1 < 0.25 < b.stability.index
    assert c.stability.expected == (1.0,)  # five rows of the rare level are told with the others
    assert feature_shifts(binned, FIRST[:20], SECOND, minimum=50)[0].stability is None


def test_a_scorecard_counts_its_final_bins_and_levels_never_seen() -> None:
    level = np.repeat(["a", "b", "c"], [400, 500, 100])  # fitted: 400 a, 100 b; then 400 b, 100 that are new
    table = Table(tuple(map(str, range(1000))), {"job": texts(*level)})
    [prebins] = fit_prebins(table.take(FIRST))
    bins = WoeBins("job", (0, 1, 1), (0.5, -0.5))  # missing goes with b
    [job] = binned_by_woe(table, [WoeFeature(prebins, bins)])
    assert job.n_bins == 3
    [found] = feature_shifts([job], FIRST, SECOND, minimum=0)
    assert found.stability
    assert found.stability.index == pytest.approx(stability_index([400, 100, 0], [0, 400, 100]))
    assert found.stability.most_moved == (0.8, 0.0)


def test_what_others_told_is_read_back_and_the_own_left_out() -> None:
    told = (
        FeatureShift("host:a feature 1", Shift(0.31, "large_shift", (0.1, 0.3)), "host:a"),
        FeatureShift("host:a feature 2", None, "host:a"),
        FeatureShift("host:b feature 1", None, "host:b", withheld=True),
    )
    own = FeatureShift("amount", Shift(0.0, "stable", (1.0, 1.0)))
    assert shifts_of_others([asdict(f) for f in (own, *told)]) == told
