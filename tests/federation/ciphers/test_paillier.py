"""Every operation against phe, which makes the keys; and what must be refused."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phe import paillier as phe

from federation.ciphers import blinding
from federation.ciphers.paillier import MINIMUM_KEY_BITS, PaillierPublic, PaillierSecret, generate
from federation.ciphers.suite import CipherRules, public_cipher, secret_cipher
from federation.errors import CipherError, InvalidCiphertext, KeyTooShort, NotEncrypting, PlaintextOverflow
from tests.conftest import Key

#: Largest magnitude a 512-bit key surely holds; Hypothesis draws up to and including it.
LIMIT = 2**510 - 1
signed = st.one_of(st.integers(-LIMIT, LIMIT), st.sampled_from([0, 1, -1, LIMIT, -LIMIT]))
lists = st.lists(signed, min_size=1, max_size=4)


@pytest.fixture(scope="module")
def secret(short_keys: Key) -> PaillierSecret:
    return short_keys.secret()


def phe_secret(key: Key) -> phe.PaillierPrivateKey:
    return phe.PaillierPrivateKey(phe.PaillierPublicKey(key.p * key.q), key.p, key.q)


def phe_decrypt(key: Key, ciphertext: int) -> int:
    n = key.p * key.q
    m = phe_secret(key).raw_decrypt(int(ciphertext))
    return m - n if m > n // 2 else m


@given(lists)
def test_numbers_come_back(secret: PaillierSecret, numbers: list[int]) -> None:
    assert secret.decrypt(secret.encrypt(numbers)) == numbers


@given(lists)
def test_phe_reads_our_ciphertexts(short_keys: Key, secret: PaillierSecret, numbers: list[int]) -> None:
    assert [phe_decrypt(short_keys, c) for c in secret.public.load(secret.encrypt(numbers))] == numbers


@given(lists)
def test_we_read_the_ciphertexts_of_phe(short_keys: Key, secret: PaillierSecret, numbers: list[int]) -> None:
    public = phe.PaillierPublicKey(short_keys.p * short_keys.q)
    theirs = [public.raw_encrypt(m % public.n) for m in numbers]
    assert secret.decrypt(secret.public.dump(theirs)) == numbers


@given(st.lists(st.integers(-(2**400), 2**400), min_size=2, max_size=6), st.integers(0, 100))
def test_sums_and_shifts_are_exact(short_keys: Key, secret: PaillierSecret, numbers: list[int], bits: int) -> None:
    first, *rest = secret.public.load(secret.encrypt(numbers))
    total = first
    for c in rest:
        total = secret.public.add(total, c)
    assert phe_decrypt(short_keys, total) == sum(numbers)
    shifted = secret.public.shift(first, bits)
    assert secret.decrypt(secret.public.dump([shifted])) == [numbers[0] << bits]


def test_a_real_key_agrees_with_phe_in_both_directions(real_key: Key) -> None:
    secret = real_key.secret()
    limit = 2 ** (secret.public.plaintext_bits - 1) - 1
    numbers = [0, -1, limit, -limit, 2**1000]
    data = secret.encrypt(numbers)
    assert len(data) == len(numbers) * 512
    assert secret.decrypt(data) == numbers
    assert [phe_decrypt(real_key, c) for c in secret.public.load(data)] == numbers


@pytest.mark.parametrize("expected", [100, 10_000, 100_000])
def test_tables_of_every_size_encrypt_alike(short_keys: Key, expected: int) -> None:
    secret = short_keys.secret(expected)
    assert [phe_decrypt(short_keys, c) for c in secret.public.load(secret.encrypt([5, -6]))] == [5, -6]


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_at_the_limit_is_refused(secret: PaillierSecret, sign: int) -> None:
    limit = 1 << (secret.public.plaintext_bits - 1)
    assert secret.decrypt(secret.encrypt([sign * (limit - 1)])) == [sign * (limit - 1)]
    with pytest.raises(PlaintextOverflow):
        secret.encrypt([0, sign * limit])


@pytest.mark.parametrize("which", ["zero", "n", "n squared", "beyond", "p", "multiple of p", "p q squared"])
def test_a_ciphertext_outside_the_group_is_refused(short_keys: Key, secret: PaillierSecret, which: str) -> None:
    p, q = short_keys.p, short_keys.q
    n = p * q
    bad = {
        "zero": 0,
        "n": n,
        "n squared": n * n,
        "beyond": 256**secret.public.ciphertext_bytes - 1,
        "p": p,
        "multiple of p": 12345 * p,
        "p q squared": p * q * q % (n * n),
    }[which]
    good = secret.public.load(secret.encrypt([1, 2]))
    for position in range(3):
        data = secret.public.dump([*good[:position], bad, *good[position:]])
        with pytest.raises(InvalidCiphertext):
            secret.public.load(data)
        with pytest.raises(InvalidCiphertext):
            secret.decrypt(data)


@pytest.mark.parametrize("extra", [1, -1])
def test_truncated_ciphertexts_are_refused(secret: PaillierSecret, extra: int) -> None:
    data = secret.encrypt([1, 2])
    with pytest.raises(InvalidCiphertext):
        secret.public.load(data + b"\1" if extra > 0 else data[:-1])


def test_equal_numbers_encrypt_differently(secret: PaillierSecret) -> None:
    ciphertexts = secret.public.load(secret.encrypt([7] * 200))
    assert len(set(map(int, ciphertexts))) == 200


@given(st.lists(st.integers(-(2**400), 2**400), max_size=5))
def test_rerandomising_changes_the_ciphertext_and_not_the_number(secret: PaillierSecret, numbers: list[int]) -> None:
    before = secret.public.load(secret.encrypt(numbers))
    after = secret.public.rerandomise(before)
    assert not set(map(int, before)) & set(map(int, after))
    assert secret.decrypt(secret.public.dump(after)) == numbers


def recognisable(ciphertexts: list[int], zero: int) -> bool:
    """Whether the key holder could tell empty bins: the neutral ciphertext itself, or the same one twice."""
    return zero in ciphertexts or max(Counter(ciphertexts).values()) > 1


def test_empty_bins_cannot_be_recognised(secret: PaillierSecret) -> None:
    public = PaillierPublic(int(secret.public.n), 512)  # a host knows the public half only
    assert not recognisable(list(map(int, public.rerandomise([public.zero] * 200))), 1)
    assert secret.decrypt(public.dump(public.rerandomise([public.zero] * 3))) == [0, 0, 0]


def test_without_rerandomising_empty_bins_would_be_recognised(
    secret: PaillierSecret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PaillierPublic, "rerandomise", lambda self, ciphertexts: list(ciphertexts))
    assert recognisable(list(map(int, secret.public.rerandomise([secret.public.zero] * 2))), 1)


def test_two_hosts_draw_bases_of_their_own(secret: PaillierSecret, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same exponents two hosts still conceal differently: nothing the key holder chose is behind it."""
    monkeypatch.setattr(
        blinding, "random_digits", lambda count, n_bits, window: np.ones((-(-n_bits // window), count), np.uint16)
    )
    hosts = [PaillierPublic(int(secret.public.n), 512) for _ in range(2)]
    first, second = ([int(c) for c in host.rerandomise([host.zero])] for host in hosts)
    assert first != second


@pytest.mark.parametrize("bits", [512, 1024, 2047])
def test_short_keys_are_refused_wherever_they_come_from(short_keys: Key, bits: int) -> None:
    assert CipherRules().minimum_key_bits == MINIMUM_KEY_BITS == 2048
    with pytest.raises(KeyTooShort):
        generate(bits)
    with pytest.raises(KeyTooShort):
        secret_cipher("paillier", bits, CipherRules())
    with pytest.raises(KeyTooShort):
        public_cipher("paillier", (2**bits - 1).to_bytes(bits // 8 + 1, "big"), CipherRules())
    with pytest.raises(KeyTooShort):
        PaillierSecret(short_keys.p, short_keys.q)


def test_leading_zeros_do_not_make_a_key_long(short_keys: Key) -> None:
    key = (short_keys.p * short_keys.q).to_bytes(256, "big")
    with pytest.raises(KeyTooShort):
        public_cipher("paillier", key, CipherRules())


def test_a_new_key_has_the_length_asked_for(short_keys: Key) -> None:
    secret = secret_cipher("paillier", 600, short_keys.rules)
    assert secret.public.key_bits == 600
    assert secret.decrypt(secret.encrypt([-42])) == [-42]


def test_the_public_half_travels_as_bytes(short_keys: Key, secret: PaillierSecret) -> None:
    public = public_cipher("paillier", secret.public.key, short_keys.rules)
    total = public.add(*public.load(secret.encrypt([40, 2])))
    assert secret.decrypt(public.dump([total])) == [42]


def test_a_cipher_that_does_not_encrypt_is_refused_unless_said_otherwise() -> None:
    for make in (
        lambda: secret_cipher("plain", 2048, CipherRules()),
        lambda: public_cipher("plain", b"", CipherRules()),
    ):
        with pytest.raises(NotEncrypting):
            make()
    assert not public_cipher("plain", b"", CipherRules(insecure_allow_plaintext=True)).encrypts


@pytest.mark.parametrize("name", ["", "PLAIN", "rsa", "Paillier"])
def test_an_unknown_cipher_is_refused(name: str) -> None:
    rules = CipherRules(insecure_allow_plaintext=True)
    with pytest.raises(CipherError) as caught:
        public_cipher(name, b"\xff" * 256, rules)
    assert caught.value.code == "unknown_cipher"


def test_a_secret_key_prints_nothing_and_cannot_be_copied_out(short_keys: Key, secret: PaillierSecret) -> None:
    assert repr(secret) == str(secret) == "<PaillierSecret redacted>"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="secret key"):
            pickle.dumps(secret, protocol)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_cell_sums_are_those_of_the_rows(secret: PaillierSecret, labels: list[int], data: st.DataObject) -> None:
    rows = np.flatnonzero([data.draw(st.booleans()) for _ in labels])
    values = [3**k for k in range(len(labels))]
    ciphertexts = np.frombuffer(secret.encrypt(values), dtype=np.uint8).reshape(len(labels), -1)
    sums = secret.public.cell_sums(ciphertexts, rows, np.array(labels)[rows], 4)
    for cell, c in enumerate(sums):
        inside = [values[row] for row in rows if labels[row] == cell]
        assert (c is None) == (not inside)
        if c is not None:
            assert secret.decrypt(secret.public.dump([c])) == [sum(inside)]
