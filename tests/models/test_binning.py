"""Columns to codes and back to what their edges say."""

from __future__ import annotations

import sys
import warnings
from collections import Counter

import lightgbm
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import MAX_BINS, FeatureBins, encode, fit_bins
from models.errors import ModelError
from models.table import Table
from tests.builders import numbers, texts

HUGE = sys.float_info.max
moderate = st.one_of(st.just(np.nan), st.floats(-1e300, 1e300), st.integers(-5, 5).map(float))


def table(**columns: object) -> Table:
    n = len(next(iter(columns.values())))
    return Table(tuple(str(i) for i in range(n)), columns)


def bins_of(column: object, max_bin: int = 8, min_rows: int = 1) -> FeatureBins:
    return fit_bins(table(x=column), max_bin, min_rows)[0]


@given(st.lists(moderate, min_size=1, max_size=60), st.integers(2, 12), st.integers(1, 8))
def test_every_value_lies_in_the_interval_of_its_code(values: list[float], max_bin: int, min_rows: int) -> None:
    column = np.array(values)
    bins = bins_of(column, max_bin, min_rows)
    bounds = [-np.inf, *bins.edges, np.inf]
    for value, code in zip(column, bins.encode(column).tolist(), strict=True):
        if np.isnan(value):
            assert code == bins.missing_code
        else:
            assert bounds[code] < value <= bounds[code + 1]


@given(st.lists(moderate, min_size=1, max_size=80), st.integers(2, 12), st.integers(1, 20))
def test_numeric_bins_are_few_enough_and_full_enough(values: list[float], max_bin: int, min_rows: int) -> None:
    column = np.array(values)
    bins = bins_of(column, max_bin, min_rows)
    assert bins.n_regular <= max_bin
    assert list(bins.edges) == sorted(set(bins.edges))
    counts = np.bincount(bins.encode(column[~np.isnan(column)]), minlength=bins.n_regular)
    if bins.n_regular > 1:
        assert counts.min() >= min_rows


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50))
def test_few_distinct_values_get_a_bin_each(values: list[int]) -> None:
    bins = bins_of(np.array(values, dtype=float), max_bin=10)
    assert bins.n_regular == len(set(values))


def test_bins_are_of_equal_frequency() -> None:
    column = np.random.default_rng(0).normal(size=10_000)
    counts = np.bincount(bins_of(column, 20).encode(column))
    assert len(counts) == 20
    assert counts.min() > 490
    assert counts.max() < 510


def heavy(rng: np.random.Generator) -> np.ndarray:
    """Mostly a few values, the rest spread out: amounts of loans, codes of franchises."""
    return np.where(rng.random(5000) < 0.6, rng.choice([1.0, 50.0, 60.0], 5000), rng.integers(1, 3000, 5000))


@pytest.mark.parametrize("make", [heavy, lambda rng: rng.normal(size=5000) + 10, lambda rng: rng.geometric(0.02, 5000)])
@pytest.mark.parametrize("max_bin", [8, 32])
def test_rows_are_parted_as_lightgbm_parts_them(make: object, max_bin: int) -> None:
    column = make(np.random.default_rng(1)).astype(np.float64)  # type: ignore[operator]
    bins = {"max_bin": max_bin + 1, "min_data_in_bin": 1, "verbose": -1}  # it keeps one for zero, which does not occur
    data = lightgbm.Dataset(column[:, None], column, params=bins)
    # LightGBM does not tell its bins: a tree that may cut between any two of them does.
    free = {"num_leaves": 255, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0, "verbose": -1}
    leaf = lightgbm.train({"objective": "regression", **free}, data, 1).predict(column[:, None], pred_leaf=True).ravel()
    codes = bins_of(column, max_bin).encode(column)
    n_theirs, n_ours = len(np.unique(leaf)), len(np.unique(codes))
    assert len(np.unique(np.stack([leaf, codes]), axis=1).T) == n_theirs == n_ours


@given(st.floats(-1e300, 1e300))
def test_adjacent_floats_are_told_apart(low: float) -> None:
    high = np.nextafter(low, np.inf)
    bins = bins_of(numbers(low, high))
    assert bins.encode(numbers(low, high)).tolist() == [0, 1]


