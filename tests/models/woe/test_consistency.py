"""Noisy counts become counts with the known total, as near as may be."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from models.woe.consistency import consistent

COUNTS = st.lists(st.integers(-300, 300), min_size=1, max_size=30)


@given(COUNTS, st.integers(0, 5000))
def test_counts_add_up_and_none_is_negative(noisy: list[int], total: int) -> None:
    found = consistent(noisy, total)
    assert len(found) == len(noisy)
    assert min(found) >= 0
    assert sum(found) == total


@given(st.lists(st.integers(0, 300), min_size=1, max_size=30))
def test_what_is_consistent_stays(counts: list[int]) -> None:
    assert list(consistent(counts, sum(counts))) == counts


@given(COUNTS, st.integers(0, 5000))
def test_order_is_kept(noisy: list[int], total: int) -> None:
    found = consistent(noisy, total)
    assert all(found[a] >= found[b] - 1 for a, n in enumerate(noisy) for b, m in enumerate(noisy) if n >= m)


def test_no_counts_are_nearer() -> None:
    """Against SciPy's constrained minimum."""
    rng = np.random.default_rng(3)
    for _ in range(5):
        noisy = rng.integers(-20, 60, 8)
        total = int(rng.integers(1, 200))
        start = np.full(8, total / 8)
        best = minimize(
            lambda x, v=noisy: ((x - v) ** 2).sum(),
            start,
            bounds=[(0, None)] * 8,
            constraints={"type": "eq", "fun": lambda x, t=total: x.sum() - t},
        )
        assert np.abs(best.x - consistent(noisy.tolist(), total)).max() <= 1.001
