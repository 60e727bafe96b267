"""Counts in slots: exact for every sum that rows can have, refused when they cannot be counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.plain import PlainSecret
from federation.errors import PlaintextOverflow
from federation.vertical.binning.packing import REACH, CountPacking
from models.binning import MAX_BINS
from models.noise import LEAST_EPSILON, furthest
from tests.conftest import Key


def noisy(n_rows: int) -> st.SearchStrategy[tuple[int, list[tuple[int, int]]]]:
    """Sums with noise, ends of the ranges among them."""
    sums = st.integers(0, n_rows) | st.sampled_from([0, n_rows])
    noise = st.integers(-REACH, REACH) | st.sampled_from([-REACH, 0, REACH])
    return st.tuples(st.just(n_rows), st.lists(st.tuples(sums, noise), max_size=300))


@given(st.integers(1, 2**20).flatmap(noisy))
def test_packed_counts_come_back_with_their_noise(case: tuple[int, list[tuple[int, int]]]) -> None:
    n_rows, drawn = case
    counts, noise = [n for n, _ in drawn], [n for _, n in drawn]
    secret = PlainSecret()
    public = secret.public
    packing = CountPacking.for_rows(n_rows, public.plaintext_bits)
    packed = packing.pack(public, public.load(secret.encrypt(counts)), noise)
    assert len(packed) == -(-len(counts) // packing.per_ciphertext)
    assert packing.split(secret.decrypt(public.dump(packed)), len(counts)) == [a + b for a, b in drawn]


def test_any_noise_a_host_can_draw_fits() -> None:
    """All prebins of a feature merged into one, at the least epsilon, each with noise as far out as it goes."""
    assert 255 * furthest(LEAST_EPSILON) <= REACH
    assert MAX_BINS + 2 == 255


@pytest.mark.parametrize("noise", [[0, REACH + 1], [-REACH - 1, 0]])
def test_noise_that_does_not_fit_is_refused(noise: list[int]) -> None:
    public = PlainSecret().public
    with pytest.raises(PlaintextOverflow):
        CountPacking.for_rows(10, public.plaintext_bits).pack(public, [1, 2], noise)


def test_full_slots_fit_a_real_key(real_key: Key) -> None:
    secret = real_key.secret()
    packing = CountPacking.for_rows(30_000, secret.public.plaintext_bits)
    n = packing.per_ciphertext
    sums = secret.public.load(secret.encrypt([30_000, 0]) * n)
    packed = packing.pack(secret.public, sums, [REACH, -REACH] * n)
    assert len(packed) == 2
    found = packing.split(secret.decrypt(secret.public.dump(packed)), 2 * n)
    assert found == [30_000 + REACH, -REACH] * n


def test_the_layout_is_the_tightest() -> None:
    assert CountPacking.for_rows(30_000, 2047) == CountPacking(slot=20, per_ciphertext=102, offset=REACH)
    assert CountPacking.for_rows(2**19, 2047).slot == 21
    with pytest.raises(PlaintextOverflow):
        CountPacking.for_rows(2**16, 16)


@pytest.mark.parametrize(
    ("plaintexts", "count"), [([], 1), ([1, 1], 2), ([-1], 1), ([4], 1), ([16], 2), ([1], 0), ([0, 4], 4)]
)
def test_rubbish_is_refused(plaintexts: list[int], count: int) -> None:
    with pytest.raises(PlaintextOverflow) as caught:
        CountPacking(slot=2, per_ciphertext=3, offset=0).split(plaintexts, count)
    assert caught.value.code == "plaintext_overflow"
