"""Words have room for every sum they are made for, and travel in as few bytes as that takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.quantisation import Quantiser
from federation.ciphers.words import Words
from federation.errors import PlaintextOverflow
from models.errors import ModelError


@given(st.integers(1, 1000), st.integers(0, 2**53), st.integers(0, 2**32))
def test_no_word_overflows_for_so_many_addends(n: int, bound: int, seed: int) -> None:
    """All at the bound is the largest sum there is; in between, sums modulo the word are sums."""
    words = Words.for_sum(n, bound)
    assert n * bound < 2 ** (8 * words.n_bytes - 1)
    assert words.n_bytes == 1 or n * bound >= 2 ** (8 * (words.n_bytes - 1) - 1)
    rng = np.random.default_rng(seed)
    rows = rng.integers(-bound, bound + 1, (min(n, 50), 3))
    extremes = np.full((1, 3), n * bound), np.full((1, 3), -n * bound)
    for summands in (rows, *extremes):
        total = np.zeros(3, dtype=np.uint64)
        for row in summands:
            total += words.load(words.dump(row.view(np.uint64)))
        assert words.signed(total).tolist() == summands.sum(axis=0).tolist()


@given(st.integers(1, 8), st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_words_travel_unchanged_below_their_modulus(n_bytes: int, values: list[int]) -> None:
    words = Words(n_bytes)
    residues = np.array(values, dtype=np.int64).view(np.uint64)
    data = words.dump(residues)
    assert len(data) == n_bytes * len(values)
    assert words.load(data).tolist() == [v % 256**n_bytes for v in values]
    assert data == b"".join((v % 256**n_bytes).to_bytes(n_bytes, "little") for v in values)


def test_what_does_not_fit_is_refused() -> None:
    Words.for_sum(2**10, 2**52)
    with pytest.raises(PlaintextOverflow):
        Words.for_sum(2**10, 2**53)
    with pytest.raises(ValueError):
        Words(3).load(bytes(4))


@given(
    st.floats(1e-6, 1e6),
    st.integers(2, 40),
    st.lists(st.floats(-1e7, 1e7), min_size=1, max_size=20),
    st.integers(1, 100),
)
def test_quantised_sums_fit_and_are_near(clip: float, bits: int, values: list[float], n: int) -> None:
    quantiser = Quantiser(clip, bits)
    numbers = quantiser.quantise(np.array(values))
    assert np.abs(numbers).max() <= quantiser.bound < 2 ** (bits - 1)
    Words.for_sum(n, quantiser.bound)
    clipped = np.clip(values, -clip, clip)
    assert np.abs(quantiser.restored(numbers) - clipped).max() <= quantiser.step * (0.5 + 2**-40) + 1e-9 * clip


@pytest.mark.parametrize(("clip", "bits"), [(0.0, 8), (-1.0, 8), (np.nan, 8), (np.inf, 8), (1.0, 1), (1.0, 53)])
def test_impossible_quantisers_are_refused(clip: float, bits: int) -> None:
    with pytest.raises(ModelError):
        Quantiser(clip, bits)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ModelError) as caught:
        Quantiser(1.0, 8).quantise(np.array([0.0, value]))
    assert caught.value.code == "not_finite"
