"""Sums stay in their slots up to the proven limit, and what does not fit is never read as if it did."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from federation.ciphers.packing import PairPacking
from federation.ciphers.paillier import PaillierSecret
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.errors import PlaintextOverflow
from models.boosting.derivatives import DERIVATIVE_BITS as BITS
from tests.conftest import Key

layouts = st.builds(PairPacking.for_rows, st.integers(1, 10**7), st.integers(1, 40), st.integers(200, 3071))


@st.composite
def layout_and_sums(draw: st.DrawFn) -> tuple[PairPacking, list[int], list[int]]:
    n_rows, value_bits = draw(st.integers(1, 10**7)), draw(st.integers(1, 40))
    most = n_rows * 2**value_bits
    value = st.one_of(st.integers(-most, most), st.sampled_from([most, -most, 0]))
    count = draw(st.integers(0, 30))
    g, h = (draw(st.lists(value, min_size=count, max_size=count)) for _ in range(2))
    return PairPacking.for_rows(n_rows, value_bits, 2047), g, h


@given(layout_and_sums())
def test_any_sums_in_range_come_back(drawn: tuple[PairPacking, list[int], list[int]]) -> None:
    layout, g, h = drawn
    secret = PlainSecret()
    sums = secret.public.load(secret.encrypt(layout.join(g, h)))
    packed = secret.public.dump(layout.pack(secret.public, sums))
    assert layout.split(secret.decrypt(packed), len(g)) == (g, h)
    assert len(packed) == -(-len(g) // layout.pairs) * secret.public.ciphertext_bytes


@given(st.lists(st.tuples(*[st.integers(-(2**BITS) * 500, 2**BITS * 500)] * 2), max_size=7))
def test_packing_under_encryption_equals_packing_in_clear(short_keys: Key, sums: list[tuple[int, int]]) -> None:
    secret: PaillierSecret = short_keys.secret()
    layout = PairPacking.for_rows(500, BITS, secret.public.plaintext_bits)
    g, h = [a for a, _ in sums], [b for _, b in sums]
    ciphertexts = secret.public.load(secret.encrypt(layout.join(g, h)))
    packed = secret.public.dump(layout.pack(secret.public, ciphertexts))
    assert layout.split(secret.decrypt(packed), len(g)) == (g, h)


@pytest.mark.parametrize("n_rows", [1, 2, 255, 256, 1_000_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_most_extreme_sum_of_all_rows_fits_in_every_slot(n_rows: int, sign: int) -> None:
    layout = PairPacking.for_rows(n_rows, BITS, 2047)
    extreme = [sign * n_rows * 2**BITS] * (2 * layout.pairs)
    opposite = [-v for v in extreme]
    cipher = PlainPublic()
    sums = [m % 2**2048 for m in layout.join(extreme, opposite)]
    assert layout.split(PlainSecret().decrypt(cipher.dump(layout.pack(cipher, sums))), len(sums)) == (extreme, opposite)


@given(layouts)
def test_a_full_ciphertext_stays_below_the_limit_of_the_cipher(layout: PairPacking) -> None:
    top = (1 << (layout.slot - 1)) - 1
    plaintext = sum(((top << layout.slot) + top) << (2 * layout.slot * k) for k in range(layout.pairs))
    assert layout.pairs >= 1
    assert plaintext < 1 << (2 * layout.slot * layout.pairs)


@given(st.integers(1, 10**7), st.integers(1, 40), st.integers(200, 3071))
def test_the_layout_is_the_proven_one_and_the_tightest(n_rows: int, value_bits: int, plaintext_bits: int) -> None:
    layout = PairPacking.for_rows(n_rows, value_bits, plaintext_bits)
    assert n_rows * 2**value_bits < 2 ** (layout.slot - 1) <= 4 * n_rows * 2**value_bits
    assert layout.pairs * 2 * layout.slot < plaintext_bits <= (layout.pairs + 1) * 2 * layout.slot


def test_a_key_too_short_for_one_pair_is_named() -> None:
    with pytest.raises(PlaintextOverflow, match="too short"):
        PairPacking.for_rows(10**6, BITS, 64)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_plaintext_with_something_beyond_its_last_slot_is_refused(count: int, sign: int) -> None:
    layout = PairPacking(slot=10, pairs=3)
    full, last = divmod(count, layout.pairs)
    plaintexts = [0] * full + ([0] if last else [])
    plaintexts[-1] = sign << (2 * layout.slot * (last or layout.pairs))
    with pytest.raises(PlaintextOverflow):
        layout.split(plaintexts, count)


@given(st.integers(-(2**70), 2**70))
def test_what_splits_is_what_would_have_been_packed(plaintext: int) -> None:
    layout = PairPacking(slot=10, pairs=3)
    try:
        g, h = layout.split([plaintext], 3)
    except PlaintextOverflow:
        assert abs(plaintext) >= 2**58
    else:
        assert sum(((a << 10) + b) << (20 * k) for k, (a, b) in enumerate(zip(g, h, strict=True))) == plaintext


@given(st.integers(0, 8), st.integers(0, 4))
def test_too_few_plaintexts_are_refused(count: int, n_plaintexts: int) -> None:
    layout = PairPacking(slot=10, pairs=3)
    assume(n_plaintexts < -(-count // layout.pairs))
    with pytest.raises(PlaintextOverflow):
        layout.split([0] * n_plaintexts, count)


def test_too_many_plaintexts_are_refused() -> None:
    with pytest.raises(PlaintextOverflow):
        PairPacking(slot=10, pairs=3).split([0, 0], 3)
