"""Sets of levels: the best there are, the same in any order, and never of fewer rows than is asked for."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.boosting.sets import LevelSet, NodeTotals, SetRules, Way, level_sets, settled, way_of
from models.boosting.splits import Candidates, Split, SplitRules, gains

SCALE = 2**32
UNITS = (1 / SCALE, 1 / SCALE)
FREE = SetRules(max_cat_threshold=99, cat_smooth=0.0, min_data_per_group=0, min_child_samples=0, min_child_weight=0.0)
#: Rows as (level, gradient, hessian); few values, so that levels tie.
rows_of_levels = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from([-3, -1, 0, 1, 2]), st.sampled_from([1, 2, 9])),
    min_size=2,
    max_size=40,
)


def node_of(rows: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray, NodeTotals]:
    """Sums of g and h and rows per level that occurs, and totals."""
    level, g, h = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    g, h = g * SCALE, h * SCALE
    names, place = np.unique(level, return_inverse=True)
    sums = [np.array([v[place == k].sum() for k in range(len(names))]) for v in (g, h)]
    return *sums, np.bincount(place), NodeTotals.of(g, h)


def gain(g: float, h: float, node: NodeTotals) -> float:
    one = np.array([g], dtype=np.int64), np.array([h], dtype=np.int64)
    return float(gains(*one, node.g, node.h, UNITS, SplitRules(0.0, -np.inf, 0.0))[0])


@given(rows_of_levels)
def test_without_bounds_no_other_way_to_part_the_levels_gains_more(rows: list[tuple[int, int, int]]) -> None:
    g, h, _, node = node_of(rows)
    n = len(g)
    every = [np.array(s) for size in range(1, n) for s in combinations(range(n), size)]
    best = max((gain(g[s].sum(), h[s].sum(), node) for s in every), default=-np.inf)
    found = max((gain(s.g, s.h, node) for s in level_sets(g, h, node, UNITS, FREE)), default=-np.inf)
    assert found == pytest.approx(best, abs=1e-9)


rules = st.builds(
    SetRules, st.integers(1, 5), st.sampled_from([0.0, 1.0, 3.0]), st.integers(1, 6), st.integers(0, 5), st.just(0.0)
)


def told(found: LevelSet, g: np.ndarray, h: np.ndarray, names: np.ndarray) -> tuple[object, ...]:
    sure, alike, n = way_of(found, g, h, names)
    return frozenset(sure), frozenset(alike), n, found.g, found.h, found.backward


@given(rows_of_levels, rules, st.randoms(use_true_random=False))
def test_the_order_of_levels_changes_nothing(rows: list[tuple[int, int, int]], rules: SetRules, random: object) -> None:
    g, h, _, node = node_of(rows)
    names = np.arange(len(g))
    order = np.array(random.sample(range(len(g)), len(g)))
    as_given = [told(s, g, h, names) for s in level_sets(g, h, node, UNITS, rules)]
    shuffled = [told(s, g[order], h[order], names[order]) for s in level_sets(g[order], h[order], node, UNITS, rules)]
    assert as_given == shuffled


def test_levels_of_equal_mean_have_one_order_whatever_they_were_given_in() -> None:
    rows = [(0, -1, 1), (1, -2, 2), (2, -4, 4), (3, 9, 9), (4, 0, 9), (5, 0, 2)]  # means -1, -1, -1, 1, 0, 0
    g, h, _, node = node_of(rows)
    for order in (np.arange(6), np.arange(6)[::-1], np.array([2, 0, 1, 5, 4, 3])):
        found = [told(s, g[order], h[order], order) for s in level_sets(g[order], h[order], node, UNITS, FREE)]
        sets = [(set(sure) | set(alike), backward) for sure, alike, _, _, _, backward in found]
        assert sets == [
            *(({*range(k)}, False) for k in (1, 2, 3)),
            *(({3, 4, 5} - {*gone}, True) for gone in ((4, 5), (5,), ())),
        ]


@given(rows_of_levels, rules)
def test_both_sides_hold_the_rows_that_are_asked_for_though_they_are_not_known(
    rows: list[tuple[int, int, int]], rules: SetRules
) -> None:
    g, h, n_rows, node = node_of(rows)
    for found in level_sets(g, h, node, UNITS, rules):
        left = found.order[: found.size]
        assert (int(g[left].sum()), int(h[left].sum())) == (found.g, found.h)
        n_left = int(n_rows[left].sum())
        assert min(n_left, node.n_rows - n_left) >= max(1, rules.min_child_samples)
        assert found.size <= rules.max_cat_threshold


@given(rows_of_levels, st.integers(0, 7))
def test_no_fewer_rows_can_have_so_much_hessian(rows: list[tuple[int, int, int]], some: int) -> None:
    h = np.array([r[2] for r in rows], dtype=np.int64)
    node = NodeTotals.of(np.zeros_like(h), h)
    part = h[: some + 1]
    assert node.rows_at_least(int(part.sum())) <= len(part)
    equal = NodeTotals.of(np.zeros_like(h), np.full_like(h, 5))
    assert equal.rows_at_least(5 * len(part)) == len(part)


def test_where_hessians_are_equal_every_level_counts_its_rows() -> None:
    """Groups of 4, 3, 2 and 9 rows, means rising: a set differs from the last by at least ``min_data_per_group``."""
    g, h = np.array([-4, -2, 0, 9]) * SCALE, np.array([4, 3, 2, 9]) * SCALE
    node = NodeTotals.of(np.repeat(g // (h // SCALE), [4, 3, 2, 9]), np.full(18, SCALE))

    def sizes(**changes: float) -> list[tuple[int, bool]]:
        own = {"max_cat_threshold": 9, "cat_smooth": 0.0, "min_data_per_group": 1, "min_child_samples": 0}
        rules = SetRules(**(own | changes), min_child_weight=0.0)
        return [(s.size, s.backward) for s in level_sets(g, h, node, UNITS, rules)]

    assert sizes() == [(1, False), (2, False), (1, True), (2, True)]
    assert sizes(min_data_per_group=5) == [(2, False), (1, True)]
    assert sizes(min_data_per_group=10) == []
    assert sizes(min_child_samples=5) == [(2, False), (1, True), (2, True)]
    assert sizes(max_cat_threshold=1) == [(1, False), (1, True)]
    assert sizes(cat_smooth=3.0) == [(1, False), (2, False), (1, True), (2, True)]  # half of three levels, rounded up
    assert sizes(cat_smooth=5.0) == [(1, False), (1, True)]


def test_a_node_without_weight_has_no_sets() -> None:
    nothing = np.zeros(3, dtype=np.int64)
    assert list(level_sets(nothing, nothing, NodeTotals.of(nothing, nothing), UNITS, FREE)) == []


BINS = (
    FeatureBins("x", category=False, edges=(0.0, 1.0)),
    FeatureBins("c", category=True, levels=("a", "b", "d", "e"), has_missing=True),
)


@pytest.mark.parametrize(
    ("ways", "split"),
    [
        ([((), (1,), 1)], Split(0, 1, False)),
        ([((), (4, 1, 0), 1)], Split(0, 0, False)),
        ([((5,), (2,), 1)], Split(1, 0, False, also=(3,))),
        ([((6,), (5, 3, 4), 2)], Split(1, 1, False, also=(2, 4))),
        ([((6,), (5,), 1), ((4,), (3, 2), 1)], Split(1, 0, False, also=(2,))),
    ],
)
def test_the_owner_settles_on_what_comes_first_in_its_order(ways: list[Way], split: Split) -> None:
    assert settled(ways, Candidates(BINS)) == split


def test_categories_of_enough_levels_are_offered_as_sets() -> None:
    candidates = Candidates(BINS)
    assert candidates.categories(5).tolist() == [0, 0, 2, 2, 2, 2, 2]
    assert candidates.categories(6).tolist() == [0] * 7
    assert Candidates(()).categories(4).tolist() == []
