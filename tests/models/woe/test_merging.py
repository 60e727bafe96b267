"""Merging on counts: the order of bad rates, limits, and what information value does."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from models.woe.merging import (
    Group,
    Limits,
    Totals,
    join,
    merge_disordered,
    merge_small,
    merge_to,
    nearest_rate,
    pool_to_turn,
    pool_violators,
    split_greedily,
)

count = st.one_of(st.integers(0, 3), st.integers(0, 400))
positive = st.integers(1, 400)


def groups_of(pairs: list[tuple[int, int]]) -> list[Group]:
    return [Group((code,), goods, bads) for code, (goods, bads) in enumerate(pairs)]


def totals_of(groups: list[Group]) -> Totals:
    whole = join(groups)
    return Totals(max(whole.goods, 1), max(whole.bads, 1))


def information_value(groups: list[Group]) -> float:
    totals = totals_of(groups)
    return sum(map(totals.information_value, groups))


some_groups = st.lists(st.tuples(count, count), min_size=1, max_size=14).map(groups_of)
both_classes = st.lists(st.tuples(positive, positive), min_size=1, max_size=10).map(groups_of)


def rates(groups: list[Group]) -> list[float]:
    return [g.bads / g.count for g in groups]


def rises(values: list[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def turns_once(values: list[float]) -> bool:
    return any(rises(values[: k + 1]) and rises([-v for v in values[k:]]) for k in range(len(values)))


def same_rows(groups: list[Group], merged: list[Group]) -> bool:
    """Whether neighbours, and nothing else, were put together."""
    return join(merged) == join(groups) and all(g.codes for g in merged)


@given(st.lists(st.tuples(count, count).filter(any), min_size=1, max_size=25).map(groups_of), st.booleans())
def test_pooled_rates_are_those_of_isotonic_regression(groups: list[Group], ascending: bool) -> None:
    pooled = pool_violators(groups, ascending=ascending)
    fitted = IsotonicRegression(increasing=ascending).fit_transform(
        range(len(groups)), rates(groups), sample_weight=[g.count for g in groups]
    )
    ours = [rate for g, rate in zip(pooled, rates(pooled), strict=True) for _ in g.codes]
    assert ours == pytest.approx(fitted, rel=1e-12, abs=1e-14)
    assert rises(rates(pooled) if ascending else [-r for r in rates(pooled)])
    assert same_rows(groups, pooled)


@given(some_groups)
def test_pooling_twice_changes_nothing(groups: list[Group]) -> None:
    once = pool_violators(groups, ascending=True)
    assert pool_violators(once, ascending=True) == once


def test_prebins_without_rows_join_a_neighbour() -> None:
    groups = groups_of([(0, 0), (9, 1), (0, 0), (5, 5), (0, 0)])
    assert [g.codes for g in pool_violators(groups, ascending=True)] == [(0, 1, 2), (3, 4)]


@given(st.lists(st.tuples(count, count).filter(any), min_size=1, max_size=12).map(groups_of), st.booleans())
def test_a_turn_is_the_only_one(groups: list[Group], peak: bool) -> None:
    pooled = pool_to_turn(groups, totals_of(groups), peak=peak)
    assert turns_once([r if peak else -r for r in rates(pooled)])
    assert same_rows(groups, pooled)


@given(both_classes)
def test_a_turn_is_worth_at_least_what_one_direction_is(groups: list[Group]) -> None:
    best = max(information_value(pool_violators(groups, ascending=up)) for up in (True, False))
    for peak in (True, False):
        assert information_value(pool_to_turn(groups, totals_of(groups), peak=peak)) >= best - 1e-12


def test_a_peak_is_found_where_it_is() -> None:
    groups = groups_of([(90, 10), (80, 20), (60, 40), (85, 15), (95, 5)])
    assert pool_to_turn(groups, totals_of(groups), peak=True) == groups
    assert len(pool_to_turn(groups, totals_of(groups), peak=False)) < 4


@given(some_groups)
def test_information_value_is_never_negative(groups: list[Group]) -> None:
    totals = totals_of(groups)
    assert all(totals.information_value(g) >= 0 and math.isfinite(totals.woe(g)) for g in groups)


@given(both_classes)
def test_merging_bins_that_hold_both_classes_never_adds_information(groups: list[Group]) -> None:
    for i in range(len(groups) - 1):
        merged = [*groups[:i], groups[i] + groups[i + 1], *groups[i + 2 :]]
        assert information_value(merged) <= information_value(groups) * (1 + 1e-12) + 1e-15


def test_only_bins_of_one_class_are_smoothed() -> None:
    totals = Totals(1000, 100)
    assert totals.woe(Group((0,), 90, 1)) == pytest.approx(math.log((90 / 1000) / (1 / 100)), rel=1e-14)
    assert totals.woe(Group((0,), 90, 0)) == pytest.approx(math.log((90.5 / 1000) / (0.5 / 100)), rel=1e-14)
    assert totals.woe(Group((0,), 0, 9)) == pytest.approx(math.log((0.5 / 1000) / (9.5 / 100)), rel=1e-14)
    value = totals.information_value(Group((0,), 0, 9))
    assert value == pytest.approx((0.5 / 1000 - 9.5 / 100) * math.log((0.5 / 1000) / (9.5 / 100)), rel=1e-14)
    assert totals.woe(Group((0,), 0, 0)) == totals.information_value(Group((0,), 0, 0)) == 0
    assert Totals(1000, 100, smoothing=1).woe(Group((0,), 4, 0)) == pytest.approx(math.log(0.5), rel=1e-14)


def test_a_bin_like_the_whole_has_no_weight_of_evidence() -> None:
    assert Totals(3 * 10**9, 10**9).woe(Group((0,), 3 * 10**6, 10**6)) == 0.0


@given(some_groups, st.integers(1, 60), st.integers(0, 20), st.integers(0, 20))
def test_small_bins_are_merged_until_none_is_left(groups: list[Group], rows: int, goods: int, bads: int) -> None:
    limits = Limits(rows, goods, bads)
    merged = merge_small(groups, totals_of(groups), limits)
    assert len(merged) == 1 or all(map(limits.allow, merged))
    assert same_rows(groups, merged)
    if all(map(limits.allow, groups)):
        assert merged == groups


def test_a_small_bin_goes_to_the_neighbour_of_nearest_woe() -> None:
    groups = groups_of([(900, 100), (8, 2), (300, 100)])
    assert [g.codes for g in merge_small(groups, totals_of(groups), Limits(count=50))] == [(0,), (1, 2)]
    groups = groups_of([(900, 100), (9, 1), (300, 100)])
    assert [g.codes for g in merge_small(groups, totals_of(groups), Limits(count=50))] == [(0, 1), (2,)]


def test_the_smallest_bin_is_merged_first() -> None:
    groups = groups_of([(900, 100), (14, 6), (3, 7), (300, 200)])
    assert [g.codes for g in merge_small(groups, totals_of(groups), Limits(count=30))] == [(0,), (1, 2, 3)]
    groups = groups_of([(900, 100), (3, 7), (14, 6), (300, 200)])
    assert [g.codes for g in merge_small(groups, totals_of(groups), Limits(count=30))] == [(0,), (1, 2), (3,)]


@given(both_classes, st.integers(1, 6))
def test_bins_are_merged_one_pair_at_a_time(groups: list[Group], max_bins: int) -> None:
    totals, step_by_step = totals_of(groups), groups
    while len(step_by_step) > max_bins:
        step_by_step = merge_to(step_by_step, totals, len(step_by_step) - 1)
    assert merge_to(groups, totals, max_bins) == step_by_step


@given(both_classes, st.integers(1, 6), st.booleans())
def test_fewer_bins_keep_the_order_of_rates(groups: list[Group], max_bins: int, ascending: bool) -> None:
    pooled = pool_violators(groups, ascending=ascending)
    merged = merge_to(pooled, totals_of(groups), max_bins)
    assert len(merged) == min(max_bins, len(pooled))
    assert rises(rates(merged) if ascending else [-r for r in rates(merged)])
    assert same_rows(groups, merged)


@given(both_classes.filter(lambda groups: len(groups) > 1))
def test_one_bin_fewer_loses_as_little_as_any_merge_would(groups: list[Group]) -> None:
    merged = merge_to(groups, totals_of(groups), len(groups) - 1)
    others = [[*groups[:i], groups[i] + groups[i + 1], *groups[i + 2 :]] for i in range(len(groups) - 1)]
    assert information_value(merged) == pytest.approx(max(map(information_value, others)), rel=1e-9, abs=1e-12)


@given(some_groups, st.integers(1, 40), st.integers(1, 6))
def test_cuts_of_a_tree_keep_within_the_limits(groups: list[Group], rows: int, max_bins: int) -> None:
    limits = Limits(rows, 1, 1)
    parts = split_greedily(groups, totals_of(groups), limits, max_bins, 0.0)
    assert len(parts) <= max_bins
    assert len(parts) == 1 or all(map(limits.allow, parts))
    assert same_rows(groups, parts)


@given(both_classes)
def test_the_first_cut_of_a_tree_is_the_best_there_is(groups: list[Group]) -> None:
    parts = split_greedily(groups, totals_of(groups), Limits(), 2, 0.0)
    best = max(information_value([join(groups[:k]), join(groups[k:])]) for k in range(1, len(groups) + 1))
    assert information_value(parts) == pytest.approx(best, rel=1e-9, abs=1e-12)


@given(both_classes, st.floats(0, 0.5))
def test_every_cut_of_a_tree_gains_enough(groups: list[Group], min_gain: float) -> None:
    values = [information_value(split_greedily(groups, totals_of(groups), Limits(), k, min_gain)) for k in range(1, 7)]
    assert all(after == before or after - before > min_gain - 1e-12 for before, after in pairwise(values))


@given(some_groups, st.booleans())
def test_woe_falls_where_the_rate_rises(groups: list[Group], ascending: bool) -> None:
    totals = totals_of(groups)
    merged = merge_disordered(pool_violators(groups, ascending=ascending), totals)
    woe = [totals.woe(g) for g in merged]
    assert rises([-w for w in woe] if ascending else woe)
    assert same_rows(groups, merged)


@given(some_groups)
def test_woe_and_rate_move_against_each_other_everywhere(groups: list[Group]) -> None:
    totals = totals_of(groups)
    merged = merge_disordered(groups, totals)
    for left, right in pairwise(merged):
        assert (rates([left]) < rates([right])) == (totals.woe(left) > totals.woe(right))
        assert totals.woe(left) != totals.woe(right)


def test_what_a_merge_makes_equal_is_merged_too() -> None:
    groups = groups_of([(2, 50), (0, 2), (2, 50), (0, 2)])
    assert [g.codes for g in merge_disordered(groups, totals_of(groups))] == [(0, 1, 2, 3)]


def test_a_smoothed_bin_less_extreme_than_its_neighbour_joins_it() -> None:
    groups = groups_of([(500, 20), (1, 300), (0, 5)])
    totals = totals_of(groups)
    assert totals.woe(groups[2]) > totals.woe(groups[1])
    assert [g.codes for g in merge_disordered(groups, totals)] == [(0,), (1, 2)]
    assert merge_disordered(groups[:2], totals) == groups[:2]


@given(both_classes, st.tuples(count, count).filter(any))
def test_pooling_with_the_nearest_rate_keeps_the_order(groups: list[Group], extra: tuple[int, int]) -> None:
    pooled = pool_violators(groups, ascending=True)
    k = nearest_rate(pooled, Group((99,), *extra))
    pooled[k] = pooled[k] + Group((99,), *extra)
    assert all(left.bads * right.count < right.bads * left.count for left, right in combinations(pooled, 2))
