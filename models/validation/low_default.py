"""Default probabilities of grades with few or no defaults: upper bounds after the most prudent principle."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from models.losses import Floats
from models.samples import check_parameter, checked_cells


def prudent_bounds(n_rows: ArrayLike, n_defaults: ArrayLike, confidence: float = 0.9) -> Floats:
    """Upper bound of each grade's default probability (Pluto & Tasche 2005, §2 and §3, independent defaults).

    A grade's bound is that of a pool: the grade itself and all riskier ones, as if none of them were worse. It is the
    largest probability under which as few defaults as seen are not less likely than ``1 - confidence``.

    Args:
        n_rows, n_defaults: counts, safest grade first, shape ``(n_grades,)``.
        confidence: 0.5 to 0.9999. The paper leaves the choice open and shows 0.5 to 0.999.

    Returns:
        float64 in (0, 1], shape ``(n_grades,)``; 1 where the pool has no row or only defaults. Bounds rise with the
        grade unless safer grades default more than riskier ones: then the grades are out of order, which
        ``master_scale.inversions`` tells.
    """
    check_parameter("confidence", confidence, 0.5, 0.9999)
    rows, defaults = checked_cells(n_rows, n_defaults)
    n = np.cumsum(rows[::-1])[::-1]
    d = np.cumsum(defaults[::-1])[::-1]
    spared = n - d
    # P(Binomial(n, p) <= d) = 1 - confidence, solved through the beta distribution (Clopper & Pearson 1934).
    return np.where(spared == 0, 1.0, betaincinv(d + 1, np.maximum(spared, 1), confidence))
