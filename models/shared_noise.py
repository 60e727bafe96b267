"""Noise that sites make together: discrete Gaussian shares whose sum hides one applicant, and what it spends.

Canonne, Kamath & Steinke, "The discrete Gaussian for differential privacy", NeurIPS 2020 (mechanism, its concentrated
privacy); Kairouz, Liu & Steinke, "The distributed discrete Gaussian mechanism for federated learning with secure
aggregation", ICML 2021, Theorem 1: a sum of n shares of variance s**2/n hides what one draw of variance s**2 hides,
but for ``tau = 10 * sum_k exp(-2 pi**2 (s**2/n) k/(k+1))``. Shares here are of 2**20 units or more, so tau is below
exp(-2**43).

Concentrated privacy (zCDP: Bun & Steinke 2016) adds up over releases; epsilon at a delta is read off at the end.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from models.errors import ModelError
from models.losses import Integers
from models.mechanisms import discrete_gaussian, epsilon_of_gaussians

#: Noise over sensitivity, of one release.
LEAST_MULTIPLIER: Final = 0.1
MOST_MULTIPLIER: Final = 1e4
#: Shares narrower than this many units would not add up to a discrete Gaussian closely enough.
LEAST_SCALE: Final = 2.0**20
#: Beyond so many standard deviations noise is drawn again: with a probability below 2**-100, not booked.
FURTHEST: Final = 12


def draw_share(scale: float, n: int) -> Integers:
    """Independent discrete Gaussians of this standard deviation, shape ``(n,)``, exact, from the operating system.

    Raises:
        ModelError: ``bad_parameter`` for a scale under 2**20.
    """
    if not (LEAST_SCALE <= scale < 2.0**58):
        raise ModelError(
            "bad_parameter",
            f"Noise of {scale:g} units: shares must be of 2**20 to 2**58, so that they add up as they should.",
            f"噪声尺度为 {scale:g} 个单位：各站点分量应在 2**20 至 2**58 之间，否则相加后不符合要求。",
        )
    found = np.array(discrete_gaussian(scale)([0] * n), dtype=np.int64)
    while (far := np.flatnonzero(np.abs(found) > FURTHEST * scale)).size:
        found[far] = discrete_gaussian(scale)([0] * len(far))
    return found


def spent(multiplier: float, n_releases: int, delta: float) -> float:
    """Epsilon, at this delta, of releases whose noise is ``multiplier`` times what one applicant moves them by (L2).

    Raises:
        ModelError: ``bad_parameter``.
    """
    fine = LEAST_MULTIPLIER <= multiplier <= MOST_MULTIPLIER and n_releases >= 1 and 0.0 < delta < 0.1
    if not fine:
        raise ModelError(
            "bad_parameter",
            f"The noise multiplier is from {LEAST_MULTIPLIER:g} to {MOST_MULTIPLIER:g}, delta from 0 to 0.1, releases "
            "one or more.",
            f"噪声倍数应在 {LEAST_MULTIPLIER:g} 至 {MOST_MULTIPLIER:g} 之间，delta 应在 0 至 0.1 之间，"
            "发布次数至少为 1。",
        )
    unit = 2.0**32
    return epsilon_of_gaussians([discrete_gaussian(multiplier * unit)] * n_releases, unit, delta)


def multiplier_for(epsilon: float, n_releases: int, delta: float) -> float:
    """The least multiplier, to one part in a thousand, with which so many releases spend no more than ``epsilon``.

    Raises:
        ModelError: ``bad_parameter``, also if no multiplier up to 10,000 does.
    """
    low, high = LEAST_MULTIPLIER, MOST_MULTIPLIER
    if spent(low, n_releases, delta) <= epsilon:
        return low
    if spent(high, n_releases, delta) > epsilon:
        raise ModelError(
            "bad_parameter",
            f"No noise is enough for an epsilon of {epsilon:g} over {n_releases} releases. Release less.",
            f"在 {n_releases} 次发布下，任何噪声都无法达到 ε = {epsilon:g}。请减少发布次数。",
        )
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle, n_releases, delta) <= epsilon else (middle, high)
    return high
