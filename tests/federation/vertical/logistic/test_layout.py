"""Room is proven: no sum that honest rows can have leaves its slot; and what is multiplied is multiplied exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.ciphers.pairwise import agree, generate_key, public_key
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.errors import PlaintextOverflow
from federation.vertical.logistic.layout import (
    FACTOR_FRACTION,
    MOST_WOE,
    VALUE_FRACTION,
    SlotLayout,
    check_woe,
    fixed,
    margins_to_bytes,
    unfixed,
)
from federation.vertical.logistic.masks import PURPOSE, masks
from federation.vertical.logistic.sums import FactorColumns, pairs_of, weighted
from models.errors import DataError
from tests.conftest import Key

#: The largest value, weight, factor and product of two factors that the docstring of the layout names.
VALUE, WEIGHT = 1 << VALUE_FRACTION + 2, 1 << VALUE_FRACTION - 2
FACTOR, PRODUCT = 1 << FACTOR_FRACTION + 4, 1 << FACTOR_FRACTION + 8


@given(st.integers(1, 5_000_000), st.sampled_from([511, 2047, 3071]), st.integers(1, 40), st.integers(0, 2**32))
def test_the_largest_sums_of_all_rows_come_back(n_rows: int, plaintext_bits: int, count: int, seed: int) -> None:
    layout = SlotLayout.for_rows(n_rows, plaintext_bits)
    most = n_rows * max(VALUE * FACTOR, WEIGHT * PRODUCT)
    rng = np.random.default_rng(seed)
    sums = [int(s) * most for s in rng.choice([-1, 1, 0], count)]
    plaintexts = []
    for start in range(0, count, layout.per_ciphertext):
        group = sums[start : start + layout.per_ciphertext]
        plaintexts.append(sum(s << (layout.slot * k) for k, s in enumerate(group)))
    assert all(abs(p) < 1 << plaintext_bits - 1 for p in plaintexts)
    assert layout.split(plaintexts, count) == sums
    assert len(plaintexts) == layout.n_ciphertexts(count)


def test_honest_numbers_stay_within_the_bounds_of_the_proof() -> None:
    worst = np.array([1.0, 0.25 * MOST_WOE, -1.0])
    assert int(np.abs(fixed(worst, VALUE_FRACTION)).max()) <= VALUE
    assert int(fixed(np.array([0.25]), VALUE_FRACTION)[0]) <= WEIGHT
    assert int(fixed(np.array([MOST_WOE]), FACTOR_FRACTION)[0]) <= FACTOR
    assert int(fixed(np.array([MOST_WOE**2]), FACTOR_FRACTION)[0]) <= PRODUCT
    assert math.log2(max(VALUE * FACTOR, WEIGHT * PRODUCT)) == 66


def test_one_bit_less_would_overflow() -> None:
    layout = SlotLayout.for_rows(1023, 2047)
    tight = SlotLayout(layout.slot - 1, layout.per_ciphertext)
    sums = [1023 * VALUE * FACTOR, 5]
    assert tight.split([sums[0] + (sums[1] << tight.slot)], 2) != sums


@pytest.mark.parametrize(("plaintexts", "count"), [([], 1), ([0, 0], 1), ([1 << 2000], 1), ([-(1 << 2000)], 2)])
def test_plaintexts_that_hold_something_else_are_refused(plaintexts: list[int], count: int) -> None:
    with pytest.raises(PlaintextOverflow):
        SlotLayout.for_rows(100, 2047).split(plaintexts, count)


def test_a_key_without_room_for_one_number_is_refused() -> None:
    with pytest.raises(PlaintextOverflow):
        SlotLayout.for_rows(1000, 60)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 30), st.booleans())
def test_totals_are_the_sums_of_factors_times_rows(seed: int, n_values: int, n_rows: int, long: bool) -> None:
    rng = np.random.default_rng(seed)
    layout = SlotLayout.for_rows(n_rows, 2047 if long else 300)
    values = rng.integers(-VALUE, VALUE, (n_rows, n_values), endpoint=True)
    woe = rng.choice(np.r_[rng.uniform(-16, 16, 3), 0.0, MOST_WOE, -MOST_WOE], (n_rows, 3))
    secret = PlainSecret()
    kinds = layout.join(values)
    columns = FactorColumns.of(list(woe.T))
    found = []
    for kind in kinds:
        data = np.frombuffer(secret.encrypt(kind), np.uint8).reshape(n_rows, -1)
        negated = secret.public.load(secret.encrypt([-sum(kind)]))[0]
        found.append(secret.decrypt(secret.public.dump(columns.totals(secret.public, data, negated))))
    for k in range(3):
        expected = fixed(woe[:, k], FACTOR_FRACTION).astype(object) @ values.astype(object)
        assert layout.split([kind[k] for kind in found], n_values) == expected.tolist()


def test_many_columns_are_summed_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.vertical.logistic.sums._GROUP", 4)
    rng = np.random.default_rng(0)
    woe = rng.choice([-1.5, 0.25, 2.0], (50, 4))
    secret, weight = PlainSecret(), rng.integers(0, WEIGHT, 50)
    data = np.frombuffer(secret.encrypt(weight.tolist()), np.uint8).reshape(50, -1)
    negated = secret.public.load(secret.encrypt([-int(weight.sum())]))[0]
    columns = FactorColumns.of(pairs_of(woe))
    assert len(columns.groupings) == 3
    found = secret.decrypt(secret.public.dump(columns.totals(secret.public, data, negated)))
    expected = (woe.T * weight) @ woe
    upper = expected[np.triu_indices(4)]
    assert [unfixed(f, FACTOR_FRACTION) for f in found] == pytest.approx(upper.tolist(), rel=1e-12)


def test_a_sum_of_nothing_is_zero_and_negative_factors_are_exact(short_keys: Key) -> None:
    public = PlainPublic()
    assert weighted(public, [None, None], [3, -4], 0) == 0
    assert weighted(public, [], [], 0) == 0
    secret = short_keys.secret()
    numbers = [5, -7, 11]
    c = secret.public.load(secret.encrypt([*numbers, -sum(numbers)]))
    for factors in ([2, 3, 4], [-2, 3, 0], [-5, -5, -5], [0, 0, 0], [-(1 << 36), 1 << 36, 1]):
        total = weighted(secret.public, c[:3], factors, c[3])
        assert secret.decrypt_one(total) == sum(f * v for f, v in zip(factors, numbers, strict=True))


def test_large_and_missing_woe_are_refused_by_name() -> None:
    woe = np.array([[1.0, 16.0, np.nan], [1.0, -16.0, 0.0]])
    check_woe(woe[:, :2], ("a", "b"))
    with pytest.raises(DataError, match="in c"):
        check_woe(woe, ("a", "b", "c"))


@given(st.integers(2, 5), st.integers(0, 3), st.integers(0, 2**32))
def test_masks_cancel_in_the_sum_over_hosts(n_hosts: int, turn: int, seed: int) -> None:
    private = [generate_key() for _ in range(n_hosts)]
    public = [public_key(key) for key in private]
    margin = np.random.default_rng(seed).uniform(-5, 5, (n_hosts, 7))
    shares = []
    for k in range(n_hosts):
        others = [p for p in public if p != public[k]]
        mask = masks(agree(private[k], others, PURPOSE), [public[k] < p for p in others], turn, 7)
        clear = np.frombuffer(margins_to_bytes(margin[k]), dtype="<u8")
        shares.append(clear + mask)
        assert (mask != 0).all()
    total = np.add.reduce(shares).view(np.int64)
    np.testing.assert_allclose(np.ldexp(total.astype(float), -40), margin.sum(axis=0), atol=1e-10)


def test_masks_of_another_turn_or_another_run_differ() -> None:
    a, b = generate_key(), generate_key()
    shared = agree(a, [public_key(b)], PURPOSE)
    assert shared == agree(b, [public_key(a)], PURPOSE)
    first = masks(shared, [True], 1, 5)
    assert not (first == masks(shared, [True], 2, 5)).any()
    assert not (first == masks(agree(a, [public_key(generate_key())], PURPOSE), [True], 1, 5)).any()
    assert (first + masks(shared, [False], 1, 5) == 0).all()
