"""Which rows fit and which test."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lab.config_sections import SplitSection
from lab.data.sources import Division
from lab.evaluation import arrange, gain, quality
from models.errors import DataError
from models.losses import Floats

IDS = [f"{i:04d}" for i in range(500)]
LABEL = (np.arange(500) % 4 == 0).astype(float)
COMMON = np.arange(0, 500, 2)


def test_parts_are_disjoint_whole_and_stratified() -> None:
    a = arrange(COMMON, IDS, LABEL, SplitSection(holdout=0.3, valid=0.2), seed=1)
    assert sorted(a.rows) == list(COMMON)
    held_out = a.rows[a.n_fit + a.n_valid :]
    assert len(held_out) == pytest.approx(0.3 * len(COMMON), abs=2)
    assert LABEL[held_out].mean() == pytest.approx(LABEL[COMMON].mean(), abs=0.01)


def test_out_of_time_holds_out_the_later_rows() -> None:
    time = np.arange(500.0)
    split = SplitSection(time_column="year", holdout_from=400)
    a = arrange(COMMON, IDS, LABEL, split, seed=1, time=time)
    assert time[a.rows[: a.n_fit]].max() < 400
    assert time[a.rows[a.n_fit :]].min() >= 400


def test_seed_and_ids_decide_not_the_order_of_rows() -> None:
    split = SplitSection()
    a = arrange(COMMON, IDS, LABEL, split, seed=1)
    order = np.random.default_rng(0).permutation(500)
    place = np.argsort(order)
    b = arrange(place[COMMON], [IDS[i] for i in order], LABEL[order], split, seed=1)
    assert [IDS[r] for r in a.rows] == [IDS[order[r]] for r in b.rows]
    assert (arrange(COMMON, IDS, LABEL, split, seed=2).rows != a.rows).any()


def test_a_part_of_one_class_is_an_error() -> None:
    with pytest.raises(DataError, match="lack defaults or non-defaults"):
        arrange(COMMON, IDS, np.zeros(500), SplitSection(), seed=1)


def test_gain_is_paired_and_quality_repeats() -> None:
    rng = np.random.default_rng(0)
    label = (rng.random(300) < 0.3).astype(float)
    good, bad = label + rng.normal(size=300), rng.normal(size=300)
    assert quality(label, good, 7) == quality(label, good, 7)
    better = gain(label, good, bad, 7).auc
    assert better.value == pytest.approx(quality(label, good, 7).auc.value - quality(label, bad, 7).auc.value)
    assert 0 < better.low < better.value < better.high
    same = gain(label, good, good, 7).auc
    assert (same.low, same.value, same.high) == (0, 0, 0)


GROUP = np.repeat(np.arange(250), 2)[np.random.default_rng(3).permutation(500)]


@pytest.mark.parametrize(
    ("split", "time", "held_out"),
    [
        (SplitSection(holdout=0.3, valid=0.2), None, None),
        (SplitSection(time_column="year", holdout_from=400, valid=0.2), np.arange(500.0), None),
        (SplitSection(holdout_column="mark", valid=0.2), None, np.arange(500) % 5 == 0),
    ],
)
def test_no_group_is_in_two_parts(split: SplitSection, time: Floats | None, held_out: NDArray[np.bool_] | None) -> None:
    everyone = np.arange(500)
    a = arrange(everyone, IDS, LABEL, split, 1, time, division=Division(held_out, GROUP))
    parts = np.split(a.rows, [a.n_fit, a.n_fit + a.n_valid])
    groups = [set(GROUP[part]) for part in parts]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    if time is not None:
        assert set(parts[2]) == set(range(400, 500))
    elif held_out is not None:
        assert set(parts[2]) == set(np.flatnonzero(held_out))
    else:
        assert sorted(a.rows) == list(everyone)
        assert len(parts[2]) == pytest.approx(150, abs=4)
        assert LABEL[parts[2]].mean() == pytest.approx(LABEL.mean(), abs=0.06)


def test_a_group_of_one_each_is_the_same_as_no_group() -> None:
    split = SplitSection(holdout=0.3, valid=0.2)
    own = arrange(COMMON, IDS, LABEL, split, 1, None, division=Division(group=np.arange(500)))
    assert (own.rows == arrange(COMMON, IDS, LABEL, split, 1).rows).all()
