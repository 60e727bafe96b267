"""The two masks of a vector: one per pair of sites, which cancels in the sum, and one of the site's own.

Bonawitz et al. 2017, "Practical secure aggregation for privacy-preserving machine learning", CCS, §4: the own mask
keeps a vector hidden that came too late, after its pairwise masks were given away. Two sites agree on a secret once per
batch and draw a key per turn from it, as in Flamingo (Ma et al. 2023, IEEE S&P), where the coordinator keeps such
keys encrypted until a site leaves. Here each site seals its keys of a turn under a seed of that turn. That seed and
the own mask's, of 31 bytes each, so scalars of the field that shares are in, are what is shared among sites.
A mask is what ChaCha20-Poly1305 makes of zeros: the stream of ChaCha20 from its block 1 (RFC 8439 §2.8), with less
work around it than the bare cipher has in ``cryptography``. A key serves once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from federation.ciphers import pairwise
from federation.ciphers.shamir import SECRET_BYTES
from federation.ciphers.words import Residues
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="pairwise masking with drop-out recovery",
        key_bits=(248,),
        purpose="sums over sites that show no site's numbers",
        purpose_zh="跨站点安全求和，不暴露任一站点数值",
        standard="Bonawitz et al. 2017; Ma et al. 2023",
        library="os",
    ),
)

_PAIRS: Final = b"lianmo aggregation pairs 2"


def new_seed() -> bytes:
    """31 random bytes."""
    return os.urandom(SECRET_BYTES)


def pair_keys(secret: bytes, n_turns: int) -> bytes:
    """Keys of a pair's masks, 32 bytes a turn, from what the two agreed on: none tells anything of another."""
    return pairwise.stream(pairwise.expand(secret, _PAIRS), n_turns * pairwise.KEY_BYTES)


def seal_pair_keys(seed: bytes, keys: Sequence[bytes]) -> bytes:
    """A site's keys of one turn for whoever is given that turn's seed."""
    return pairwise.seal_once(_key_of(seed), b"".join(keys))


def open_pair_keys(seed: bytes, sealed: bytes) -> list[bytes]:
    """Back. Raises ``ValueError`` if this is not the seed."""
    keys = pairwise.open_once(_key_of(seed), sealed)
    return [keys[k : k + pairwise.KEY_BYTES] for k in range(0, len(keys), pairwise.KEY_BYTES)]


def sealed_bytes(n_keys: int) -> int:
    """Length of so many keys, sealed."""
    return n_keys * pairwise.KEY_BYTES + pairwise.TAG_BYTES


def own_mask(seed: bytes, n: int) -> Residues:
    """What a site adds to its vector by itself, shape ``(n,)``."""
    return _drawn(_key_of(seed), n)


def pair_masks(place: int, keys: Mapping[int, bytes], n: int) -> Residues:
    """Sum of what the site at ``place`` adds for every other one: of two sites the one that comes first adds what the
    other subtracts.

    Args:
        keys: place of the other → key of the pair and turn.
    """
    total: Residues = np.zeros(n, dtype=np.uint64)
    for other, key in keys.items():
        if place < other:
            total += _drawn(key, n)
        else:
            total -= _drawn(key, n)
    return total


def _drawn(key: bytes, n: int) -> Residues:
    """Eight bytes a number, lowest first: whatever the words, sums are right modulo a divisor of 2**64."""
    return np.frombuffer(pairwise.seal_once(key, bytes(8 * n)), dtype="<u8", count=n)


def _key_of(seed: bytes) -> bytes:
    """A seed is drawn for one purpose, so it is the key itself, a zero byte at its end."""
    return seed + bytes(pairwise.KEY_BYTES - SECRET_BYTES)
