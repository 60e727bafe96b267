"""Folds keep groups whole and time in order, and are refused where they would be too thin."""

from __future__ import annotations

import numpy as np
import pytest

from lab.auto.folds import make_folds
from models.errors import DataError

LABEL = (np.arange(600) % 4 == 0).astype(float)


def test_every_row_is_judged_once_by_others_of_its_own_share_of_defaults() -> None:
    folds = make_folds(LABEL, 5, seed=1)
    assert sorted(np.concatenate([f.test for f in folds])) == list(range(600))
    for f in folds:
        assert not set(f.fit) & set(f.test)
        assert LABEL[f.test].mean() == pytest.approx(0.25)


def test_groups_are_whole() -> None:
    group = np.random.default_rng(0).integers(0, 200, 600)
    for f in make_folds(LABEL, 5, seed=1, group=group):
        assert not set(group[f.fit]) & set(group[f.test])


def test_time_expands_equal_times_stay_together_and_groups_do_not_look_ahead() -> None:
    rng = np.random.default_rng(0)
    time, group = rng.integers(0, 40, 600).astype(float), rng.integers(0, 500, 600)
    folds = make_folds(LABEL, 4, 1, time, group)
    seen: set[int] = set()
    for f in folds:
        assert time[f.fit].max() < time[f.test].min()
        assert not set(group[f.fit]) & set(group[f.test])
        assert not seen & set(f.test)
        seen |= set(f.test)
        assert 60 < len(f.test) < 180
    everyone = make_folds(LABEL, 4, 1, time)
    assert [len(f.fit) for f in everyone] == sorted(len(f.fit) for f in everyone)


@pytest.mark.parametrize(
    ("label", "n_folds", "time", "code"),
    [
        (LABEL, 16, None, "too_few_defaults"),
        ((np.arange(600) < 3).astype(float), 5, None, "too_few_defaults"),
        (np.zeros(600), 5, None, "too_few_defaults"),
        (LABEL, 4, np.repeat([1.0, 2.0], 300), "too_few_periods"),
        ((np.arange(600) < 200).astype(float), 4, np.arange(600.0), "too_few_defaults"),
    ],
)
def test_thin_folds_are_refused(label: np.ndarray, n_folds: int, time: np.ndarray | None, code: str) -> None:
    with pytest.raises(DataError) as caught:
        make_folds(label, n_folds, 1, time)
    assert caught.value.code == code
    assert "--folds" in caught.value.english
