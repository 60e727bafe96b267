"""What the rejected could mean: bounds of the default rate of all applicants, and what each assumption makes of them.

The accepted that judge are held out; those the model was fitted on would rank too well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from lab.validation.sample import ScoredSample
from models.losses import Floats
from models.samples import checked_probability
from models.validation.reject_inference import (
    DefaultRateBounds,
    default_rate_bounds,
    fuzzy_augmentation,
    parcelling,
)

#: How much riskier than predicted the rejected are held to be.
FACTORS: Final = (1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True, slots=True)
class Assumption:
    """One factor, and what follows from it.

    Attributes:
        factor: the rejected default so many times as often as predicted.
        rejected_rate: their default rate then.
        fuzzy_rate: default rate of all applicants, each rejected one counted as partly a default.
        parcelled_rate: the same with labels drawn per score band of the accepted.
        cutoff: calibrated default probability up to which all can be approved at no more defaults among the approved
            than among the accepted today; None if not even the safest can.
        approval_rate: share of all applicants up to there.
    """

    factor: float
    rejected_rate: float
    fuzzy_rate: float
    parcelled_rate: float
    cutoff: float | None
    approval_rate: float


@dataclass(frozen=True, slots=True)
class RejectReport:
    """Attributes:
    n_accepted: with known outcome.
    n_rejected: without, and scored.
    n_unscored: rejected that a party does not hold; nothing here covers them.
    bounds: at the least and the greatest factor.
    """

    n_accepted: int
    n_rejected: int
    n_unscored: int
    bounds: DefaultRateBounds
    assumptions: tuple[Assumption, ...]


def reject_report(
    sample: ScoredSample,
    probability_of: Callable[[Floats], Floats],
    rejected_probability: ArrayLike,
    *,
    factors: Sequence[float] = FACTORS,
    n_unscored: int = 0,
    seed: int,
) -> RejectReport:
    """Bounds and assumptions.

    Args:
        sample: the accepted.
        probability_of: margins → calibrated default probabilities.
        rejected_probability: the same of the rejected, at least one, shape ``(n_rejected,)``.
        factors: at least one, ascending, 0 to 100.

    Raises:
        DataError: those of ``models.samples``; ModelError: ``bad_parameter``.
    """
    p = checked_probability(rejected_probability, name="rejected_probability")
    label = sample.label[sample.holdout]
    own = probability_of(sample.margin[sample.holdout])
    stands_for = len(sample.label) / len(label)  # a held-out row, among all accepted
    target = float(sample.label.mean())
    assumptions = []
    for factor in factors:
        fuzzy = fuzzy_augmentation(sample.label, p, factor)
        bad = np.concatenate([stands_for * label, np.minimum(1.0, factor * p)])
        weight = np.concatenate([np.full(len(label), stands_for), np.ones(len(p))])
        cutoff, share = cutoff_at(np.concatenate([own, p]), bad, weight, target)
        drawn = parcelling(label, own, p, factor, seed=seed).label[len(label) :]
        assumptions.append(
            Assumption(
                factor=float(factor),
                rejected_rate=float(np.minimum(1.0, factor * p).mean()),
                fuzzy_rate=fuzzy.default_rate,
                parcelled_rate=float((sample.label.sum() + drawn.sum()) / (len(sample.label) + len(p))),
                cutoff=cutoff,
                approval_rate=share,
            )
        )
    bounds = default_rate_bounds(sample.label, p, (min(factors), max(factors)))
    return RejectReport(len(sample.label), len(p), n_unscored, bounds, tuple(assumptions))


def cutoff_at(probability: Floats, bad: Floats, weight: Floats, target: float) -> tuple[float | None, float]:
    """The largest probability up to which all can be approved with a default rate of at most ``target``, and the share
    approved; applicants of one probability go together.

    Args:
        bad: expected defaults of each row, at most its ``weight``.
    """
    order = np.argsort(probability, kind="stable")
    p, n, d = probability[order], np.cumsum(weight[order]), np.cumsum(bad[order])
    ends = np.append(np.flatnonzero(np.diff(p)), len(p) - 1)
    allowed = ends[d[ends] <= target * n[ends] * (1 + 1e-12)]  # sums of floats
    if not len(allowed):
        return None, 0.0
    return float(p[allowed[-1]]), float(n[allowed[-1]] / n[-1])