@pytest.mark.parametrize("values", [(1e308, HUGE), (-HUGE, -1e308), (5e-324, 1e-323), (-5e-324, 0.0), (0.0, HUGE)])
def test_extreme_floats_are_told_apart(values: tuple[float, float]) -> None:
    assert bins_of(numbers(*values)).encode(numbers(*values)).tolist() == [0, 1]


def test_the_widest_gap_of_all_is_cut_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bins_of(numbers(-HUGE, HUGE)).encode(numbers(-HUGE, HUGE)).tolist() == [0, 1]


def test_infinite_values_leave_edges_that_can_be_stored() -> None:
    bins = bins_of(numbers(-np.inf, 0.0, 1.0, np.inf))
    assert np.isfinite(bins.edges).all()


def test_a_constant_column_has_one_bin() -> None:
    bins = bins_of(numbers(3.0, 3.0, 3.0))
    assert (bins.n_regular, bins.n_bins, bins.edges) == (1, 1, ())


def test_a_column_of_missing_values_has_a_missing_bin_and_an_empty_one() -> None:
    bins = bins_of(numbers(np.nan, np.nan))
    assert bins.n_bins == 2
    assert bins.encode(numbers(np.nan, 7.0)).tolist() == [1, 0]


def test_missing_values_that_come_later_have_the_same_code() -> None:
    bins = bins_of(numbers(1.0, 2.0))
    assert not bins.has_missing
    assert bins.n_bins == 2
    assert bins.encode(numbers(np.nan)).tolist() == [2]


def test_levels_have_a_bin_each_in_text_order() -> None:
    bins = bins_of(texts("b", "a", None, "c"))
    assert bins.levels == ("a", "b", "c")
    assert bins.encode(texts("a", "b", "c", None)).tolist() == [0, 1, 2, 3]


def test_an_unseen_level_is_neither_missing_nor_regular() -> None:
    bins = bins_of(texts("a", "b"))
    assert bins.encode(texts("z", None)).tolist() == [bins.n_regular + 1, bins.missing_code]


def test_rare_levels_are_merged_and_unseen_ones_join_them() -> None:
    column = texts(*["a"] * 5, *["b"] * 4, "c", "d", "e")
    bins = bins_of(column, min_rows=3)
    assert (bins.levels, bins.has_other, bins.n_regular) == (("a", "b"), True, 3)
    assert bins.encode(texts("c", "e", "new", None)).tolist() == [2, 2, 2, 3]


def test_the_most_frequent_levels_are_kept() -> None:
    column = texts(*["x"] * 9, *["y"] * 8, *["z"] * 7, *["w"] * 6)
    assert fit_bins(table(x=column), 3, level_cover=0.0)[0].levels == ("x", "y")
    assert fit_bins(table(x=column), 3, level_cover=0.8)[0].levels == ("x", "y", "z")


def test_ninety_nine_in_a_hundred_rows_keep_their_level_whatever_max_bin() -> None:
    """LightGBM's rule, except that what it drops is here a bin of its own."""
    column = texts(*(level for k in range(10) for level in [f"L{k}"] * 200), *["rare"] * 15, *["rarer"] * 3)
    bins = bins_of(column, max_bin=4)
    assert (bins.levels, bins.has_other) == (tuple(f"L{k}" for k in range(10)), True)
    assert bins_of(column, max_bin=12).levels == (*(f"L{k}" for k in range(10)), "rare", "rarer")
    assert bins_of(column, max_bin=12, min_rows=5).levels == tuple(f"L{k}" for k in range(10))  # three rows are few


@pytest.mark.parametrize("max_bin", [5, 12, 60])
@pytest.mark.parametrize("share", [0.03, 0.1, 0.3])
def test_as_many_levels_as_lightgbm_keeps_have_a_bin(share: float, max_bin: int) -> None:
    level = np.random.default_rng(0).geometric(share, 4000) - 1.0
    options = {"max_bin": max_bin, "min_data_in_bin": 1, "verbose": -1}
    data = lightgbm.Dataset(level[:, None], level, categorical_feature=[0], params=options).construct()
    bins = bins_of(texts(*(f"{k:03.0f}" for k in level)), max_bin)
    assert len(bins.levels) == data.feature_num_bin(0) - 1 or not bins.has_other  # it has one bin for all others


