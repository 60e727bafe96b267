"""Noisy counts made counts again: none negative, and as many in all as are known to be.

Known totals and non-negativity cost no privacy, being applied after the noise (post-processing: Dwork & Roth 2014,
prop. 2.1). The method is Norm-Sub of Wang et al., "Locally differentially private frequency estimation with
consistency", NDSS 2020, §4: the nearest point of the simplex (Duchi et al., ICML 2008, fig. 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def consistent(noisy: Sequence[int], total: int) -> tuple[int, ...]:
    """The nearest counts that add up to ``total``, rounded by largest remainder.

    Args:
        noisy: at least one.
        total: at least 0.
    """
    values = np.array(noisy, dtype=np.float64)
    falling = np.sort(values)[::-1]
    over = (np.cumsum(falling) - total) / np.arange(1, len(values) + 1)
    excess = over[np.flatnonzero(falling - over >= 0)[-1]]
    exact = np.maximum(values - excess, 0.0)
    counts = np.floor(exact).astype(np.int64)
    short = total - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    return tuple(counts.tolist())
