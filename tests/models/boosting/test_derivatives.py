"""Fixed point: exact to half a unit, unbiased when coarse, nothing outside the rows that take part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.boosting.derivatives import DERIVATIVE_BITS, Derivatives, bits_of

values = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1))


@given(values, st.floats(1.0, 1e6))
def test_exact_is_within_half_a_unit_and_within_its_bits(g: np.ndarray, limit: float) -> None:
    h, rows = np.abs(g) / 4, np.arange(len(g))
    found = Derivatives.exact(g * limit, h * limit, rows, limit)
    assert found.g.dtype == found.h.dtype == np.int64
    assert np.abs(found.g * found.g_unit - g * limit).max() <= found.g_unit / 2
    assert max(np.abs(found.g).max(), found.h.max()) <= 2**DERIVATIVE_BITS
    assert found.h.min() >= 1
    assert limit / 2**DERIVATIVE_BITS <= found.g_unit < 2 * limit / 2**DERIVATIVE_BITS * (1 + 1e-12)


def test_the_unit_of_the_logistic_loss_is_two_to_the_minus_32() -> None:
    found = Derivatives.exact(np.array([1.0]), np.array([0.25]), np.arange(1), 1.0)
    assert (found.g_unit, int(found.g[0]), int(found.h[0])) == (2.0**-32, 2**32, 2**30)


@pytest.mark.parametrize("coarse", [False, True])
def test_rows_that_take_no_part_weigh_nothing(coarse: bool) -> None:
    g, h, rows = np.full(6, 0.5), np.full(6, 0.25), np.array([1, 4])
    found = (
        Derivatives.quantised(g, h, rows, 4, np.random.default_rng(0)) if coarse else Derivatives.exact(g, h, rows, 1.0)
    )
    assert np.flatnonzero(found.g).tolist() == np.flatnonzero(found.h).tolist() == [1, 4]
    assert found.sums(np.arange(6)) == (1.0, 0.5)


@given(values, st.integers(2, 256), st.integers(0, 2**32 - 1))
def test_coarse_values_fit_their_bits(g: np.ndarray, levels: int, seed: int) -> None:
    found = Derivatives.quantised(g, np.abs(g), np.arange(len(g)), levels, np.random.default_rng(seed))
    assert np.abs(found.g).max() <= -(-levels // 2)
    assert 0 <= found.h.min() <= found.h.max() <= levels
    assert max(np.abs(found.g).max(), found.h.max()) <= 2 ** bits_of(levels)


def test_rounding_at_random_keeps_sums_unbiased() -> None:
    rng = np.random.default_rng(1)
    g, h = rng.uniform(-1, 1, 40_000), rng.uniform(0, 0.25, 40_000)
    found = Derivatives.quantised(g, h, np.arange(len(g)), 4, rng)
    for total, values, unit in zip(found.sums(np.arange(len(g))), (g, h), (found.g_unit, found.h_unit), strict=True):
        assert abs(total - values.sum()) < 4 * unit / 2 * np.sqrt(len(values))


def test_a_second_derivative_that_vanishes_everywhere_has_a_unit() -> None:
    found = Derivatives.quantised(np.zeros(3), np.zeros(3), np.arange(3), 4, np.random.default_rng(0))
    assert found.g_unit > 0
    assert found.h_unit > 0
