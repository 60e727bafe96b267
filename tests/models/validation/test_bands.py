"""Bands by rank and joined bands against pandas and their own promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError, ModelError
from models.validation.bands import counts_of, joined, ranked_bands, sums_of, upper_edges

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60).map(np.array)


def test_distinct_scores_fall_into_deciles_as_in_pandas() -> None:
    score = np.random.default_rng(0).normal(size=1000)
    assert ranked_bands(score, 10).tolist() == pd.qcut(score, 10, labels=False).tolist()


@given(st.integers(1, 200), st.integers(1, 20))
def test_without_ties_sizes_differ_by_one_row_at_most(n_rows: int, n_bands: int) -> None:
    sizes = np.bincount(ranked_bands(np.arange(float(n_rows)), n_bands), minlength=n_bands)
    assert sizes.sum() == n_rows
    assert sizes.max() - sizes.min() <= 1


@given(scores, st.integers(1, 12))
def test_equal_scores_stay_together_and_order_is_kept(score: np.ndarray, n_bands: int) -> None:
    bands = ranked_bands(score, n_bands)
    assert bands.min() >= 0
    assert bands.max() < n_bands
    for value in np.unique(score):
        assert len(set(bands[score == value])) == 1
    order = np.argsort(score, kind="stable")
    assert (np.diff(bands[order]) >= 0).all()


@given(scores, st.integers(2, 12))
def test_edges_give_the_same_parts_as_bands_and_none_empty(score: np.ndarray, n_bands: int) -> None:
    bins = np.searchsorted(upper_edges(score, n_bands), score)
    _, dense = np.unique(ranked_bands(score, n_bands), return_inverse=True)
    assert bins.tolist() == dense.tolist()
    assert (bins.max() > 0) == (len(np.unique(score)) > 1)


def test_a_number_of_bands_out_of_range_is_refused() -> None:
    with pytest.raises(ModelError):
        ranked_bands(np.arange(3.0), 0)


def test_counts_and_sums_per_group_are_those_of_pandas() -> None:
    rng = np.random.default_rng(1)
    label, group = (rng.random(200) < 0.3).astype(float), rng.integers(0, 5, 200)
    by = pd.Series(label).groupby(group)
    n_rows, n_defaults = counts_of(label, group, 6)
    assert n_rows.tolist() == [*by.size(), 0]
    assert n_defaults.tolist() == [*by.sum(), 0]
    assert sums_of(label / 2, group, 6).tolist() == [*(by.sum() / 2), 0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=20), st.integers(0, 12))
def test_joined_bands_all_reach_the_minimum_and_keep_their_order(pairs: list[tuple[int, int]], least: int) -> None:
    counts = np.array(pairs).T
    if (counts.sum(axis=1) < least).any():
        with pytest.raises(DataError) as caught:
            joined(counts, (least, least))
        assert caught.value.code == "too_few_rows"
        return
    new = joined(counts, (least, least))
    assert new[0] == 0
    assert set(np.diff(new)) <= {0, 1}
    for kind in counts:
        assert (np.bincount(new, weights=kind) >= least).all()
    if least == 0:
        assert new.tolist() == list(range(len(pairs)))


def test_what_is_left_over_goes_to_the_last_band() -> None:
    assert joined(np.array([[5, 1, 4, 5, 1]]), (5,)).tolist() == [0, 1, 1, 2, 2]
