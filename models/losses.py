"""Losses of boosting: first and second derivatives with respect to the margin, and their fixed-point form.

The derivatives are turned into integers once, at the guest, and every sum over them is exact from there on. So a
joint run and a pooled one, an encrypted and a plain one, see the same numbers whatever the order of addition.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Binary digits after the point. LightGBM keeps gradients as float32: 24 significant bits; ours is finer.
FRACTION_BITS: Final = 32
SCALE: Final = float(2**FRACTION_BITS)
#: One row's derivative has at most this magnitude, as a power of two: |g| <= 1 and 0 < h <= 1/4 for the logistic loss.
DERIVATIVE_BITS: Final = FRACTION_BITS


def default_probability(margin: Floats) -> Floats:
    """Probability of default from log-odds of default; the same bits for one row as for many."""
    # tanh saturates cleanly on both sides: no overflow warning, no branch.
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * margin))
    return half


def log_loss(label: Floats, margin: Floats) -> float:
    """Mean negative log-likelihood of labels in {0, 1}."""
    return float(np.mean(np.logaddexp(0.0, margin) - label * margin))


def base_margin(label: Floats) -> float:
    """Log-odds of the mean label: where boosting starts (LightGBM's ``boost_from_average``)."""
    rate = float(np.mean(label))
    return float(np.log(rate / (1.0 - rate)))


def logistic_derivatives(label: Floats, margin: Floats) -> tuple[Integers, Integers]:
    """Gradient ``p - y`` and hessian ``p (1 - p)`` of the logistic loss (Chen & Guestrin 2016, §2.2) as fixed point.

    Returns:
        Two int64 arrays in units of ``2**-FRACTION_BITS``; the hessian is at least one unit, so no row weighs nothing.
    """
    p = default_probability(margin)
    g = np.rint((p - label) * SCALE).astype(np.int64)
    h = np.maximum(np.rint(p * (1.0 - p) * SCALE), 1.0).astype(np.int64)
    return g, h
