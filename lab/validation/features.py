"""Have the features of one party shifted: at its own node, over its own bins; only shares of joined bins are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.binning import FeatureBins
from models.errors import DataError
from models.table import Table
from models.validation.stability import Stability, stability_of_counts


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """``stability`` of one feature; None with fewer rows than the minimum in either sample."""

    name: str
    stability: Stability | None


def feature_shifts(
    table: Table, bins: Sequence[FeatureBins], expected: NDArray[np.intp], actual: NDArray[np.intp], minimum: int = 50
) -> tuple[FeatureShift, ...]:
    """One per binned feature.

    Args:
        table: the party's own rows.
        expected, actual: row numbers of the two samples, such as fitted and held-out.
        minimum: bins with fewer rows in either are joined to a neighbour before a share is told.
    """
    shifts = []
    for b in bins:
        codes = b.encode(table.columns[b.name])
        first, second = (np.bincount(codes[rows], minlength=b.n_regular + 2) for rows in (expected, actual))
        try:
            shifts.append(FeatureShift(b.name, stability_of_counts(first, second, minimum=minimum)))
        except DataError:
            shifts.append(FeatureShift(b.name, None))
    return tuple(shifts)
