"""The cipher that does not encrypt behaves like one that does."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.errors import InvalidCiphertext, PlaintextOverflow
from tests.conftest import Key

numbers = st.lists(st.integers(-(2**2040), 2**2040), min_size=1, max_size=5)


@given(numbers, st.integers(0, 3))
def test_numbers_sums_and_shifts_are_exact(values: list[int], bits: int) -> None:
    secret, public = PlainSecret(), PlainPublic()
    loaded = public.load(secret.encrypt(values))
    assert secret.decrypt(public.dump(loaded)) == values
    assert secret.decrypt(public.dump([public.shift(loaded[0], bits)])) == [values[0] << bits]
    assert secret.decrypt(public.dump([public.add(loaded[0], loaded[-1])])) == [values[0] + values[-1]]


def test_it_has_the_room_of_a_real_key(real_key: Key) -> None:
    assert PlainPublic().plaintext_bits == real_key.secret().public.plaintext_bits


def test_truncated_numbers_are_refused() -> None:
    with pytest.raises(InvalidCiphertext):
        PlainPublic().load(PlainSecret().encrypt([1])[:-1])


def test_it_cannot_be_copied_out_either() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(PlainSecret())


def test_a_number_beyond_the_room_is_refused() -> None:
    with pytest.raises(PlaintextOverflow):
        PlainSecret().encrypt([2**2047])
