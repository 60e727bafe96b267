"""Random powers of a fixed base."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.blinding import FixedBase, exponent_bits, random_digits


@given(st.integers(2, 2**64), st.integers(3, 2**64), st.integers(1, 40), st.integers(1, 7), st.data())
def test_powers_are_those_of_python(base: int, modulus: int, n_bits: int, window: int, data: st.DataObject) -> None:
    n_digits = -(-n_bits // window)
    columns = data.draw(
        st.lists(st.lists(st.integers(0, 2**window - 1), min_size=n_digits, max_size=n_digits), max_size=3)
    )
    digits = np.array(columns, dtype=np.uint16).reshape(-1, n_digits).T
    exponents = [sum(d << (window * i) for i, d in enumerate(column)) for column in columns]
    found = FixedBase(base % modulus, modulus, n_bits, window).powers(digits)
    assert [int(v) % modulus for v in found] == [pow(base, e, modulus) for e in exponents]


@pytest.mark.parametrize(("modulus_bits", "bits"), [(512, 224), (2048, 224), (2049, 224), (3072, 256), (4096, 256)])
def test_exponents_have_twice_the_security_level(modulus_bits: int, bits: int) -> None:
    assert exponent_bits(modulus_bits) == bits


@pytest.mark.parametrize("window", [6, 9, 12])
def test_digits_cover_the_whole_exponent_and_every_value(window: int) -> None:
    digits = random_digits(20_000, 224, window)
    assert digits.shape == (-(-224 // window), 20_000)
    assert digits.shape[0] * window >= 224
    assert digits.max() == 2**window - 1
    assert digits.min() == 0
    mean = digits.mean(axis=1)
    assert np.abs(mean - (2**window - 1) / 2).max() < 0.02 * 2**window  # 7 standard errors


def test_digits_come_from_the_systems_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda n: bytes(range(n)))
    assert random_digits(2, 12, 6).tolist() == [[0x0100 & 63, 0x0302 & 63], [0x0504 & 63, 0x0706 & 63]]


def test_exponents_are_fresh_each_time() -> None:
    columns = np.concatenate([random_digits(100, 224, 6) for _ in range(3)], axis=1)
    assert len({column.tobytes() for column in columns.T}) == 300
