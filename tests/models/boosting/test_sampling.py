"""Draws of rows and columns: sizes, weights, seeds."""

from __future__ import annotations

import numpy as np
import pytest

from models.boosting.sampling import bag, draw_columns, goss


def test_a_bag_has_its_size_no_row_twice_and_its_own_seed() -> None:
    first, again, other = (bag(1000, 0.3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert len(first) == 300 == len(np.unique(first))
    assert first.tolist() == sorted(first.tolist()) == again.tolist() != other.tolist()
    assert bag(3, 0.01, np.random.default_rng(0)).tolist() in ([0], [1], [2])


def test_goss_keeps_the_largest_and_weighs_the_drawn() -> None:
    rng = np.random.default_rng(0)
    g, h = rng.normal(size=1000), rng.uniform(0.1, 0.25, 1000)
    rows, weight = goss(g, h, 0.2, 0.1, rng)
    top = set(np.argsort(-np.abs(g * h))[:200].tolist())
    assert len(rows) == 300
    assert top <= set(rows.tolist())
    drawn = sorted(set(rows.tolist()) - top)
    assert weight[drawn].tolist() == [pytest.approx(8.0)] * 100
    assert weight[sorted(top)].tolist() == [1.0] * 200


def test_goss_sums_are_unbiased() -> None:
    rng = np.random.default_rng(3)
    g, h = rng.normal(size=4000), np.full(4000, 0.25)
    sums = []
    for _ in range(200):
        rows, weight = goss(g, h, 0.2, 0.2, rng)
        sums.append((g * weight)[rows].sum())
    assert abs(np.mean(sums) - g.sum()) < 4 * np.std(sums) / np.sqrt(len(sums))


def test_columns_differ_by_tree_and_party_and_repeat_by_seed() -> None:
    draws = {(t, party): tuple(draw_columns(20, 0.5, 7, t, party)) for t in range(3) for party in ("bank", "host:tax")}
    assert all(len(set(d)) == 10 and list(d) == sorted(d) for d in draws.values())
    assert len(set(draws.values())) == 6
    assert tuple(draw_columns(20, 0.5, 7, 1, "bank")) == draws[1, "bank"] != tuple(draw_columns(20, 0.5, 8, 1, "bank"))


@pytest.mark.parametrize(("n", "fraction", "expected"), [(0, 0.5, 0), (1, 0.1, 1), (9, 1.0, 9), (9, 0.01, 1)])
def test_at_least_one_column_where_there_is_any(n: int, fraction: float, expected: int) -> None:
    assert len(draw_columns(n, fraction, 0, 0, "bank")) == expected