def test_a_thousand_levels_still_fit_a_byte() -> None:
    column = texts(*(f"{k:04}" for k in range(1000)), *(f"{k:04}" for k in range(1000)))
    bins = bins_of(column)
    assert (len(bins.levels), bins.has_other) == (MAX_BINS - 1, True)
    assert bins.encode(texts("unseen", None)).tolist() == [MAX_BINS - 1, MAX_BINS]


def test_the_bin_of_rare_levels_is_full_enough_too() -> None:
    column = texts(*["a"] * 9, *["b"] * 8, "c")
    bins = bins_of(column, min_rows=5)
    assert np.bincount(bins.encode(column)).min() >= 5


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(2, 6), st.integers(1, 6))
def test_levels_with_a_bin_of_their_own_are_frequent_enough(values: list[str], max_bin: int, min_rows: int) -> None:
    column = texts(*values)
    bins = bins_of(column, max_bin, min_rows)
    counts = np.bincount(bins.encode(column), minlength=bins.n_regular)
    frequent = sorted((n for n in Counter(values).values() if n >= min_rows), reverse=True)
    n_needed = sum(before < 0.99 * len(values) for before in np.cumsum([0, *frequent[:-1]]))  # to cover 99 %
    assert bins.n_regular <= max(max_bin, n_needed + 1)
    assert fit_bins(table(x=column), max_bin, min_rows, level_cover=0.0)[0].n_regular <= max_bin
    assert all(counts[code] >= min_rows for code in range(len(bins.levels)))
    assert bins.has_other == (len(bins.levels) < len(set(values)))


@pytest.mark.parametrize("max_bin", [-1, 0, 1, MAX_BINS + 1])
def test_max_bin_out_of_range_is_refused(max_bin: int) -> None:
    with pytest.raises(ModelError) as caught:
        fit_bins(table(x=numbers(1.0)), max_bin)
    assert caught.value.code == "bad_parameter"


def test_the_largest_number_of_bins_still_fits_a_byte() -> None:
    column = np.append(np.arange(1000.0), np.nan)
    bins = bins_of(column, MAX_BINS)
    codes = bins.encode(column)
    assert bins.n_regular == MAX_BINS
    assert codes.tolist() == sorted(codes.tolist())  # nothing wrapped around 255
    levels = bins_of(texts(*(f"{i:03}" for i in range(MAX_BINS))), MAX_BINS)
    assert levels.encode(texts("unseen")).tolist() == [MAX_BINS + 1]


@pytest.mark.parametrize(("fitted", "later"), [(numbers(1.0), texts("1")), (texts("1"), numbers(1.0))])
def test_a_column_that_changed_its_type_is_refused(fitted: object, later: object) -> None:
    with pytest.raises(ModelError) as caught:
        bins_of(fitted).encode(later)
    assert caught.value.code == "wrong_column_type"


def test_encode_stacks_features_and_needs_none() -> None:
    t = table(x=numbers(1.0, 2.0), c=texts("b", "a"))
    assert encode(t, fit_bins(t, 4)).tolist() == [[0, 1], [1, 0]]
    assert encode(t, ()).shape == (0, 2)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=64), min_size=1, max_size=12), st.floats())
def test_one_row_gets_the_code_it_has_among_many(values: list[float], value: float) -> None:
    edges = tuple(sorted({v for v in values if abs(v) < np.inf}))
    bins = FeatureBins("x", category=False, edges=edges, has_missing=True)
    for v in (*values, value):
        assert bins.code(np.array([v])) == bins.encode(np.array([v, 0.0]))[0]


@pytest.mark.parametrize("has_other", [True, False])
def test_one_text_gets_the_code_it_has_among_many(has_other: bool) -> None:
    bins = FeatureBins("x", category=True, levels=("a", "b"), has_other=has_other)
    column = np.array(["b", "a", None, "never seen"], dtype=object)
    assert [bins.code(column[k : k + 1]) for k in range(4)] == bins.encode(column).tolist()
    with pytest.raises(ModelError):
        bins.code(np.array([1.0]))
