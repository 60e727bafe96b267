"""Have one party's features shifted between two samples: over its bins, small ones joined before a share is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.binning import FeatureBins
from models.errors import DataError
from models.losses import Integers
from models.scorecard.card import WoeFeature
from models.table import Table
from models.validation.stability import Shift, stability_of_counts

#: Fewest rows behind a share that is told, unless somebody asks for more.
MINIMUM: Final = 50


@dataclass(frozen=True, slots=True, eq=False)
class BinnedFeature:
    """``codes``: bin of each row, ``0 .. n_bins - 1``, shape ``(n_rows,)``."""

    name: str
    codes: Integers
    n_bins: int


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature.

    Attributes:
        name: as the party that looks at it knows it.
        stability: None with fewer rows than the minimum in either sample, or if withheld.
        party: whose feature it is, if not the own; of another party's the shares of all bins are not known.
        withheld: whether that party does not tell.
    """

    name: str
    stability: Shift | None
    party: str = ""
    withheld: bool = False


def shifts_of_others(features: Iterable[Mapping[str, Any]]) -> tuple[FeatureShift, ...]:
    """What other parties told, from stored JSON (``asdict``)."""
    found = []
    for f in features:
        if f.get("party"):
            s = f["stability"]
            shift = s and Shift(s["index"], s["reading"], tuple(s["most_moved"]))
            found.append(FeatureShift(f["name"], shift, f["party"], f["withheld"]))
    return tuple(found)


def binned_by_cuts(table: Table, bins: Iterable[FeatureBins]) -> tuple[BinnedFeature, ...]:
    """Features as trees see them: regular bins, missing, unseen."""
    return tuple(BinnedFeature(b.name, b.encode(table.columns[b.name]).astype(np.int64), b.n_regular + 2) for b in bins)


def binned_by_woe(table: Table, features: Iterable[WoeFeature]) -> tuple[BinnedFeature, ...]:
    """Features as a scorecard sees them: final bins, unseen."""
    found = []
    for f in features:
        final = np.array([*f.bins.bin_of, f.bins.n_bins], dtype=np.int64)
        codes = f.prebins.encode(table.columns[f.name])
        found.append(BinnedFeature(f.name, final[np.minimum(codes, len(f.bins.bin_of))], f.bins.n_bins + 1))
    return tuple(found)


def feature_shifts(
    features: Sequence[BinnedFeature],
    expected: NDArray[np.intp],
    actual: NDArray[np.intp],
    minimum: int = MINIMUM,
) -> tuple[FeatureShift, ...]:
    """One per feature.

    Args:
        expected, actual: row numbers of the two samples, such as fitted and held-out.
        minimum: bins with fewer rows in either are joined to a neighbour before a share is told.
    """
    shifts = []
    for f in features:
        first, second = (np.bincount(f.codes[rows], minlength=f.n_bins) for rows in (expected, actual))
        try:
            shifts.append(FeatureShift(f.name, stability_of_counts(first, second, minimum=minimum)))
        except DataError:
            shifts.append(FeatureShift(f.name, None))
    return tuple(shifts)
