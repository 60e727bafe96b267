"""Noise on sums of trees that sites make together: each adds a share, so that the sum carries it whoever leaves.

Trees from histograms with Gaussian noise under secure aggregation: Maddock, Cormode, Wang, Maple & Jha, "Federated
boosted decision trees with differential privacy", CCS 2022. An applicant's row is in one bin of each of ``d``
features, where it adds ``(g, h)``; sums of ``(g, 2 h)`` are given, because with ``h = abs(g) (1 - abs(g))`` the norm of
that is at most 1 all the same: its square, ``a**2 + 4 a**2 (1 - a)**2``, rises with ``a = abs(g)``. So the sums of one
level move by sqrt(d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError
from federation.horizontal.aggregation.interface import Numbers
from models.boosting.derivatives import DERIVATIVE_BITS
from models.shared_noise import FURTHEST, draw_share, spent

#: How many times h travels.
H_WEIGHT: Final = 2
#: Counts travel in as fine units as derivatives, so that shares of noise are fine enough.
COUNT_UNIT: Final = 1 << DERIVATIVE_BITS
#: What rounding to units may add to what one row moves a feature's sums by.
_ROUNDING: Final = 4


@dataclass(frozen=True, slots=True)
class NoiseTerms:
    """What a site demands before it contributes.

    Attributes:
        epsilon, delta: of one applicant's row here, over all sums of a run.
        knowing: sites whose shares an observer may know and take off; one at least: each knows its own.
    """

    epsilon: float
    delta: float
    knowing: int = 1

    def check(self, multiplier: float, n_sums: int) -> None:
        """Raises ``LocalProtocolError`` (``epsilon_spent``) if a run would spend more; nothing was contributed."""
        wanted = spent(multiplier, n_sums, self.delta) if multiplier else math.inf
        if wanted > self.epsilon:
            raise LocalProtocolError(
                "epsilon_spent",
                f"The run would spend an epsilon of {wanted:.3g} at delta {self.delta:g} in {n_sums} sums; this site "
                f"allows {self.epsilon:g}. Train fewer or shallower trees, or with more noise.",
                f"本次运行 {n_sums} 次求和将花费 ε = {wanted:.3g}（δ = {self.delta:g}），本站点仅允许 "
                f"{self.epsilon:g}。请减少树的数量或深度，或增大噪声。",
            )


def sensitivity(n_features: int) -> float:
    """What one row moves the sums of one level by (L2), in units of 2**-32."""
    return math.sqrt(n_features) * ((1 << DERIVATIVE_BITS) + _ROUNDING)


def room(multiplier: float, moved: float) -> int:
    """Magnitude beyond which no share of noise lies."""
    return math.ceil(FURTHEST * multiplier * moved)


def share(multiplier: float, moved: float, fewest_sites: int, knowing: int, n: int) -> Numbers:
    """One site's part of the noise on ``n`` numbers, such that any ``fewest_sites - knowing`` parts are enough.

    Raises:
        LocalProtocolError: ``policy`` if that is none.
    """
    counted = fewest_sites - max(1, knowing)
    if counted < 1:
        raise LocalProtocolError(
            "policy",
            "Of the sites of a sum, all may know each other's noise. Ask for sums over more sites.",
            "求和站点可能全部互知噪声。请要求更多站点参与求和。",
        )
    return draw_share(multiplier * moved / math.sqrt(counted), n)


def weighted(sums: Numbers, n_bins: int) -> Numbers:
    """``(g, h)`` per node and bin as they travel under noise."""
    travelling: Numbers = sums.reshape(-1, 2, n_bins) * np.array([[1], [H_WEIGHT]])
    return travelling.ravel()


def unweighted(sums: Numbers, n_bins: int) -> Numbers:
    """Back, rounded down."""
    back: Numbers = sums.reshape(-1, 2, n_bins) // np.array([[1], [H_WEIGHT]])
    return back.ravel()
