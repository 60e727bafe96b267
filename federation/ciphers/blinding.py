"""Random powers of fixed bases, fast: windowed tables (Brickell, Gordon, McCurley & Wilson 1992).

Paillier needs a random ``r**n mod n²`` per ciphertext. Two parties make them here, against different adversaries.

*The key holder, against everybody else.* Damgård, Jurik & Nielsen (2010, "A generalization of Paillier's public-key
system with applications to electronic voting") take ``h_s**a`` with a fixed ``h_s = h**n mod n²``, ``h = -y² mod n``,
primes congruent to 3 modulo 4, and an exponent of half the modulus. We shorten the exponent to twice the security
level (224 bits for 2,048-bit keys, 256 for 3,072), assuming that short powers of ``h_s`` cannot be told from random
ones; without the factors of n the best known attack is a kangaroo walk of 2**112 steps.

*A host, against the key holder,* who knows the factors and chose them: nothing computational may be assumed.
``Concealer`` multiplies random powers of several random n-th residues, with 256 bits more of entropy than the group
has, which is within 2**-128 of uniform (leftover hash lemma, Impagliazzo, Levin & Luby 1989). See
docs/adr/0004-short-exponents.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="random generator of the operating system",
        purpose="exponents of obfuscators and of re-randomisation",
        purpose_zh="混淆与重随机化指数",
        standard="Linux getrandom(2)",
        library="os",
    ),
)

#: Modulus bits → exponent bits: twice the security level of NIST SP 800-57 Part 1, table 2.
EXPONENT_BITS: Final = {2048: 224, 3072: 256}

Integers = NDArray[np.object_]


def exponent_bits(modulus_bits: int) -> int:
    """Length of the random exponents for a Paillier modulus of so many bits (short test keys: as for 2,048)."""
    return EXPONENT_BITS[3072] if modulus_bits >= 3072 else EXPONENT_BITS[2048]


def random_digits(count: int, n_bits: int, window: int) -> NDArray[np.uint16]:
    """Exponents as digits of ``window`` bits, shape ``(n_digits, count)``, from the system's generator."""
    n_digits = -(-n_bits // window)
    words = np.frombuffer(os.urandom(2 * n_digits * count), dtype=np.uint16)
    return (words & np.uint16((1 << window) - 1)).reshape(n_digits, count)


class FixedBase:
    """Tables ``base ** (digit << (window * i)) mod modulus``.

    Args:
        window: bits per digit, 1 to 16; tables hold ``2**window`` integers per digit.
    """

    def __init__(self, base: Integer, modulus: Integer, n_bits: int, window: int) -> None:
        self.modulus = modulus
        self.tables: list[Integers] = []
        step = base
        for _ in range(-(-n_bits // window)):
            table = np.empty(1 << window, dtype=object)
            value = step**0
            for digit in range(1 << window):
                table[digit] = value
                value = value * step % modulus
            self.tables.append(table)
            step = value

    def powers(self, digits: NDArray[np.uint16]) -> Integers:
        """``base ** exponent`` for each column of ``digits``: one multiplication per digit, column by column."""
        product: Integers = self.tables[0][digits[0]]
        for table, digit in zip(self.tables[1:], digits[1:], strict=True):
            product = product * table[digit] % self.modulus
        return product


class Concealer:
    """Statistically uniform n-th residues modulo n², drawn by a party that does not know the factors of n.

    Args:
        residues: draws one random n-th residue; called once per base.
        group_bits: bits of the group's order at most.
    """

    _BASE_BITS: Final = 256
    _SLACK_BITS: Final = 256
    _WINDOW: Final = 6

    def __init__(self, residues: Callable[[], Integer], modulus: Integer, group_bits: int) -> None:
        count = -(-(group_bits + self._SLACK_BITS) // self._BASE_BITS)
        self._bases = [FixedBase(residues(), modulus, self._BASE_BITS, self._WINDOW) for _ in range(count)]
        self._modulus = modulus

    def draw(self, count: int) -> list[Integer]:
        """``count`` fresh residues."""
        product: Integers | None = None
        for base in self._bases:
            factor = base.powers(random_digits(count, self._BASE_BITS, self._WINDOW))
            product = factor if product is None else product * factor % self._modulus
        assert product is not None
        return list(product)
