"""Paillier's cryptosystem (Eurocrypt 1999) on plain integers; keys are made by phe, the only place that imports it.

``c = (1 + m n) r**n mod n²``. The bulk work differs from phe in speed only: encryption by the key holder modulo p²
and q² with fixed-base obfuscators (``blinding``), decryption by the Chinese remainder theorem (Paillier §7), sums on
raw integers. Tests hold every operation against phe itself.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar, Final

from phe import paillier as phe

from federation.ciphers.blinding import Concealer, FixedBase, exponent_bits, random_digits
from federation.ciphers.integers import Integer, from_bytes, gcd, integer, inverse, power, to_bytes
from federation.ciphers.interface import PublicCipher, SecretCipher
from federation.ciphers.reserve import Reserve
from federation.ciphers.workers import cut, lanes, spread
from federation.errors import InvalidCiphertext, KeyTooShort
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="Paillier",
        key_bits=(2048, 3072),
        purpose="gradients, labels and sums of them",
        purpose_zh="梯度、标签及其求和",
        standard="Paillier 1999; ISO/IEC 18033-6:2019",
        library="phe",
    ),
    Declared(
        algorithm="random generator of the operating system",
        purpose="base of the obfuscators, residues",
        purpose_zh="混淆因子的底数与剩余的随机数",
        standard="Linux getrandom(2)",
        library="secrets",
    ),
)

MINIMUM_KEY_BITS: Final = 2048


class PaillierPublic(PublicCipher):
    """Raises ``KeyTooShort`` for a modulus under ``minimum_bits``."""

    name: ClassVar[str] = "paillier"
    encrypts: ClassVar[bool] = True

    def __init__(self, n: int, minimum_bits: int = MINIMUM_KEY_BITS) -> None:
        if n.bit_length() < minimum_bits:
            raise KeyTooShort(n.bit_length(), minimum_bits)
        self.n = integer(n)
        self.n_squared = self.n * self.n
        self.key_bits = n.bit_length()
        self.plaintext_bits = self.key_bits - 1
        self.ciphertext_bytes = -(-self.key_bits // 4)
        self.zero = integer(1)
        self._concealer: Concealer | None = None

    @property
    def key(self) -> bytes:
        return to_bytes(self.n, -(-self.key_bits // 8))

    def read(self, data: bytes | memoryview) -> Integer:
        return from_bytes(data)

    def load(self, data: bytes) -> list[Integer]:
        size = self.ciphertext_bytes
        if len(data) % size:
            raise InvalidCiphertext
        view = memoryview(data)
        ciphertexts = [from_bytes(view[i : i + size]) for i in range(0, len(data), size)]
        product = integer(1)  # one gcd for all: the product shares a factor with n iff one of them does
        for c in ciphertexts:
            if not 0 < c < self.n_squared:
                raise InvalidCiphertext
            product = product * c % self.n
        if gcd(product, self.n) != 1:
            raise InvalidCiphertext
        return ciphertexts

    def dump(self, ciphertexts: Iterable[Integer]) -> bytes:
        return b"".join(to_bytes(c, self.ciphertext_bytes) for c in ciphertexts)

    def __reduce__(self) -> tuple[object, ...]:
        return _shared_public, (int(self.n), self.key_bits)  # workers keep one with its tables

    def add(self, a: Integer, b: Integer) -> Integer:
        return a * b % self.n_squared

    def constant(self, number: int) -> Integer:
        return (1 + number * self.n) % self.n_squared

    def shift(self, a: Integer, bits: int) -> Integer:
        return power(a, integer(1) << bits, self.n_squared)

    def rerandomise(self, ciphertexts: Sequence[Integer]) -> list[Integer]:
        if not ciphertexts:
            return []
        if self._concealer is None:
            self._concealer = Concealer(lambda: _random_residue(self.n), self.n_squared, self.key_bits)
        fresh = self._concealer.draw(len(ciphertexts))
        return [a * b % self.n_squared for a, b in zip(ciphertexts, fresh, strict=True)]


class PaillierSecret(SecretCipher):
    """Key holder. ``expected``: about how many numbers will be encrypted; sets the size of the tables."""

    def __init__(self, p: int, q: int, *, minimum_bits: int = MINIMUM_KEY_BITS, expected: int = 10_000) -> None:
        self.public: PaillierPublic = PaillierPublic(p * q, minimum_bits)
        n = self.public.n
        self._primes = tuple(integer(prime) for prime in sorted((p, q)))
        self._squares = tuple(prime * prime for prime in self._primes)
        self._p_square_inverse = inverse(self._squares[0], self._squares[1])
        self._p_inverse = inverse(self._primes[0], self._primes[1])
        self._h = tuple(
            inverse(_l_function(power(1 + n, prime - 1, square), prime), prime)
            for prime, square in zip(self._primes, self._squares, strict=True)
        )
        self._bits = exponent_bits(self.public.key_bits)
        # Tables are made in every process: fewest products in all, among tables of at most 160 MB.
        n_tables = 1 + lanes()
        self._window = min(range(6, 15), key=lambda w: -(-self._bits // w) * (expected + n_tables * 2**w))
        self._expected = expected
        self._bases: tuple[FixedBase, ...] = ()
        self._reserve: Reserve | None = None

    def prepare(self, count: int) -> None:
        if self._reserve is None and count and lanes() > 1:  # else the operator gave this party one process
            make = partial(_obfuscators_piece, self._lend())
            n_processes = max(1, min(lanes(), os.cpu_count() or 1) // 2)  # lanes may lie on other machines
            self._reserve = Reserve(make, self.public.ciphertext_bytes, n_processes)
        if self._reserve:
            self._reserve.fill(count)

    def encrypt(self, numbers: Sequence[int]) -> bytes:
        self.check_room(numbers)
        ready = self._reserve.take(len(numbers)) if self._reserve else []
        first = self.public.dump(map(self._lift, map(from_bytes, ready), numbers))
        rest = cut(numbers[len(ready) :], least=256)
        return first + b"".join(spread(_encrypt_piece, [(self._lend(), piece) for piece in rest]))

    def decrypt(self, data: bytes) -> list[int]:
        ciphertexts = self.public.load(data)
        found = spread(_decrypt_piece, [(self._lend(), piece) for piece in cut(ciphertexts, least=8)])
        return [m for piece in found for m in piece]

    def _lend(self) -> _Lent:
        """What a worker of this party needs to do part of the work; this process uses the key as it is."""
        if lanes() == 1:
            return _Lent(self)
        p, q = map(int, self._primes)
        return _Lent(None, p, q, self.public.key_bits, self._expected)

    def encrypt_here(self, numbers: Sequence[int]) -> bytes:
        """``encrypt`` in this process, with nothing made ahead."""
        return self.public.dump(map(self._lift, self.obfuscators(len(numbers)), numbers))

    def obfuscators(self, count: int) -> Iterable[Integer]:
        """Fresh ``r**n mod n²``, each for one ciphertext only."""
        if not self._bases:
            base = _obfuscator_base(self.public.n)
            self._bases = tuple(FixedBase(base % square, square, self._bits, self._window) for square in self._squares)
        digits = random_digits(count, self._bits, self._window)
        low, high = (base.powers(digits) for base in self._bases)
        p_square, q_square = self._squares
        joined: Iterable[Integer] = low + p_square * ((high - low) * self._p_square_inverse % q_square)
        return joined

    def _lift(self, obfuscator: Integer, m: int) -> Integer:
        """``(1 + m n) r mod n²`` as ``r + n (m r mod n)``: the products are of half the length."""
        n = self.public.n
        c = obfuscator + n * (m * obfuscator % n)
        return c - self.public.n_squared if c >= self.public.n_squared else c

    def decrypt_one(self, c: Integer) -> int:
        """The signed integer in one ciphertext, in this process."""
        low, high = (
            _l_function(power(c, prime - 1, square), prime) * h % prime
            for prime, square, h in zip(self._primes, self._squares, self._h, strict=True)
        )
        p, q = self._primes
        m = low + p * ((high - low) * self._p_inverse % q)
        return int(m - self.public.n if m > self.public.n // 2 else m)


@dataclass(frozen=True, slots=True, repr=False)
class _Lent:
    """The key on its way to a worker process of its owner: the object itself, or the numbers to make it again."""

    cipher: PaillierSecret | None
    p: int = 0
    q: int = 0
    minimum_bits: int = 0
    expected: int = 0

    def cipher_here(self) -> PaillierSecret:
        return self.cipher or _shared_secret(self.p, self.q, self.minimum_bits, self.expected)


def _encrypt_piece(lent: _Lent, numbers: Sequence[int]) -> bytes:
    return lent.cipher_here().encrypt_here(numbers)


def _obfuscators_piece(lent: _Lent, count: int) -> bytes:
    cipher = lent.cipher_here()
    return cipher.public.dump(cipher.obfuscators(count))


def _decrypt_piece(lent: _Lent, ciphertexts: Sequence[Integer]) -> list[int]:
    cipher = lent.cipher_here()
    return [cipher.decrypt_one(c) for c in ciphertexts]


@lru_cache(maxsize=4)
def _shared_secret(p: int, q: int, minimum_bits: int, expected: int) -> PaillierSecret:
    return PaillierSecret(p, q, minimum_bits=minimum_bits, expected=expected)


@lru_cache(maxsize=4)
def _shared_public(n: int, minimum_bits: int) -> PaillierPublic:
    return PaillierPublic(n, minimum_bits)


def generate(key_bits: int, *, minimum_bits: int = MINIMUM_KEY_BITS, expected: int = 10_000) -> PaillierSecret:
    """A fresh key pair from phe. Raises ``KeyTooShort``."""
    if key_bits < minimum_bits:
        raise KeyTooShort(key_bits, minimum_bits)
    while True:
        _, secret = phe.generate_paillier_keypair(n_length=key_bits)
        p, q = int(secret.p), int(secret.q)
        # Damgård, Jurik & Nielsen (2010): then -y² generates elements of Jacobi symbol 1 (one pair of primes in four).
        if p % 4 == q % 4 == 3 and math.gcd(p - 1, q - 1) == 2:
            return PaillierSecret(p, q, minimum_bits=minimum_bits, expected=expected)


def _l_function(x: Integer, prime: Integer) -> Integer:
    return (x - 1) // prime


def _obfuscator_base(n: Integer) -> Integer:
    """``h_s = (-y²)**n mod n²`` for a random y (Damgård, Jurik & Nielsen 2010)."""
    y = integer(secrets.randbelow(int(n) - 2) + 2)
    return power(n - y * y % n, n, n * n)


def _random_residue(n: Integer) -> Integer:
    """A uniformly random n-th residue modulo n²."""
    return power(integer(secrets.randbelow(int(n) - 2) + 2), n, n * n)
