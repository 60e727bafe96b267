"""Shamir's secret sharing ("How to share a secret", CACM 22(11), 1979) over the scalars of ristretto255.

A secret is the value at 0 of a random polynomial of degree t - 1; the share of holder x is its value at x. Any t shares
give the secret back, fewer tell nothing of it. The field is that of RFC 9591 appendix C.1, whose vectors tests use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from federation.ciphers.integers import integer, inverse
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="Shamir secret sharing",
        key_bits=(252,),
        purpose="recovery of masks of sites that drop out, shared keys",
        purpose_zh="站点掉线后恢复掩码、密钥分片",
        standard="Shamir 1979; RFC 9591 appendix C.1",
        library="os",
    ),
)

#: Order of the group ristretto255 (RFC 9496 §4.4).
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
SHARE_BYTES: Final = 32
_WIDE_BYTES: Final = 48
#: Longest secret of bytes that is below the order whatever it is.
SECRET_BYTES: Final = 31


def random_scalar() -> int:
    """A random number below the order."""
    return random_scalars(1)[0]


def random_scalars(n: int) -> list[int]:
    """Random numbers below the order, uniform to 2**-128: of 48 bytes each, reduced (as RFC 9380 §5.1 does)."""
    data = os.urandom(n * _WIDE_BYTES)
    return [int.from_bytes(data[k : k + _WIDE_BYTES], "little") % ORDER for k in range(0, len(data), _WIDE_BYTES)]


def polynomial(secret: int, threshold: int) -> list[int]:
    """Coefficients, lowest first, of a random polynomial with ``secret`` at 0; ``threshold`` of its values fix it."""
    return [secret, *random_scalars(threshold - 1)]


def value(coefficients: Sequence[int], x: int) -> int:
    """The polynomial at ``x``, by Horner's rule. Holders are small numbers, so one reduction at the end is faster."""
    total = 0
    for c in reversed(coefficients):
        total = total * x + c
    return total % ORDER


def share(secret: int, threshold: int, holders: Sequence[int]) -> list[int]:
    """One share per holder, each of whom is a number of its own from 1."""
    coefficients = polynomial(secret, threshold)
    return [value(coefficients, x) for x in holders]


def weights(holders: Sequence[int]) -> list[int]:
    """What each holder's share counts for in the secret: Lagrange's coefficients at 0.

    Raises:
        ValueError: a holder is named twice, or is 0.
    """
    if len(set(holders)) < len(holders) or 0 in holders:
        raise ValueError("holders of shares are distinct and none is 0")
    found = []
    for x in holders:
        over, under = integer(1), integer(1)
        for other in holders:
            if other != x:
                over, under = over * other % ORDER, under * (other - x) % ORDER
        found.append(int(over * inverse(under, ORDER) % ORDER))
    return found


def combine(shares: Mapping[int, int]) -> int:
    """The secret from holder → share of as many as the threshold (more do no harm)."""
    pairs = zip(weights(list(shares)), shares.values(), strict=True)
    return sum(weight * one for weight, one in pairs) % ORDER
