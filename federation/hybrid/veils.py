"""Veils: random numbers that a host adds to what it gives a bank, and the coordinator takes off the sum over banks.

Additive secret sharing between bank and coordinator modulo ``2**bits``, the host as dealer: the bank's share is number
plus veil, the coordinator's the veil, drawn from a seed. What is under Paillier cannot be reduced before it is
decrypted; above the veil then stand ``HIDING_BITS`` more random bits, so that the plaintext is within ``2**-64`` of
what it would be for any other number (statistical hiding, as Catrina & Saxena 2010, "Secure computation with
fixed-point numbers", FC, §2.2).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.pairwise import KEY_BYTES, stream
from models.declared import Declared
from models.losses import Integers

CRYPTO: Final = (
    Declared(
        algorithm="additive sharing between bank and coordinator",
        key_bits=(256,),
        purpose="sums over a host's features that no bank and no coordinator sees alone",
        purpose_zh="数据方特征上的和，银行与协调方均无法单独获知",
        standard="Catrina & Saxena 2010, section 2.2",
        library="os",
    ),
)

SEED_BYTES: Final = KEY_BYTES
#: Random bits above a veil, in a plaintext of the bank's cipher.
HIDING_BITS: Final = 64  # those of ``hiding``
#: Bits of a veil: what a sum over sites still fits in 64 bits with.
MOST_BITS: Final = 62


class Use(IntEnum):
    """What veils are for; with a turn, they are used once in a run."""

    COUNTS = 0
    SUMS = 1


def new_seed() -> bytes:
    """32 random bytes."""
    return os.urandom(SEED_BYTES)


def turn_of(tree: int, node: int) -> int:
    """Of the sums of a node."""
    return tree << 32 | node


@dataclass(frozen=True, slots=True)
class Veils:
    """Attributes:
    bits: numbers are modulo ``2**bits``; what is shared, and its sum over banks, must be of magnitude below
        ``2**(bits - 1)``.
    """

    bits: int

    @property
    def bound(self) -> int:
        """Largest magnitude of a share."""
        return 1 << (self.bits - 1)

    def draw(self, seed: bytes, use: Use, turn: int, n: int) -> NDArray[np.uint64]:
        """What is added to numbers, below ``2**bits``, shape ``(n,)``. ``turn``: serves once for this use and seed."""
        nonce = bytes(4) + use.to_bytes(4, "little") + turn.to_bytes(8, "little")  # the block counter begins at 0
        words = np.frombuffer(stream(seed, 8 * n, nonce), dtype="<u8").astype(np.uint64)
        return words & np.uint64((1 << self.bits) - 1)

    def centred(self, values: NDArray[np.uint64]) -> Integers:
        """The number of least magnitude that each stands for modulo ``2**bits``."""
        spare = np.uint64(64 - self.bits)
        high: Integers = (values << spare).view(np.int64)
        return high >> np.int64(64 - self.bits)

    def shared(self, numbers: Integers, veil: NDArray[np.uint64]) -> Integers:
        """The bank's share of numbers that are not encrypted."""
        return self.centred(numbers.view(np.uint64) + veil)

    def opened(self, shares: Integers, veil: NDArray[np.uint64]) -> Integers:
        """The numbers again, from shares and veils, or sums of both."""
        return self.centred(shares.view(np.uint64) - veil)

    def residues(self, plaintexts: list[int]) -> Integers:
        """The bank's share of numbers that were encrypted."""
        mask = (1 << self.bits) - 1
        return self.centred(np.array([p & mask for p in plaintexts], dtype=np.uint64))


def hiding(n: int) -> list[int]:
    """Random bits to stand above veils, known to the host alone."""
    bits: list[int] = np.frombuffer(os.urandom(8 * n), dtype="<u8").tolist()
    return bits
