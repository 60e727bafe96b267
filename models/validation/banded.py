"""Discrimination from counts per band of scores, where single scores are known to nobody."""

from __future__ import annotations

from typing import Final

import numpy as np

from models.errors import DataError
from models.losses import Floats, Integers
from models.validation.metrics import Interval

_RESAMPLES: Final = 1000


def banded_auc(goods: Integers, bads: Integers) -> Floats:
    """AUC with ties counting half, from rows per band; bands ascend in risk along the last axis. Within a band scores
    count as equal, so it is off by half the chance that a default and another share a band, at most."""
    g, b = goods / goods.sum(-1, keepdims=True), bads / bads.sum(-1, keepdims=True)
    found: Floats = ((np.cumsum(g, -1) - 0.5 * g) * b).sum(-1)
    return found


def banded_ks(goods: Integers, bads: Integers) -> Floats:
    """Kolmogorov–Smirnov distance at the edges of bands."""
    apart = np.cumsum(goods, -1) / goods.sum(-1, keepdims=True) - np.cumsum(bads, -1) / bads.sum(-1, keepdims=True)
    found: Floats = np.abs(apart).max(-1)
    return found


def banded_quality(goods: Integers, bads: Integers, seed: int) -> tuple[Interval, Interval]:
    """AUC and KS with 95 % percentile bootstrap intervals; both classes are resampled apart, which for counts is a
    draw from the multinomial distribution.

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
    for metric in (banded_auc, banded_ks):
        low, high = np.quantile(metric(drawn[0], drawn[1]), [0.025, 0.975])
        found.append(Interval(float(metric(goods, bads)), float(low), float(high)))
    return found[0], found[1]
