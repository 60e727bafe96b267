"""Rows in bands of about equal number, and neighbouring bands joined until each is large enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.losses import Floats, Integers
from models.samples import check_parameter


def ranked_bands(score: Floats, n_bands: int) -> Integers:
    """Band of each row by rank, ``0 .. n_bands - 1`` ascending with the score, int64, shape ``(n_rows,)``.

    Without ties the sizes differ by one row at most. Rows with the same score are never parted: all of them go where
    the middle of their ranks falls, so with heavy ties bands are unequal and some are empty.

    Args:
        score: finite, shape ``(n_rows,)``.

    Raises:
        ModelError: ``bad_parameter`` unless 1 to 1,000 bands are asked for.
    """
    from scipy.stats import rankdata  # a CPU second: only where it is used

    check_parameter("n_bands", n_bands, 1, 1000)
    twice_rank = np.rint(2.0 * rankdata(score)).astype(np.int64)  # mid-ranks are halves: whole when doubled
    bands: Integers = (twice_rank - 1) * n_bands // (2 * len(score))
    return bands


def upper_edges(score: Floats, n_bands: int) -> Floats:
    """Largest score of every band of ``ranked_bands`` that has rows, except the last; ascending, float64.

    ``np.searchsorted(edges, score)`` then puts any score into ``len(edges) + 1`` bins, none empty for ``score`` itself.
    """
    bands = ranked_bands(score, n_bands)
    largest = np.full(n_bands, -np.inf)
    np.maximum.at(largest, bands, score)
    edges: Floats = largest[largest > -np.inf][:-1]
    return edges


def counts_of(label: Floats, group: Integers, n_groups: int) -> tuple[Integers, Integers]:
    """Rows and defaults per group, both int64, shape ``(n_groups,)``."""
    n_rows = np.bincount(group, minlength=n_groups).astype(np.int64)
    n_defaults = np.rint(np.bincount(group, weights=label, minlength=n_groups)).astype(np.int64)
    return n_rows, n_defaults


def sums_of(values: Floats, group: Integers, n_groups: int) -> Floats:
    """Sum of ``values`` per group, float64, shape ``(n_groups,)``."""
    return np.bincount(group, weights=values, minlength=n_groups).astype(np.float64)


def joined(counts: NDArray[Any], minimum: tuple[float, ...]) -> Integers:
    """New band of each band after joining neighbours until each reaches every minimum.

    From the first band on, a new band is closed as soon as it is large enough; what is left over at the end goes to the
    last one closed.

    Args:
        counts: what is counted, shape ``(n_kinds, n_bands)``.
        minimum: least of each kind in a new band, ``n_kinds`` numbers.

    Returns:
        int64, shape ``(n_bands,)``, starting at 0 and rising by 0 or 1.

    Raises:
        DataError: ``too_few_rows`` if even all bands together do not reach the minimum.
    """
    least = np.asarray(minimum, dtype=np.float64)
    total = counts.sum(axis=1)
    if (total < least).any():
        kind = int(np.argmax(total < least))
        raise DataError(
            "too_few_rows",
            f"All bands together count {total[kind]:g}, fewer than the minimum of {least[kind]:g}. Use more rows.",
            f"全部分组合计为 {total[kind]:g}，少于最低要求 {least[kind]:g}。请使用更多数据行。",
        )
    new = np.zeros(counts.shape[1], dtype=np.int64)
    current, held = 0, np.zeros(len(least))
    for band in range(counts.shape[1]):
        new[band] = current
        held = held + counts[:, band]
        if (held >= least).all():
            current, held = current + 1, np.zeros(len(least))
    return np.minimum(new, current - 1)  # an unfinished last band joins the one before
