"""Cells of floating-point numbers: all that share their first bits, in the order of the numbers.

A number's key is its IEEE 754 pattern made to sort as numbers do: the sign bit turned over, and of negative numbers all
others, too. The first b bits of the key name a cell; each further bit halves it. From 12 bits on a cell lies within one
power of two, and each of the 52 bits after that halves its relative width.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.binning import MAX_FLOAT
from models.losses import Floats

Keys = NDArray[np.uint64]

KEY_BITS: Final = 64
_SIGN: Final = np.uint64(1 << 63)


def keys_of(values: Floats) -> Keys:
    """Keys of numbers, none of them missing, shape ``(n,)``."""
    pattern = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)  # -0.0 + 0.0 is 0.0
    return np.where(pattern & _SIGN, ~pattern, pattern | _SIGN)


def prefixes_of(keys: Keys, bits: int) -> Keys:
    """Cells of so many bits that keys lie in."""
    return keys >> np.uint64(KEY_BITS - bits)


def ends_of(prefix: int, bits: int) -> tuple[float, float]:
    """Least and greatest finite number of a cell."""
    low = prefix << (KEY_BITS - bits)
    high = low + (1 << (KEY_BITS - bits)) - 1
    most = MAX_FLOAT if low >> (KEY_BITS - 1) else -MAX_FLOAT  # in the place of what is infinite or no number
    least, greatest = (float(v) for v in _number(np.array([low, high], dtype=np.uint64)))
    return least if np.isfinite(least) else most, greatest if np.isfinite(greatest) else most


def _number(keys: Keys) -> Floats:
    found: Floats = np.where(keys & _SIGN, keys & ~_SIGN, ~keys).view(np.float64)
    return found
