"""Candidates, their left sides, and what they gain."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.boosting.splits import (
    FREE,
    Candidates,
    Split,
    SplitRules,
    best_of,
    bounds_below,
    default_side,
    directions_of,
    gains,
    goes_left,
    leaf_value,
)
from models.errors import DataError
from tests.strategies import features

SCALE = 2.0**32
UNITS = (1 / SCALE, 1 / SCALE)
RULES = SplitRules(reg_lambda=1.0, min_split_gain=0.0, min_child_weight=1e-3)


@given(features, st.integers(0, 2**32))
def test_left_side_of_every_candidate_is_what_goes_left(bins: tuple[FeatureBins, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, b.n_bins, 50) for b in bins]).astype(np.uint8)
    values = rng.integers(-(2**40), 2**40, 50)
    candidates = Candidates(bins)
    per_bin = np.zeros(candidates.n_bins, dtype=np.int64)
    for row in candidates.flat(codes):
        np.add.at(per_bin, row, values)
    expected = [values[goes_left(s, bins[s.feature], codes[s.feature])].sum() for s in candidates.splits]
    assert candidates.left(per_bin).tolist() == expected


@given(features)
def test_candidates_are_ordered_and_distinct(bins: tuple[FeatureBins, ...]) -> None:
    keys = [(s.feature, s.code, s.missing_left) for s in Candidates(bins).splits]
    assert keys == sorted(set(keys))


@given(features)
def test_every_way_to_part_the_bins_is_offered_once(bins: tuple[FeatureBins, ...]) -> None:
    offered = Candidates(bins).splits
    for f, b in enumerate(bins):
        codes = np.arange(b.n_bins, dtype=np.uint8)
        sides = [frozenset(np.flatnonzero(goes_left(s, b, codes)).tolist()) for s in offered if s.feature == f]
        everything = frozenset(range(b.n_bins))
        if b.category:
            wanted = {frozenset([code]) for code in codes.tolist()}
        else:
            prefixes = [frozenset(range(t + 1)) for t in range(b.n_regular)]
            missing = [frozenset([b.missing_code])] if b.has_missing else []
            wanted = {*prefixes, *(p | m for p in prefixes for m in missing)} - {everything}
        assert len(sides) == len(set(sides))
        assert set(sides) == wanted


def test_unseen_levels_and_missing_values_go_where_the_cut_says() -> None:
    number = FeatureBins("x", category=False, edges=(0.0, 1.0), has_missing=True)
    codes = np.array([0, 1, 2, 3], dtype=np.uint8)
    assert goes_left(Split(0, 1, False), number, codes).tolist() == [True, True, False, False]
    assert goes_left(Split(0, 1, True), number, codes).tolist() == [True, True, False, True]
    level = FeatureBins("c", category=True, levels=("a", "b"))
    assert goes_left(Split(0, 1, False), level, np.array([0, 1, 2, 3], np.uint8)).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_missing_values_follow_the_larger_side_if_training_had_none() -> None:
    bins = FeatureBins("x", category=False, edges=(0.0,), has_missing=True)
    small_left, large_left = np.array([0, 1, 1], np.uint8), np.array([0, 0, 1], np.uint8)
    assert not default_side(Split(0, 0, True), bins, small_left).missing_left
    assert default_side(Split(0, 0, False), bins, large_left).missing_left
    with_missing = np.array([0, 0, 2], np.uint8)
    assert default_side(Split(0, 0, False), bins, with_missing) == Split(0, 0, False)


@given(
    st.lists(st.tuples(st.integers(-(2**40), 2**40), st.integers(1, 2**38)), min_size=2, max_size=10),
    st.floats(0, 100),
)
def test_gain_is_the_published_formula(sums: list[tuple[int, int]], lam: float) -> None:
    g, h = np.array(sums, dtype=np.int64).T
    total_g, total_h = int(g.sum()), int(h.sum())
    rules = SplitRules(lam, min_split_gain=-np.inf, min_child_weight=0.0)

    def score(a: int, b: int) -> float:
        return (a / SCALE) ** 2 / (b / SCALE + lam)

    for gain, gl, hl in zip(gains(g, h, total_g, total_h, UNITS, rules), g.tolist(), h.tolist(), strict=True):
        left, right, whole = score(gl, hl), score(total_g - gl, total_h - hl), score(total_g, total_h)
        assert gain == pytest.approx(left + right - whole, rel=1e-9, abs=1e-9 * (left + right + whole + 1))


def test_forbidden_cuts_gain_minus_infinity() -> None:
    one = int(SCALE)
    g, h = np.array([one, 0, one, 0]), np.array([4 * one, 4 * one, one // 2, 0])
    found = gains(g, h, 0, 8 * one, UNITS, SplitRules(1.0, 0.1, min_child_weight=1.0))
    assert np.isfinite(found).tolist() == [True, False, False, False]  # fine, gains nothing, too light, empty


def test_a_cut_must_gain_more_than_the_minimum() -> None:
    one = int(SCALE)
    gain = float(gains(np.array([one]), np.array([4 * one]), 0, 8 * one, UNITS, RULES)[0])
    for minimum, allowed in ((np.nextafter(gain, 0), True), (gain, False)):
        rules = SplitRules(1.0, minimum, 0.0)
        assert np.isfinite(gains(np.array([one]), np.array([4 * one]), 0, 8 * one, UNITS, rules))[0] == allowed


def test_leaf_value_is_the_shrunken_newton_step() -> None:
    assert leaf_value(3.0, 5.0, 1.0, 0.1) == pytest.approx(-0.1 * 3 / 6)


def test_best_takes_the_earlier_party_and_all_its_ties() -> None:
    none = np.array([-np.inf, -np.inf])
    assert best_of([np.array([1.0, 2.0, 2.0]), np.array([2.0])]) == (0, (1, 2))
    assert best_of([np.array([1.0]), np.array([2.0, 0.0])]) == (1, (0,))
    assert best_of([none, np.array([])]) == (-1, ())
    assert best_of([]) == (-1, ())


sums_of_sides = st.lists(st.tuples(st.integers(-(2**36), 2**36), st.integers(2**30, 2**38)), min_size=2, max_size=8)


@given(sums_of_sides, st.floats(0, 10), st.floats(-2, 0), st.floats(0, 2))
def test_bounds_hold_values_back_and_cost_gain(
    sums: list[tuple[int, int]], lam: float, low: float, high: float
) -> None:
    """Gain is what the loss falls by when each side takes the value it may take, in place of the node's own."""
    g, h = np.array(sums, dtype=np.int64).T
    total_g, total_h = int(g.sum()), int(h.sum())
    rules = SplitRules(lam, min_split_gain=-np.inf, min_child_weight=0.0)
    free = gains(g, h, total_g, total_h, UNITS, rules)
    bounded = gains(g, h, total_g, total_h, UNITS, rules, bounds=(low, high))

    def falls(a: float, b: float, value: float) -> float:
        return -(2 * a * value + (b + lam) * value**2)

    for k, (gl, hl) in enumerate(zip(g / SCALE, h / SCALE, strict=True)):
        gr, hr = total_g / SCALE - gl, total_h / SCALE - hl
        left, right = (min(max(-a / (b + lam), low), high) for a, b in ((gl, hl), (gr, hr)))
        whole = (total_g / SCALE) ** 2 / (total_h / SCALE + lam)
        expected = falls(gl, hl, left) + falls(gr, hr, right) - whole
        assert bounded[k] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        assert bounded[k] <= free[k] + 1e-6
    assert gains(g, h, total_g, total_h, UNITS, rules, bounds=FREE).tobytes() == free.tobytes()


