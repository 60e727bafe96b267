"""Masks that hosts add to what they show, which cancel in the sum over hosts, and pads between two hosts.

Every two hosts agree on a key (``federation.ciphers.pairwise``) and stretch it to one number per row; one of them adds
the numbers, the other subtracts them, modulo 2**64: Bonawitz et al. 2017, "Practical secure aggregation for
privacy-preserving machine learning", §4, without the part for parties that drop out: here a lost party ends the run.
The public keys pass through the guest, which must not exchange them for its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.pairwise import stream

Masks = NDArray[np.uint64]

PURPOSE: Final = b"lianmo logistic v2"


class Use(IntEnum):
    """What numbers of a shared key are for; with a turn, they are used once in a run."""

    MARGINS = 0
    FACTORS_OF_FIRST = 1
    FACTORS_OF_SECOND = 2
    PRODUCTS = 3


def numbers(key: bytes, use: Use, turn: int, n: int) -> Masks:
    """What two hosts with this key both know, shape ``(n,)``.

    Args:
        turn: a number used once in a run for this use.
    """
    nonce = bytes(4) + use.to_bytes(4, "little") + turn.to_bytes(8, "little")  # the block counter begins at 0
    return np.frombuffer(stream(key, 8 * n, nonce), dtype="<u8").astype(np.uint64)


def masks(shared: Sequence[bytes], adds: Sequence[bool], turn: int, n_rows: int) -> Masks:
    """What a host adds to its margins, shape ``(n_rows,)``, modulo 2**64.

    Args:
        shared: keys shared with the other hosts.
        adds: whether this host adds the numbers of a key; the other one then subtracts them.
        turn: a number used once in a run.
    """
    total: Masks = np.zeros(n_rows, dtype=np.uint64)
    for key, plus in zip(shared, adds, strict=True):
        own = numbers(key, Use.MARGINS, turn, n_rows)
        total = total + own if plus else total - own
    return total
