"""Discrimination from counts per band of scores, where single scores are known to nobody."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.errors import DataError
from models.losses import Integers
from models.validation.metrics import Interval, auc_of_counts, ks_of_counts

_RESAMPLES: Final = 1000


def banded_quality(goods: Integers, bads: Integers, seed: int) -> tuple[Interval, Interval]:
    """AUC and KS with 95 % percentile bootstrap intervals; both classes are resampled apart, which for counts is a
    draw from the multinomial distribution.

    Within a band scores count as equal: AUC is off by half the chance that a default and another share a band, at most,
    and KS is looked for at the edges of bands.

    Args:
        goods, bads: rows per band, shape ``(n_bands,)``, bands ascending in risk.

    Raises:
        DataError: ``one_class``.
    """
    if not goods.sum() or not bads.sum():
        raise DataError(
            "one_class",
            "The held-out rows of all sites have one class only: AUC and KS have no meaning.",
            "全部站点的留出样本只有一个类别，AUC 与 KS 无意义。",
        )
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(int(n.sum()), n / n.sum(), size=_RESAMPLES) for n in (goods, bads)]
    found = []
    for metric in (auc_of_counts, ks_of_counts):
        low, high = np.quantile(metric(drawn[0], drawn[1]), [0.025, 0.975])
        found.append(Interval(float(metric(goods, bads)), float(low), float(high)))
    return found[0], found[1]