@given(sums_of_sides)
def test_of_a_cut_and_its_mirror_a_direction_allows_one(sums: list[tuple[int, int]]) -> None:
    g, h = np.array(sums, dtype=np.int64).T
    total_g, total_h = int(g.sum()), int(h.sum())
    rules = SplitRules(1.0, min_split_gain=-np.inf, min_child_weight=0.0)
    up, down = (gains(g, h, total_g, total_h, UNITS, rules, np.full(len(g), d, dtype=np.int8)) for d in (1, -1))
    left, right = -g / (h + SCALE), -(total_g - g) / (total_h - h + SCALE)
    assert np.isfinite(up).tolist() == (left <= right).tolist()
    assert np.isfinite(down).tolist() == (left >= right).tolist()


def test_children_may_not_pass_the_middle() -> None:
    assert bounds_below(-1.0, 3.0, 1, FREE) == ((-np.inf, 1.0), (1.0, np.inf))
    assert bounds_below(3.0, -1.0, -1, (-2.0, 4.0)) == ((1.0, 4.0), (-2.0, 1.0))
    assert bounds_below(3.0, -1.0, 0, (-2.0, 4.0)) == ((-2.0, 4.0),) * 2
    assert leaf_value(-8.0, 1.0, 1.0, 0.1, (-2.0, 3.0)) == pytest.approx(0.3)


def test_directions_belong_to_numeric_features() -> None:
    bins = (FeatureBins("x", category=False, edges=(0.0, 1.0)), FeatureBins("c", category=True, levels=("a", "b")))
    assert directions_of(Candidates(bins), {"x": -1}).tolist() == [-1, -1, 0, 0]
    for wrong in ("c", "y"):
        with pytest.raises(DataError, match=wrong):
            directions_of(Candidates(bins), {wrong: 1})
