"""A host's encrypted work for one pair of nodes: sums per bin, then the left side of every shown candidate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from models.splits import Candidates, Mask


def left_sums(
    cipher: PublicCipher,
    candidates: Candidates,
    per_bin: list[Integer | None],
    shown: Mask,
) -> dict[int, Integer]:
    """Ciphertext of the left side of each shown candidate, by candidate; not yet re-randomised.

    Prefix sums feature by feature; empty bins cost nothing.
    """
    splits = candidates.splits
    sums: dict[int, Integer] = {}
    feature_of = np.array([s.feature for s in splits], dtype=np.intp)
    bounds = np.searchsorted(feature_of, np.arange(len(candidates.bins) + 1))
    for f, (start, stop) in enumerate(pairwise(bounds.tolist())):
        bins, first = candidates.bins[f], int(candidates.starts[f])
        running: Integer | None = None
        reached = -1
        for j in range(start, stop):
            split = splits[j]
            if bins.category:
                total = per_bin[first + split.code]
            else:
                if split.code > reached:
                    running = _add(cipher, running, per_bin[first + split.code])
                    reached = split.code
                total = _add(cipher, running, per_bin[first + bins.missing_code]) if split.missing_left else running
            if shown[j]:
                sums[j] = cipher.zero if total is None else total
    return sums


def _add(cipher: PublicCipher, a: Integer | None, b: Integer | None) -> Integer | None:
    if a is None or b is None:
        return b if a is None else a
    return cipher.add(a, b)


def bin_counts(flat: NDArray[np.intp], rows: NDArray[np.intp], n_bins: int) -> NDArray[np.int64]:
    """Rows per bin, shape ``(n_bins,)``."""
    return np.bincount(flat[:, rows].ravel(), minlength=n_bins)[:n_bins].astype(np.int64)
