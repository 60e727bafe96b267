"""How well default probabilities agree with what happened: Brier score, reliability table, intercept and slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, ndtri

from models.errors import DataError
from models.losses import Floats, Integers, default_probability, log_loss
from models.samples import (
    check_parameter,
    checked_groups,
    checked_label,
    checked_probability,
    checked_score,
    need_both_classes,
    need_spread,
)
from models.validation.bands import counts_of, ranked_bands, sums_of
from models.validation.metrics import Interval
from models.validation.proportions import jeffreys_interval


@dataclass(frozen=True, slots=True)
class BrierScore:
    """``score = reliability - resolution + uncertainty + within_groups``, to rounding.

    Attributes:
        score: mean squared difference of probability and label; lower is better.
        reliability: squared distance of mean probability and default rate over groups; 0 is perfect.
        resolution: squared distance of the groups' default rates from the overall one; more is better.
        uncertainty: variance of the label.
        within_groups: what unequal probabilities inside groups add; 0 if each group has one probability, as grades do.
    """

    score: float
    reliability: float
    resolution: float
    uncertainty: float
    within_groups: float


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """One group of a reliability table; ``default_rate`` carries its Jeffreys interval."""

    n_rows: int
    n_defaults: int
    mean_probability: float
    default_rate: Interval


@dataclass(frozen=True, slots=True)
class CoxCalibration:
    """Label regressed on margin, ``logit P(label) = intercept + slope * margin`` (Cox 1958, Biometrika 45).

    Attributes:
        intercept: of this fit; 0 if calibrated.
        slope: 1 if calibrated, below 1 if the margins are too extreme (overfitting), above 1 if too timid.
        in_the_large: intercept with the slope held at 1: below 0 if risk is overstated (Van Calster et al. 2019).
        p_value: likelihood-ratio test of intercept 0 and slope 1, two degrees of freedom (Miller, Hui & Tierney 1991).
    """

    intercept: Interval
    slope: Interval
    in_the_large: Interval
    p_value: float


def brier(label: ArrayLike, probability: ArrayLike, n_bands: int = 10, *, group: ArrayLike | None = None) -> BrierScore:
    """Brier (1950) score with Murphy's (1973) decomposition and the term inside groups of Stephenson et al. (2008).

    Args:
        label: in {0, 1}, shape ``(n_rows,)``; one class is allowed.
        probability: in [0, 1], same shape.
        n_bands: groups of about equal number by probability, ties together; not used if ``group`` is given.
        group: integers from 0, one per row, such as grades.
    """
    y = checked_label(label)
    p = checked_probability(probability, len(y))
    own = _groups(p, n_bands, group)
    n_groups = int(own.max()) + 1
    n_rows, n_defaults = counts_of(y, own, n_groups)
    n = np.maximum(n_rows, 1)
    forecast, observed = sums_of(p, own, n_groups) / n, n_defaults / n
    base, share = float(y.mean()), n_rows / len(y)
    spread = p - forecast[own]
    return BrierScore(
        score=float(np.mean((p - y) ** 2)),
        reliability=float(share @ (forecast - observed) ** 2),
        resolution=float(share @ (observed - base) ** 2),
        uncertainty=base * (1.0 - base),
        within_groups=float(np.mean(spread**2 - 2.0 * spread * (y - observed[own]))),
    )


def reliability_table(
    label: ArrayLike, probability: ArrayLike, n_bands: int = 10, *, group: ArrayLike | None = None
) -> tuple[ReliabilityRow, ...]:
    """Mean probability against default rate per group, ascending; groups without rows are left out.

    Arguments as ``brier``.
    """
    y = checked_label(label)
    p = checked_probability(probability, len(y))
    own = _groups(p, n_bands, group)
    n_groups = int(own.max()) + 1
    n_rows, n_defaults = counts_of(y, own, n_groups)
    sums = sums_of(p, own, n_groups)
    low, high = jeffreys_interval(n_rows, n_defaults)
    return tuple(
        ReliabilityRow(
            n_rows=int(n_rows[k]),
            n_defaults=int(n_defaults[k]),
            mean_probability=float(sums[k] / n_rows[k]),
            default_rate=Interval(float(n_defaults[k] / n_rows[k]), float(low[k]), float(high[k])),
        )
        for k in np.flatnonzero(n_rows)
    )


def cox(label: ArrayLike, margin: ArrayLike, confidence: float = 0.95) -> CoxCalibration:
    """Calibration intercept and slope with Wald intervals.

    Args:
        margin: log-odds of default, finite, shape ``(n_rows,)``.

    Raises:
        DataError: ``one_class``, ``constant_score``, or ``separated`` if the margin parts the classes without overlap,
            so that the slope has no finite estimate.
    """
    y = checked_label(label)
    m = checked_score(margin, len(y), "margin")
    need_both_classes(y)
    need_spread(m, "margin")
    need_overlap(y, m)
    intercept, slope = logistic_line(m, y, np.ones(len(y)))
    fitted = intercept + slope * m
    p = default_probability(fitted)
    design = np.stack([np.ones(len(m)), m])
    errors = np.sqrt(np.diag(np.linalg.inv((design * (p * (1.0 - p))) @ design.T)))
    ratio = 2.0 * len(y) * (log_loss(y, m) - log_loss(y, fitted))
    return CoxCalibration(
        intercept=_wald(intercept, float(errors[0]), confidence),
        slope=_wald(slope, float(errors[1]), confidence),
        in_the_large=in_the_large(y, m, confidence),
        p_value=float(chdtrc(2, max(ratio, 0.0))),
    )


def in_the_large(label: ArrayLike, margin: ArrayLike, confidence: float = 0.95) -> Interval:
    """What must be added to all margins so that expected defaults equal observed ones, with its Wald interval.

    Raises:
        DataError: ``one_class``, or ``separated`` if the margins are so extreme that no row tells anything.
    """
    from scipy.optimize import brentq

    y = checked_label(label)
    m = checked_score(margin, len(y), "margin")
    need_both_classes(y)
    base = float(np.log(y.mean() / (1.0 - y.mean())))
    # At the ends every row's probability is below, or above, the default rate: the root lies between.
    shift = float(
        brentq(lambda a: float(np.mean(default_probability(a + m) - y)), base - m.max() - 1.0, base - m.min() + 1.0)
    )
    p = default_probability(shift + m)
    information = float(np.sum(p * (1.0 - p)))
    if information < 1e-6:
        raise _separated()
    return _wald(shift, information**-0.5, confidence)


def logistic_line(margin: Floats, label: Floats, weight: Floats) -> tuple[float, float]:
    """Intercept and slope of an unpenalised logistic regression of ``label`` (0 or 1) on ``margin``."""
    from sklearn.linear_model import LogisticRegression  # CPU seconds: only where one is fitted

    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8)
    model.fit(margin[:, None], label, sample_weight=weight)
    return float(model.intercept_[0]), float(model.coef_[0, 0])


def need_overlap(label: Floats, margin: Floats) -> None:
    """Raises ``DataError`` ``separated`` if all defaults lie on one side of the rest (Albert & Anderson 1984)."""
    bad, good = margin[label == 1], margin[label == 0]
    if bad.min() >= good.max() or good.min() >= bad.max():
        raise _separated()


def _groups(probability: Floats, n_bands: int, group: ArrayLike | None) -> Integers:
    if group is None:
        return ranked_bands(probability, n_bands)
    return checked_groups(group, len(probability), 10_000)


def _wald(value: float, error: float, confidence: float) -> Interval:
    check_parameter("confidence", confidence, 0.5, 0.9999)
    width = float(ndtri(0.5 + confidence / 2.0)) * error
    return Interval(value, value - width, value + width)


def _separated() -> DataError:
    return DataError(
        "separated",
        "The margin parts defaults from the rest without overlap: calibration has no finite estimate. Use more rows.",
        "对数几率将违约与非违约完全分开，校准参数没有有限估计。请使用更多数据行。",
    )
