"""ElGamal with the number in the exponent, on ristretto255, under a key shared by several parties (``dealing``).

Numbers m_j under the public keys H_1 … H_s: C = rG and D_j = m_j G + r H_j. Ciphertexts add up; t parties with shares
of the secret keys take r H_j off a sum, and what is left, m_j G, is found in a table, so sums must be small. The
randomness r serves one number per key (Bellare, Boldyreva & Staddon, "Randomness re-use in multi-recipient encryption
schemes", PKC 2003: ElGamal stays secure, as each number has a key of its own). In the exponent: Cramer, Gennaro &
Schoenmakers, EUROCRYPT 1997; shared decryption: Desmedt & Frankel, CRYPTO 1989.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import rbcl

from federation.ciphers.dealing import scalar
from federation.ciphers.shamir import ORDER
from federation.errors import PlaintextOverflow
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="threshold ElGamal in the exponent, ristretto255",
        key_bits=(252,),
        purpose="sums over sites, opened by a threshold of them",
        purpose_zh="跨站点加密求和，达到门限的站点共同开启",
        standard="ElGamal 1985; Cramer, Gennaro & Schoenmakers 1997; RFC 9496",
        library="rbcl",
    ),
)

#: Largest magnitude of a sum: a table of 2**16 points, and as many steps at worst, 1 s for one number.
MOST: Final = 2**31
_TABLE: Final = 2**16

_add = rbcl.crypto_core_ristretto255_add
_sub = rbcl.crypto_core_ristretto255_sub


@dataclass(frozen=True, slots=True)
class Ciphertexts:
    """Encrypted vector. Number k is under key ``k mod s`` with the randomness of block ``k div s``.

    Attributes:
        randomness: one point per block.
        numbers: one point per number.
    """

    randomness: list[bytes]
    numbers: list[bytes]

    def dump(self) -> bytes:
        return b"".join((*self.randomness, *self.numbers))


def n_blocks(n_numbers: int, n_keys: int) -> int:
    """How many points of randomness a vector has."""
    return -(-n_numbers // n_keys)


def encrypt(keys: Sequence[bytes], numbers: Sequence[int]) -> tuple[Ciphertexts, list[bytes]]:
    """Fresh ciphertexts, and the secret scalars of their randomness.

    Args:
        keys: checked points.
        numbers: of magnitude at most ``MOST``.
    """
    scalars, randomness, found = [], [], []
    for start in range(0, len(numbers), len(keys)):
        r = rbcl.crypto_core_ristretto255_scalar_random()
        scalars.append(r)
        randomness.append(bytes(rbcl.crypto_scalarmult_ristretto255_base(r)))
        for key, m in zip(keys, numbers[start : start + len(keys)], strict=False):
            found.append(bytes(_add(_multiple(m), rbcl.crypto_scalarmult_ristretto255(r, key))))
    return Ciphertexts(randomness, found), scalars


def check_room(n_addends: int, bound: int) -> None:
    """Raises ``PlaintextOverflow`` if sums of so many numbers up to ``bound`` could not be found again."""
    if n_addends * bound > MOST:
        raise PlaintextOverflow(
            f"Sums of {n_addends} numbers up to {bound:,} are too large for sums under a shared key, whose limit is "
            f"{MOST:,}. Use masked sums, or coarser numbers.",
            f"{n_addends} 个不超过 {bound:,} 的数之和超出共享密钥求和的上限 {MOST:,}。请改用掩码求和或降低精度。",
        )


def added(a: Sequence[bytes], b: Sequence[bytes]) -> list[bytes]:
    """Sums of checked points, one by one."""
    return [bytes(_add(x, y)) for x, y in zip(a, b, strict=True)]


def partial(shares: Sequence[bytes], weight: int, randomness: Sequence[bytes], n_numbers: int) -> list[bytes]:
    """What one party takes off a sum: per number its share of the key, times its weight, times the randomness.

    Args:
        shares: of each secret key, 32 bytes.
        weight: Lagrange's coefficient of the party among those who open (``shamir.weights``).
        randomness: of the sum, checked points.

    Raises:
        RuntimeError: a point is the identity, which sums of honest ciphertexts are not.
    """
    weighted = [bytes(rbcl.crypto_core_ristretto255_scalar_mul(scalar(weight), share)) for share in shares]
    n_keys = len(shares)
    return [
        bytes(rbcl.crypto_scalarmult_ristretto255(weighted[k % n_keys], randomness[k // n_keys]))
        for k in range(n_numbers)
    ]


def opened(number: bytes, partials: Sequence[bytes], bound: int) -> int:
    """The number in a sum, of magnitude at most ``bound``.

    Raises:
        PlaintextOverflow: it is none such, or a partial is false.
    """
    point = number
    for one in partials:
        point = _sub(point, one)
    return logarithm(bytes(point), bound)


def logarithm(point: bytes, bound: int) -> int:
    """m of magnitude at most ``bound`` with point = mG: baby steps and giant steps (Shanks 1971), outwards from 0."""
    table, stride = _steps()
    up = down = point
    for k in range(bound // _TABLE + 1):
        for here, sign in ((up, 1), (down, -1)):
            if (low := table.get(here)) is not None and abs(found := low + sign * k * _TABLE) <= bound:
                return found
        up, down = bytes(_sub(up, stride)), bytes(_add(down, stride))
    raise PlaintextOverflow(
        "A sum that was opened is outside what was agreed, or a site helped to open it falsely. The sum is lost.",
        "开启所得的和超出约定范围，或有站点提供了错误的开启份额。本次求和作废。",
    )


@cache
def _steps() -> tuple[dict[bytes, int], bytes]:
    """Point → its number from -2**15 to 2**15, and the point of 2**16."""
    half = _TABLE // 2
    one, point = _multiple(1), _multiple(-half)
    table = {}
    for m in range(-half, half + 1):
        table[point] = m
        point = bytes(_add(point, one))
    return table, _multiple(_TABLE)


def _multiple(m: int) -> bytes:
    """mG, the identity for 0."""
    if not -MOST <= m <= MOST:
        raise PlaintextOverflow(
            f"Numbers under this cipher are of magnitude {MOST:,} at most.",
            f"该密码的明文绝对值不得超过 {MOST:,}。",
        )
    return bytes(rbcl.crypto_scalarmult_ristretto255_base_allow_scalar_zero(scalar(m % ORDER)))
