"""Counts in slots: exact for every sum that rows can have, refused when they cannot be counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.plain import PlainSecret
from federation.errors import PlaintextOverflow
from federation.vertical.binning.packing import CountPacking
from tests.conftest import Key


@given(st.integers(1, 2**20).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=300))))
def test_packed_counts_come_back(case: tuple[int, list[int]]) -> None:
    n_rows, counts = case
    secret = PlainSecret()
    public = secret.public
    packing = CountPacking.for_rows(n_rows, public.plaintext_bits)
    packed = packing.pack(public, public.load(secret.encrypt(counts)))
    assert len(packed) == -(-len(counts) // packing.per_ciphertext)
    assert packing.split(secret.decrypt(public.dump(packed)), len(counts)) == counts


def test_full_slots_fit_a_real_key(real_key: Key) -> None:
    secret = real_key.secret()
    packing = CountPacking.for_rows(30_000, secret.public.plaintext_bits)
    counts = [30_000, 0] * packing.per_ciphertext
    packed = packing.pack(secret.public, secret.public.load(secret.encrypt([30_000, 0]) * packing.per_ciphertext))
    assert len(packed) == 2
    assert packing.split(secret.decrypt(secret.public.dump(packed)), len(counts)) == counts


def test_the_layout_is_the_tightest() -> None:
    assert CountPacking.for_rows(30_000, 2047) == CountPacking(slot=15, per_ciphertext=136)
    assert CountPacking.for_rows(2**15, 2047).slot == 16
    with pytest.raises(PlaintextOverflow):
        CountPacking.for_rows(2**16, 16)


@pytest.mark.parametrize(
    ("plaintexts", "count"), [([], 1), ([1, 1], 2), ([-1], 1), ([4], 1), ([16], 2), ([1], 0), ([0, 4], 4)]
)
def test_rubbish_is_refused(plaintexts: list[int], count: int) -> None:
    with pytest.raises(PlaintextOverflow) as caught:
        CountPacking(slot=2, per_ciphertext=3).split(plaintexts, count)
    assert caught.value.code == "plaintext_overflow"
