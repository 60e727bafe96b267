"""The two masks of a vector: one per pair of sites, which cancels in the sum, and one of the site's own.

Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning", CCS, §4: the own mask
keeps a vector hidden that came too late, after its pairwise masks were given away. What is shared among sites is a seed
of 31 bytes of either, from which the key is derived, so that it is a scalar of the field that shares are in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import numpy as np

from federation.ciphers import pairwise
from federation.ciphers.shamir import SECRET_BYTES
from federation.ciphers.words import Residues, Words
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="pairwise masking with drop-out recovery",
        key_bits=(248,),
        purpose="sums over sites that show no site's numbers",
        purpose_zh="跨站点安全求和，不暴露任一站点数值",
        standard="Bonawitz et al. 2017",
        library="os",
    ),
)

_MASK_KEY: Final = b"lianmo aggregation mask key 1"
_PAIR: Final = b"lianmo aggregation pair 1"
_OWN: Final = b"lianmo aggregation own mask 1"


def new_seed() -> bytes:
    """31 random bytes."""
    return os.urandom(SECRET_BYTES)


def private_of(seed: bytes) -> bytes:
    """The X25519 private key of a mask seed."""
    return pairwise.expand(seed, _MASK_KEY)


def public_of(seed: bytes) -> bytes:
    """Its public key."""
    return pairwise.public_key(private_of(seed))


def own_mask(seed: bytes, words: Words, n: int) -> Residues:
    """What a site adds to its vector by itself, shape ``(n,)``."""
    return words.load(pairwise.stream(pairwise.expand(seed, _OWN), n * words.n_bytes))


def pair_masks(seed: bytes, place: int, others: Mapping[int, bytes], words: Words, n: int) -> Residues:
    """Sum of what the site at ``place`` adds for every other one: of two sites the one that comes first adds what the
    other subtracts.

    Args:
        others: place → public mask key.

    Raises:
        ValueError: one of them is no public key.
    """
    total: Residues = np.zeros(n, dtype=np.uint64)
    for other, key in zip(others, pairwise.agree(private_of(seed), list(others.values()), _PAIR), strict=True):
        mask = words.load(pairwise.stream(key, n * words.n_bytes))
        if place < other:
            total += mask
        else:
            total -= mask
    return total
