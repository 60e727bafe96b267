"""Rows for a model of all applicants when outcomes are known of the accepted only, and how far they could mislead.

Nothing in the data says how the rejected would have done; every method puts an assumption in that place (Hand & Henley
1993; Crook & Banasik 2004). So use these as a sensitivity analysis, and give ``default_rate_bounds`` beside them.
Features are not touched: results are row numbers, labels and weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.losses import Floats, Integers
from models.samples import check_parameter, checked_label, checked_probability
from models.validation.bands import counts_of, upper_edges


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """Rows to fit on.

    Attributes:
        rows: row number, the accepted first (``0 .. n_accepted - 1``), then the rejected; int64.
        label: 1 = default, float64, same shape.
        weight: greater than 0, float64, same shape. Each applicant's weights sum to 1.
    """

    rows: Integers
    label: Floats
    weight: Floats

    @property
    def default_rate(self) -> float:
        return float(self.weight @ self.label / self.weight.sum())


@dataclass(frozen=True, slots=True)
class DefaultRateBounds:
    """Default rate of accepted and rejected together, under ever stronger assumptions.

    Attributes:
        accepted: of the accepted alone, the only one observed.
        all_good, all_bad: if no rejected applicant, or every one, would default (Manski 2003, ch. 1).
        low, high: if the rejected default as predicted, times the lower and the upper factor.
    """

    accepted: float
    all_good: float
    low: float
    high: float
    all_bad: float


def fuzzy_augmentation(label: ArrayLike, rejected_probability: ArrayLike, factor: float = 1.0) -> WeightedRows:
    """Each rejected applicant twice: a default of weight ``p``, a non-default of ``1 - p`` (Siddiqi 2006, ch. 6).

    Args:
        label: of the accepted, in {0, 1}, shape ``(n_accepted,)``.
        rejected_probability: default probabilities of the rejected by a model of the accepted, ``(n_rejected,)``.
        factor: how much riskier the rejected are held to be: ``p = min(1, factor * probability)``; 0 to 100.

    Returns:
        The accepted, then the rejected as defaults, then as non-defaults; rows of weight 0 are left out.
    """
    y = checked_label(label)
    p = _scaled(rejected_probability, factor)
    rejected = len(y) + np.arange(len(p), dtype=np.int64)
    rows = np.concatenate([np.arange(len(y), dtype=np.int64), rejected, rejected])
    labels = np.concatenate([y, np.ones(len(p)), np.zeros(len(p))])
    weight = np.concatenate([np.ones(len(y)), p, 1.0 - p])
    counted = weight > 0
    return WeightedRows(rows[counted], labels[counted], weight[counted])


def parcelling(
    label: ArrayLike,
    accepted_probability: ArrayLike,
    rejected_probability: ArrayLike,
    factor: float = 1.0,
    *,
    n_bands: int = 10,
    seed: int,
) -> WeightedRows:
    """Labels for the rejected, drawn per score band at the default rate of the accepted there, times ``factor``.

    Bands are of about equal number of the accepted, equal scores together (``bands.upper_edges``); a rate times
    the factor above 1 means all, and numbers of defaults are rounded to the nearest whole (Siddiqi 2006, ch. 6).

    Args:
        label, accepted_probability: of the accepted, shape ``(n_accepted,)``; probabilities by a model of the accepted.
        rejected_probability: by the same model, shape ``(n_rejected,)``.
        factor: 0 to 100.
        seed: of the draw within bands.

    Returns:
        Every applicant once, weight 1.
    """
    y = checked_label(label)
    own = checked_probability(accepted_probability, len(y), name="accepted_probability")
    p = checked_probability(rejected_probability, name="rejected_probability")
    check_parameter("factor", factor, 0.0, 100.0)
    edges = upper_edges(own, n_bands)
    n, d = counts_of(y, np.searchsorted(edges, own).astype(np.int64), len(edges) + 1)
    band = np.searchsorted(edges, p)
    n_bad = np.rint(factor * d / n * np.bincount(band, minlength=len(n)))  # more than there are: all of them
    order = np.lexsort((np.random.default_rng(seed).random(len(p)), band))  # random within bands
    starts = np.searchsorted(band[order], np.arange(len(n)))
    drawn = np.zeros(len(p))
    drawn[order] = np.arange(len(p)) - starts[band[order]] < n_bad[band[order]]
    n_all = len(y) + len(p)
    return WeightedRows(np.arange(n_all, dtype=np.int64), np.concatenate([y, drawn]), np.ones(n_all))


def default_rate_bounds(
    label: ArrayLike, rejected_probability: ArrayLike, factors: tuple[float, float] = (1.0, 3.0)
) -> DefaultRateBounds:
    """Between what and what the default rate of all applicants may lie.

    Args:
        label: of the accepted, in {0, 1}.
        rejected_probability: as ``fuzzy_augmentation``.
        factors: lower and upper factor, 0 to 100.

    Raises:
        ModelError: ``bad_parameter`` unless ``0 <= factors[0] <= factors[1] <= 100``.
    """
    lower, upper = factors
    check_parameter("upper factor", upper, 0.0, 100.0)
    check_parameter("lower factor", lower, 0.0, upper)
    y = checked_label(label)
    n_bad, n_all = float(y.sum()), len(y) + len(_scaled(rejected_probability, 1.0))
    return DefaultRateBounds(
        accepted=n_bad / len(y),
        all_good=n_bad / n_all,
        low=(n_bad + float(_scaled(rejected_probability, lower).sum())) / n_all,
        high=(n_bad + float(_scaled(rejected_probability, upper).sum())) / n_all,
        all_bad=(n_bad + n_all - len(y)) / n_all,
    )


def _scaled(rejected_probability: ArrayLike, factor: float) -> Floats:
    check_parameter("factor", factor, 0.0, 100.0)
    p = checked_probability(rejected_probability, name="rejected_probability")
    return np.minimum(1.0, factor * p)
