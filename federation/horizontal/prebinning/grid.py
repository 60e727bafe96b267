"""A public grid of numbers to cut at, and the search on it for quantiles of rows of which only counts are known.

A cut point is a number of four significant digits: it tells no value more exactly. The search narrows brackets around
all quantiles at once: 70 parts, 70 of each, then every number of the grid that is left. Counts of every round may be
over other rows: quantiles are taken anew each time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from models.losses import Floats, Integers

_EXPONENTS: Final = range(-9, 10)


def _grid() -> Floats:
    digits = np.arange(1_000, 10_000, dtype=np.float64)
    # Quotients and products of exact floats: each is the float nearest to its decimal, on every machine.
    positive = np.concatenate([digits / 10.0**-e if e < 0 else digits * 10.0**e for e in _EXPONENTS])
    return np.concatenate([-positive[::-1], [0.0], positive])


#: All numbers of four significant digits from 1e-6 to 9.999e12, their negatives, and 0; ascending.
GRID: Final = _grid()
PARTS: Final = 70
#: After so many the brackets are as narrow as the grid.
ROUNDS: Final = math.ceil(math.log(len(GRID)) / math.log(PARTS))


def first_bounds() -> tuple[int, ...]:
    """Places on the grid that part it evenly."""
    return _parted(-1, len(GRID))


def next_bounds(bounds: Sequence[int], counts: Integers, n_quantiles: int) -> tuple[int, ...]:
    """Bounds that part the cells in which quantiles lie.

    Args:
        counts: rows up to the first bound, from each to the next, and beyond the last, shape ``(len(bounds) + 1,)``.
        n_quantiles: parts of equally many rows that are looked for.
    """
    below = np.cumsum(counts)
    if not below[-1]:
        return tuple(bounds)
    ends = [-1, *bounds, len(GRID)]
    cells = np.unique(np.searchsorted(below, _targets(int(below[-1]), n_quantiles), side="left"))
    found = {place for cell in cells.tolist() for place in _parted(ends[cell], ends[cell + 1])}
    found |= {end for cell in cells.tolist() for end in ends[cell : cell + 2] if 0 <= end < len(GRID)}
    return tuple(sorted(found))


def cuts_at(bounds: Sequence[int], counts: Integers, n_quantiles: int, least: float) -> tuple[int, ...]:
    """The bound nearest to each quantile by rows, the lowest of equals; one is left out where fewer than ``least`` rows
    would lie before or after it."""
    below = np.cumsum(counts)
    total, up_to = int(below[-1]), below[:-1]
    if not total or not len(bounds):
        return ()
    nearest = np.unique([np.abs(up_to - target).argmin() for target in _targets(total, n_quantiles)])
    kept, before = [], 0
    for k in nearest.tolist():
        if min(int(up_to[k]) - before, total - int(up_to[k])) >= max(1.0, least):
            kept.append(bounds[k])
            before = int(up_to[k])
    return tuple(kept)


def _targets(total: int, n_quantiles: int) -> Floats:
    return total * np.arange(1, n_quantiles) / n_quantiles


def _parted(low: int, high: int) -> tuple[int, ...]:
    """Places strictly between, at most ``PARTS - 1``."""
    places = {low + (high - low) * part // PARTS for part in range(1, PARTS)}
    return tuple(sorted(place for place in places if low < place < high))
