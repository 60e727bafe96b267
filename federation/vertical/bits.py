"""Bit arrays as they travel: eight to a byte, first bit highest."""

from __future__ import annotations

import numpy as np

from models.boosting.splits import Mask


def pack_bits(mask: Mask) -> bytes:
    """Any shape, row by row."""
    return np.packbits(mask).tobytes()


def unpack_bits(data: bytes, *shape: int) -> Mask:
    """Back to booleans of ``shape``. Raises ``ValueError`` unless ``data`` has exactly the bytes that needs."""
    count = int(np.prod(shape))
    if len(data) != -(-count // 8):
        raise ValueError("a bit array of another length")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=count)
    return bits.astype(bool).reshape(shape)
