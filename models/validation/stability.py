"""Has the population shifted: the stability index of two samples over bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from models.losses import Floats, Integers
from models.samples import check_parameter, checked_counts, checked_score, need_rows, need_spread
from models.validation.bands import joined, sums_of, upper_edges

#: Below the first: stable; below the second: some shift; else a large one (Lewis 1994; Siddiqi 2006).
SOME_SHIFT: Final = 0.1
LARGE_SHIFT: Final = 0.25
#: Rows that stand for an empty bin whose counterpart is not empty.
HALF_A_ROW: Final = 0.5


@dataclass(frozen=True, slots=True)
class Shift:
    """Stability index, and where most of it comes from.

    Attributes:
        index: 0 or more; 0 if all shares agree.
        reading: ``"stable"``, ``"some_shift"`` or ``"large_shift"``.
        most_moved: expected and actual share of the bin that adds most to the index.
    """

    index: float
    reading: str
    most_moved: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stability(Shift):
    """A shift with the shares behind it.

    Attributes:
        expected, actual: share of each told bin, summing to 1 each.
        bins: told bin of each bin that was counted: neighbours below the minimum were joined.
    """

    expected: tuple[float, ...]
    actual: tuple[float, ...]
    bins: tuple[int, ...]


def stability_index(expected: ArrayLike, actual: ArrayLike) -> float:
    """``sum((a - e) ln(a / e))`` over bin shares, Jeffreys' symmetric divergence (Kullback & Leibler 1951).

    A bin empty in both samples adds nothing. Where only one count is zero it is taken as half a row, and nothing else
    changes: the term stays finite and the index symmetric.

    Args:
        expected, actual: counts per bin, whole, shape ``(n_bins,)``, neither all zero.
    """
    return float(np.sum(_terms(*_counts(expected, actual))))


def reading(index: float) -> str:
    """``"stable"`` below 0.1, ``"some_shift"`` below 0.25, else ``"large_shift"``.

    The limits are custom, not a test: with few rows the index exceeds them by chance (Yurdakul & Naranjo 2020).
    """
    check_parameter("stability_index", index, 0.0, np.inf)
    if index < SOME_SHIFT:
        return "stable"
    return "some_shift" if index < LARGE_SHIFT else "large_shift"


def stability_of_counts(expected: ArrayLike, actual: ArrayLike, *, minimum: int = 0) -> Stability:
    """Stability of two count vectors over the same bins in their order.

    Args:
        expected, actual: as ``stability_index``.
        minimum: bins with fewer rows in either sample are joined with a neighbour before any share is told or used, so
            that no share describes a few applicants. Empty bins are joined, too; 0 joins none. Joining never raises
            the index but for the half row of an empty bin.

    Raises:
        DataError: ``too_few_rows`` if a whole sample has fewer rows than ``minimum``.
    """
    check_parameter("minimum", minimum, 0, 10**12)
    e, a = _counts(expected, actual)
    bins = joined(np.stack([e, a]), (minimum, minimum))
    n_bins = int(bins[-1]) + 1
    e, a = (sums_of(counts.astype(np.float64), bins, n_bins).astype(np.int64) for counts in (e, a))
    terms = _terms(e, a)
    index, most = float(np.sum(terms)), int(np.argmax(terms))
    share_e, share_a = (e / e.sum()).tolist(), (a / a.sum()).tolist()
    return Stability(
        index=index,
        reading=reading(index),
        most_moved=(share_e[most], share_a[most]),
        expected=tuple(share_e),
        actual=tuple(share_a),
        bins=tuple(bins.tolist()),
    )


def stability_of_scores(expected: ArrayLike, actual: ArrayLike, n_bins: int = 10, *, minimum: int = 0) -> Stability:
    """Stability of two samples of scores, in bins of about equal number of the first.

    Equal scores share a bin (``bands.ranked_bands``); scores beyond the first sample's range fall into the outer bins.

    Args:
        expected, actual: scores, finite, any lengths; the first not constant, else no shift could be seen.
        minimum: as ``stability_of_counts``.
    """
    check_parameter("n_bins", n_bins, 2, 1000)
    first, second = checked_score(expected, name="expected"), checked_score(actual, name="actual")
    need_spread(first, "expected")
    edges = upper_edges(first, n_bins)
    e, a = (np.bincount(np.searchsorted(edges, s), minlength=len(edges) + 1) for s in (first, second))
    return stability_of_counts(e, a, minimum=minimum)


def _terms(e: Integers, a: Integers) -> Floats:
    """What each bin adds to the index, 0 or more."""
    share_e, share_a = (np.where((e > 0) | (a > 0), np.maximum(c, HALF_A_ROW), 1.0) / c.sum() for c in (e, a))
    terms: Floats = (share_a - share_e) * np.log(share_a / share_e)
    return np.where((e > 0) | (a > 0), terms, 0.0)


def _counts(expected: ArrayLike, actual: ArrayLike) -> tuple[Integers, Integers]:
    e = checked_counts(expected, name="expected")
    a = checked_counts(actual, len(e), "actual")
    need_rows(e, "expected")
    need_rows(a, "actual")
    return e, a
