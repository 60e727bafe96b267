"""Cells of floating-point numbers stand in the order of the numbers and hold what they say."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.binning import MAX_FLOAT
from models.float_cells import ends_of, keys_of, prefixes_of

finite = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(finite, min_size=2, max_size=20))
def test_keys_sort_as_numbers_do(values: list[float]) -> None:
    keys = keys_of(np.array(values)).tolist()
    for a, key_a in zip(values, keys, strict=True):
        for b, key_b in zip(values, keys, strict=True):
            assert (a < b) == (key_a < key_b)
            assert (a == b) == (key_a == key_b)


@given(finite, st.integers(1, 64))
def test_a_number_lies_between_the_ends_of_its_cell(value: float, bits: int) -> None:
    low, high = ends_of(int(prefixes_of(keys_of(np.array([value])), bits)[0]), bits)
    assert low <= value <= high
    if bits == 64:
        assert low == high == value


@given(st.integers(1, 20), st.data())
def test_cells_follow_one_another_without_overlap(bits: int, data: st.DataObject) -> None:
    cell = data.draw(st.integers(0, (1 << bits) - 2))
    assert ends_of(cell, bits)[1] <= ends_of(cell + 1, bits)[0] or cell + 1 == 1 << (bits - 1)


def test_zeros_of_both_signs_are_one_number() -> None:
    assert len(set(keys_of(np.array([0.0, -0.0])).tolist())) == 1


def test_what_is_infinite_lies_at_the_ends() -> None:
    keys = keys_of(np.array([-math.inf, -MAX_FLOAT, MAX_FLOAT, math.inf]))
    assert keys.tolist() == sorted(keys.tolist())
    for value, key in zip((-MAX_FLOAT, -MAX_FLOAT, MAX_FLOAT, MAX_FLOAT), keys.tolist(), strict=True):
        assert value in ends_of(key, 64)
