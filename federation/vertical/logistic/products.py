"""Sums of products between features of two hosts that neither shows, and that the guest learns as sums only.

Wanted is ``sum(weight * left * right)`` over rows, where one host knows ``left``, another ``right``, the guest the
weights. The guest splits weights into two random shares, one per host, so that the sum becomes two matrix products
between hosts: (share × left) with right, and left with (share × right). For these it deals random numbers, as the
commodity server of Beaver (1997, "Commodity-based cryptography", STOC) in the scalar product of Du & Zhan (2002,
"Building decision tree classifier on private data", §4): each host sends the other its factors minus numbers that only
it and the guest know. On the way they carry pads that only hosts know (``masks``), so that the guest cannot take its
numbers off. All numbers are integers modulo 2**64.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from federation.vertical.logistic.layout import MOST_WOE, fixed
from models.declared import Declared
from models.losses import Floats

Ring = NDArray[np.uint64]

CRYPTO: Final = (
    Declared(
        algorithm="ChaCha20",
        key_bits=(256,),
        purpose="random numbers dealt for products between hosts",
        purpose_zh="数据方间乘积所用的随机数",
        standard="RFC 8439",
        library="cryptography",
    ),
)

SEED_BYTES: Final = 32
#: Largest weight of a row, as the derivative of a probability; and the binary exponent of the largest WOE.
_MOST_WEIGHT_BITS: Final = -2
MOST_EXPONENT: Final = int(np.log2(MOST_WOE))


def fraction_for(n_rows: int) -> int:
    """Bits behind the point of weights and of both factors: ``n_rows * 2**(3 * fraction - 2) < 2**62``."""
    return (62 - _MOST_WEIGHT_BITS - n_rows.bit_length()) // 3


def exponent_of(woe: Floats) -> int:
    """The least exponent, at least 0, with ``|woe| <= 2**exponent``."""
    return max(0, int(np.ceil(np.log2(max(1.0, float(np.abs(woe).max(initial=0.0)))))))


def drawn(seed: bytes, *shape: int) -> Ring:
    """Numbers that follow from a seed of 32 bytes that is used once: ChaCha20 (RFC 8439)."""
    n = int(np.prod(shape))
    stream = Cipher(ChaCha20(seed, bytes(16)), mode=None).encryptor().update(bytes(8 * n))
    return np.frombuffer(stream, dtype="<u8").astype(np.uint64).reshape(shape)


def factors(woe: Floats, share: Ring, exponent: int, fraction: int, *, first: bool) -> Ring:
    """What one host brings to both products, shape ``(2, n_rows, n_features)``: weighted in one, bare in the other.

    Args:
        woe: of these rows, shape ``(n_rows, n_features)``.
        share: of the rows' weights, shape ``(n_rows,)``.
        first: whether this host's factors carry the weights in the first product; the other's then do in the second.
    """
    bare = fixed(np.ldexp(woe, -exponent), fraction).astype(np.uint64)
    weighted = bare * share[:, None]
    return np.stack([weighted, bare] if first else [bare, weighted])


def summed(left: Ring, right: Ring) -> Ring:
    """Both products added up: ``sum_k left[k].T @ right[k]``, shape ``(n_left, n_right)``."""
    total: Ring = np.matmul(left.transpose(0, 2, 1), right).sum(axis=0, dtype=np.uint64)
    return total


def to_bytes(numbers: Ring) -> bytes:
    """As they travel: little-endian, the last axis first to vary."""
    return numbers.astype("<u8").tobytes()


def from_bytes(data: bytes, *shape: int) -> Ring:
    """Back. Raises ``ValueError`` for another number of them."""
    return np.frombuffer(data, dtype="<u8").astype(np.uint64).reshape(shape)


def signed(numbers: Ring, fraction: int, exponent: int) -> Floats:
    """Real sums from sums modulo 2**64 of a weight and two factors; ``exponent``: of both hosts together."""
    values: Floats = np.ldexp(numbers.view(np.int64).astype(np.float64), exponent - 3 * fraction)
    return values
