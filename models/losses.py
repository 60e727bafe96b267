"""Losses of boosting, and their first and second derivatives with respect to the margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


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


def logistic_derivatives(label: Floats, margin: Floats) -> tuple[Floats, Floats]:
    """Gradient ``p - y`` and hessian ``p (1 - p)`` of the logistic loss (Chen & Guestrin 2016, §2.2), at most 1."""
    p = default_probability(margin)
    return p - label, p * (1.0 - p)
