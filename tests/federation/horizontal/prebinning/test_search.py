"""The public grid, and quantiles found on it from counts."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.horizontal.prebinning.grid import GRID, ROUNDS, cuts_at, first_bounds, next_bounds


def test_the_grid_is_every_number_of_four_digits() -> None:
    assert np.all(np.diff(GRID) > 0)
    places = np.random.default_rng(0).choice(len(GRID), 2000, replace=False)
    for value in GRID[places].tolist():
        assert float(f"{Decimal(value):.3e}") == value
    assert {0.0, 1.0, -2.5, 1234.0, 1e-6, 9.999e12} <= set(GRID.tolist())


def found(values: np.ndarray, n_quantiles: int, least: float = 1.0) -> tuple[list[float], np.ndarray]:
    """Cut points by rounds over the same rows, and shares of rows between them."""
    bounds = first_bounds()
    for k in range(ROUNDS):
        counts = np.bincount(np.searchsorted(GRID[list(bounds)], values), minlength=len(bounds) + 1)
        if k < ROUNDS - 1:
            bounds = next_bounds(bounds, counts, n_quantiles)
    edges = GRID[list(cuts_at(bounds, counts, n_quantiles, least))]
    shares = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / max(1, len(values))
    return edges.tolist(), shares


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_cut_points_are_quantiles_to_four_digits(scale: float) -> None:
    values = np.random.default_rng(1).lognormal(size=20_000) * scale
    edges, shares = found(values, 20)
    expected = np.quantile(values, np.arange(1, 20) / 20)
    np.testing.assert_allclose(edges, expected, rtol=2e-3)
    assert np.abs(shares - 0.05).max() < 0.002


def test_values_with_many_rows_are_cut_off_on_both_sides() -> None:
    values = np.array([1.0] * 500 + [2.0] * 300 + [3.0] * 150 + [7.0] * 50)
    edges, shares = found(values, 20, least=40)
    assert edges == [1.0, 2.0, 3.0]
    assert shares.tolist() == [0.5, 0.3, 0.15, 0.05]


def test_few_rows_are_not_cut_off() -> None:
    values = np.array([0.0] * 990 + [5.0] * 10)
    assert found(values, 100, least=20)[0] == []
    assert found(values, 100, least=10)[0] == [0.0]


@given(st.lists(st.floats(allow_nan=False), max_size=50), st.integers(2, 30))
def test_any_numbers_are_parted_in_order(values: list[float], n_quantiles: int) -> None:
    edges, shares = found(np.array(values, dtype=np.float64), n_quantiles)
    assert edges == sorted(set(edges))
    assert len(edges) < n_quantiles
    if edges:
        assert shares.min() > 0.0
