"""Exact sums of fixed-point numbers per bin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.losses import Integers


def bin_sums(flat: NDArray[np.intp], values: Integers, n_bins: int) -> Integers:
    """Sums over all bins laid end to end, shape ``(n_bins,)``.

    Args:
        flat: bins of the rows among all (``Candidates.flat``), shape ``(n_features, n_rows)``.
        values: of the rows, magnitude at most ``2**DERIVATIVE_BITS``.
    """
    # bincount adds floats, so high and low halves go apart and stay below 2**53.
    weights = np.broadcast_to(values, flat.shape).ravel()
    high, low = (
        np.bincount(flat.ravel(), weights=half, minlength=n_bins)[:n_bins].astype(np.int64)
        for half in (weights >> 16, weights & 0xFFFF)
    )
    total: Integers = (high << 16) + low
    return total
