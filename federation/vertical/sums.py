"""A host's encrypted work: sums per bin through joint cells, the left side of every shown candidate, packing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.ciphers.packing import PairPacking
from federation.ciphers.workers import cut, lanes, spread
from models.binning import Codes
from models.boosting.grouping import Grouping, Part, parts_of
from models.boosting.splits import Candidates, Mask

Sum = Integer | None
Rows = NDArray[np.intp]

#: Fewest rows that are worth a run of their own.
_LEAST_SHARE: Final = 4096
#: Fewest additions that are worth handing over to other processes.
_LEAST_ADDITIONS: Final = 8192


def bin_sums(
    cipher: PublicCipher, data: NDArray[np.uint8], nodes: Sequence[Rows], codes: Codes, grouping: Grouping
) -> list[dict[int, list[Sum]]]:
    """For each node: feature → sums per bin, ``None`` for an empty one. Features without a part are absent.

    Args:
        data: ciphertexts of all fitted rows, shape ``(n_fit, ciphertext_bytes)``, checked.
        nodes: rows of each node.
        codes: bins of the fitted rows, shape ``(n_features, n_fit)``.
    """
    pieces = [
        (node, piece, part)
        for node, rows in enumerate(nodes)
        for piece in _shares(rows, len(nodes))
        for part in parts_of(grouping, codes, piece)
    ]
    work = [(cipher, data, rows, part) for _, rows, part in pieces]
    n_additions = sum(part.n_additions for _, _, part in pieces)
    found = spread(_part_sums, work) if n_additions > _LEAST_ADDITIONS else [_part_sums(*piece) for piece in work]
    sums: list[dict[int, list[Sum]]] = [{} for _ in nodes]
    for (node, _, _), part_sums in zip(pieces, found, strict=True):
        for feature, of_bins in part_sums.items():
            known = sums[node].get(feature, [None] * len(of_bins))
            sums[node][feature] = [_add(cipher, a, b) for a, b in zip(known, of_bins, strict=True)]
    return sums


def _shares(rows: Rows, n_nodes: int) -> list[Rows]:
    """Rows of a node in so many runs that every lane has work; each run costs additions, so only long ones."""
    n_shares = min(-(-lanes() // n_nodes), max(1, len(rows) // _LEAST_SHARE))
    return np.array_split(rows, n_shares)


def _part_sums(cipher: PublicCipher, data: NDArray[np.uint8], rows: Rows, part: Part) -> dict[int, list[Sum]]:
    """One part: rows into cells, then cells into the cells of smaller groups, down to the bins of features."""
    sums = {part.top: cipher.cell_sums(data, rows, part.labels, part.n_cells)}
    for group, left, to_left, n_left, right, to_right, n_right in part.steps:
        cells = sums.pop(group)
        sums[left] = cipher.sums(cells, to_left, n_left)
        sums[right] = cipher.sums(cells, to_right, n_right)
    return sums


def _add(cipher: PublicCipher, a: Sum, b: Sum) -> Sum:
    if a is None or b is None:
        return b if a is None else a
    return cipher.add(a, b)


def left_sums(
    cipher: PublicCipher, candidates: Candidates, sums_of: Mapping[int, list[Sum]], shown: Mask
) -> dict[int, Integer]:
    """Ciphertext of the left side of each shown candidate, by candidate; not yet re-randomised.

    Prefix sums feature by feature; empty bins cost nothing.
    """
    splits = candidates.splits
    sums: dict[int, Integer] = {}
    feature_of = np.array([s.feature for s in splits], dtype=np.intp)
    bounds = np.searchsorted(feature_of, np.arange(len(candidates.bins) + 1))
    for f, (start, stop) in enumerate(pairwise(bounds.tolist())):
        if f not in sums_of:
            continue
        bins, per_bin = candidates.bins[f], sums_of[f]
        running: Sum = None
        reached = -1
        for j in range(start, stop):
            split = splits[j]
            if bins.category:
                total = per_bin[split.code]
            else:
                if split.code > reached:
                    running = _add(cipher, running, per_bin[split.code])
                    reached = split.code
                missing = per_bin[bins.missing_code] if split.missing_left and shown[j] else None
                total = _add(cipher, running, missing)
            if shown[j]:
                sums[j] = cipher.zero if total is None else total
    return sums


def sealed(cipher: PublicCipher, packing: PairPacking, sums: list[Integer]) -> bytes:
    """Sums as they travel: several to a ciphertext, re-randomised."""
    return b"".join(spread(_sealed_piece, [(cipher, packing, piece) for piece in cut(sums, packing.pairs, least=64)]))


def _sealed_piece(cipher: PublicCipher, packing: PairPacking, sums: list[Integer]) -> bytes:
    return cipher.dump(cipher.rerandomise(packing.pack(cipher, sums)))


def bin_counts(codes: Codes, rows: Rows, candidates: Candidates) -> NDArray[np.int64]:
    """Rows per bin of all features laid end to end, shape ``(candidates.n_bins,)``."""
    counts = [np.bincount(c[rows], minlength=b.n_bins) for c, b in zip(codes, candidates.bins, strict=True)]
    return np.concatenate([np.empty(0, dtype=np.int64), *counts]).astype(np.int64)
