"""Shares of counts with intervals."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from models.losses import Floats
from models.samples import check_parameter, checked_cells
from models.validation.metrics import Interval


def jeffreys_interval(n_rows: ArrayLike, n_events: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Equal-tailed Jeffreys interval of each proportion (Brown, Cai & DasGupta 2001, §3.1.3).

    Args:
        n_rows, n_events: counts, shape ``(n_groups,)``.
        confidence: 0.5 to 0.9999.

    Returns:
        Lower and upper ends, float64 in [0, 1]; the lower is 0 without events, the upper 1 if all rows are events, so
        a group without rows has (0, 1).
    """
    check_parameter("confidence", confidence, 0.5, 0.9999)
    rows, events = checked_cells(n_rows, n_events)
    tail = (1.0 - confidence) / 2.0
    low = betaincinv(events + 0.5, rows - events + 0.5, tail)
    high = betaincinv(events + 0.5, rows - events + 0.5, 1.0 - tail)
    return np.where(events == 0, 0.0, low), np.where(events == rows, 1.0, high)


def proportion(n_rows: int, n_events: int, confidence: float = 0.95) -> Interval:
    """``n_events / n_rows`` with its Jeffreys interval; ``n_rows`` is at least 1."""
    check_parameter("n_rows", n_rows, 1, 2**53)
    low, high = jeffreys_interval([n_rows], [n_events], confidence)
    return Interval(n_events / n_rows, float(low[0]), float(high[0]))
