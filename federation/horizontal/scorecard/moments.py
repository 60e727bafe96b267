"""Loss, gradient and hessian of rows as integers that can be added up over sites, with room proven.

Columns are divided by a power of two not below their largest WOE, so that no row adds more than 1 to any sum: of
``most_rows`` rows none is beyond ``most_rows`` units of 2**-32, and whether the sum over all sites fits into a word,
the aggregation proves. Rounding moves a sum by half a unit per site at most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from federation.horizontal.aggregation.interface import Numbers
from models.losses import Floats, logistic_derivatives
from models.scorecard.card import WoeFeature
from models.scorecard.logistic import Moments, moments_of, with_intercept

BITS: Final = 32
#: Largest loss of one row that is told; it only steers the length of steps.
MOST_LOSS: Final = 64.0


def bound(most_rows: int) -> int:
    """Largest magnitude of any number of a site."""
    return most_rows << BITS


def n_values(n_coefficients: int) -> int:
    """How many numbers a site contributes."""
    return 1 + n_coefficients + n_coefficients * (n_coefficients + 1) // 2


def scales_of(features: Sequence[WoeFeature]) -> Floats:
    """Of each coefficient, the intercept's 1 first: powers of two, shape ``(1 + n_features,)``."""
    largest = [max(map(abs, (*f.bins.woe, f.bins.unseen_woe)), default=0.0) for f in features]
    return np.array([1.0, *(2.0 ** math.ceil(math.log2(w)) if w > 0.0 else 1.0 for w in largest)])


def contribution(woe: Floats, label: Floats, coefficients: Floats, scales: Floats) -> Numbers:
    """What rows add: loss, gradient, upper triangle of the hessian, shape ``(n_values,)``.

    Args:
        woe: shape ``(n_rows, n_features)``.
        coefficients, scales: the intercept's first, shape ``(1 + n_features,)``.
    """
    design = with_intercept(woe)
    margin = design @ coefficients
    losses = np.minimum(np.logaddexp(0.0, margin) - label * margin, MOST_LOSS)
    told = moments_of(design / scales, *logistic_derivatives(label, margin))
    upper = np.triu_indices(len(scales))
    sums = np.concatenate([[losses.sum() / MOST_LOSS], told.gradient, told.hessian[upper]])
    units: Numbers = np.rint(np.ldexp(sums, BITS)).astype(np.int64)
    return units


def summed(values: Numbers, scales: Floats) -> tuple[float, Moments]:
    """Loss and its derivatives with respect to the coefficients, from the sum of contributions."""
    sums, n = np.ldexp(values.astype(np.float64), -BITS), len(scales)
    hessian = np.zeros((n, n))
    hessian[np.triu_indices(n)] = sums[1 + n :]
    hessian += np.triu(hessian, 1).T
    return float(sums[0]) * MOST_LOSS, Moments(sums[1 : 1 + n] * scales, hessian * np.outer(scales, scales))
