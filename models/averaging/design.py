"""Columns as numbers for models with a parameter vector, from bins that all sites share: no site's scale is told."""

from __future__ import annotations

import numpy as np

from models.binning import FeatureBins, encode
from models.losses import Floats
from models.table import Table


def width(bins: tuple[FeatureBins, ...]) -> int:
    """How many inputs ``design`` gives."""
    return sum(b.n_bins if b.category else 1 + b.has_missing for b in bins)


def design(table: Table, bins: tuple[FeatureBins, ...]) -> Floats:
    """Inputs of a model, shape ``(n_rows, width(bins))``, within -1 to 1.

    A number becomes the middle of its bin on a scale of ranks, -1 to 1, and 0 where it is missing, with an input of its
    own that says so; a level becomes an input of 0 or 1. What the bins have no room for is 0.
    """
    columns: list[Floats] = []
    for b, codes in zip(bins, encode(table, bins), strict=True):
        if b.category:
            columns += [(codes == code).astype(np.float64) for code in range(b.n_bins)]
            continue
        missing = codes >= b.n_regular
        ranks = (2.0 * codes.astype(np.float64) + 1.0) / b.n_regular - 1.0
        columns.append(np.where(missing, 0.0, ranks))
        if b.has_missing:
            columns.append(missing.astype(np.float64))
    return np.stack(columns, axis=1)
