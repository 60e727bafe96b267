"""Separation beyond one number: Gini, DeLong's variance and test of AUCs, decile tables and lift.

Scores rise with risk (margin or default probability; negate points).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from models.errors import DataError
from models.losses import Floats
from models.samples import check_parameter, checked_label, checked_score, need_both_classes
from models.validation.bands import counts_of, ranked_bands
from models.validation.metrics import Interval, auc, roc_curve

#: Variances below this are rounding: a standard error of 1e-10 would need 1e19 rows.
NO_VARIANCE: Final = 1e-20


def gini(label: ArrayLike, score: ArrayLike) -> float:
    """``2 AUC - 1``, in [-1, 1]: the accuracy ratio of the CAP curve (Engelmann, Hayden & Tasche 2003)."""
    y, s = _checked(label, score)
    return 2.0 * auc(y, s) - 1.0


@dataclass(frozen=True, slots=True)
class AucGain:
    """Difference of two AUCs on the same rows.

    Attributes:
        gain: difference with its normal interval.
        z: difference over its standard error; 0 where both rank alike.
        p_value: two-sided, of the hypothesis that both AUCs are equal.
    """

    gain: Interval
    z: float
    p_value: float


def auc_interval(label: ArrayLike, score: ArrayLike, confidence: float = 0.95) -> Interval:
    """AUC with DeLong's normal interval, cut to [0, 1] (DeLong, DeLong & Clarke-Pearson 1988).

    Time grows as ``n log n`` (Sun & Xu 2014).

    A score that separates perfectly or is constant has no variance here: the interval is then a point and says nothing
    about certainty.

    Raises:
        DataError: ``one_class``, or ``too_few_rows`` with fewer than two defaults or non-defaults.
    """
    y, s = _checked(label, score)
    value, of_bad, of_good = _components(y, s)
    width = _quantile(confidence) * float(np.sqrt(_variance(of_bad, of_good)))
    return Interval(value, max(0.0, value - width), min(1.0, value + width))


def auc_variance(label: ArrayLike, score: ArrayLike) -> float:
    """DeLong's variance of an AUC; errors as ``auc_interval``."""
    _, of_bad, of_good = _components(*_checked(label, score))
    return _variance(of_bad, of_good)


def auc_gain(label: ArrayLike, score: ArrayLike, reference: ArrayLike, confidence: float = 0.95) -> AucGain:
    """DeLong's test of ``AUC(score) - AUC(reference)`` on the same rows.

    The test is not valid where ``reference`` is nested in ``score`` and both were fitted on these very
    rows (Demler, Pencina & D'Agostino 2012): use held-out rows.

    Raises:
        DataError: as ``auc_interval``, and ``no_variance`` if the AUCs differ but no row says by how much they might
            not (a perfect score against a constant one).
    """
    y, s = _checked(label, score)
    value, of_bad, of_good = _components(y, s)
    other, other_of_bad, other_of_good = _components(y, checked_score(reference, len(y), "reference"))
    gain = value - other
    variance = _variance(of_bad - other_of_bad, of_good - other_of_good)
    if variance < NO_VARIANCE:
        if abs(gain) > 1e-9:
            raise DataError(
                "no_variance",
                "The difference of the two AUCs has no variance on these rows: one score is perfect or constant. "
                "Use more rows.",
                "在这些行上两个 AUC 之差没有方差：其中一个评分完全区分或为常数。请使用更多数据行。",
            )
        return AucGain(Interval(0.0, 0.0, 0.0), 0.0, 1.0)
    error = float(np.sqrt(variance))
    width = _quantile(confidence) * error
    z = gain / error
    return AucGain(Interval(gain, gain - width, gain + width), z, float(2.0 * ndtr(-abs(z))))


@dataclass(frozen=True, slots=True)
class ScoreBand:
    """One line of a decile table; cumulative values run from the riskiest band down to this one.

    Attributes:
        number: 1 is the riskiest of ``n_bands``; a missing number is a band emptied by ties.
        lowest, highest: scores in the band.
        default_rate: defaults over rows.
        lift, cumulative_lift: default rate over that of all rows.
        share_of_rows, share_of_defaults, share_of_rest: cumulative, in [0, 1].
        ks: distance of the last two: its largest is at most the KS of the scores.
    """

    number: int
    lowest: float
    highest: float
    n_rows: int
    n_defaults: int
    default_rate: float
    lift: float
    share_of_rows: float
    share_of_defaults: float
    share_of_rest: float
    cumulative_lift: float
    ks: float


def decile_table(label: ArrayLike, score: ArrayLike, n_bands: int = 10) -> tuple[ScoreBand, ...]:
    """Bands of about equal number, riskiest first (Siddiqi 2006).

    Equal scores are never parted: they all go to the band of their middle rank (``bands.ranked_bands``), so with ties
    bands are unequal and some may be absent. A constant score gives one band.

    Raises:
        DataError: ``one_class`` and those of ``samples``.
    """
    y, s = _checked(label, score)
    band = ranked_bands(-s, n_bands)
    n_rows, n_defaults = counts_of(y, band, n_bands)
    lowest, highest = np.full(n_bands, np.inf), np.full(n_bands, -np.inf)
    np.minimum.at(lowest, band, s)
    np.maximum.at(highest, band, s)
    rows, bad = np.cumsum(n_rows), np.cumsum(n_defaults)
    of_bad, of_rest = bad / bad[-1], (rows - bad) / (rows[-1] - bad[-1])
    overall = bad[-1] / rows[-1]
    return tuple(
        ScoreBand(
            number=int(k) + 1,
            lowest=float(lowest[k]),
            highest=float(highest[k]),
            n_rows=int(n_rows[k]),
            n_defaults=int(n_defaults[k]),
            default_rate=float(n_defaults[k] / n_rows[k]),
            lift=float(n_defaults[k] / n_rows[k] / overall),
            share_of_rows=float(rows[k] / rows[-1]),
            share_of_defaults=float(of_bad[k]),
            share_of_rest=float(of_rest[k]),
            cumulative_lift=float(bad[k] / rows[k] / overall),
            ks=float(abs(of_bad[k] - of_rest[k])),
        )
        for k in np.flatnonzero(n_rows)
    )


def capture_at(label: ArrayLike, score: ArrayLike, share: float) -> float:
    """Share of all defaults among the riskiest ``share`` of rows, in [0, 1].

    Where the limit falls among equal scores, they count by the part that fits: what a random order among them would
    give on average.

    Raises:
        ModelError: ``bad_parameter`` unless ``share`` is in [1e-9, 1].
    """
    check_parameter("share", share, 1e-9, 1.0)
    y, s = _checked(label, score)
    of_rest, of_bad = roc_curve(y, s)
    rate = float(y.mean())
    return float(np.interp(share, of_rest * (1.0 - rate) + of_bad * rate, of_bad))


def lift_at(label: ArrayLike, score: ArrayLike, share: float) -> float:
    """Default rate among the riskiest ``share`` of rows over that of all; ties and errors as ``capture_at``."""
    return capture_at(label, score, share) / share


def _checked(label: ArrayLike, score: ArrayLike) -> tuple[Floats, Floats]:
    y = checked_label(label)
    s = checked_score(score, len(y))
    need_both_classes(y)
    return y, s


def _components(label: Floats, score: Floats) -> tuple[float, Floats, Floats]:
    """AUC and structural components of defaults and of the rest, from mid-ranks (Sun & Xu 2014)."""
    from scipy.stats import rankdata  # a CPU second: only where it is used

    bad, good = score[label == 1], score[label == 0]
    if min(len(bad), len(good)) < 2:
        raise DataError(
            "too_few_rows",
            "DeLong's variance needs two defaults and two non-defaults at least. Use more rows.",
            "DeLong 方差至少需要两个违约和两个非违约样本。请使用更多数据行。",
        )
    ranks = rankdata(score)
    of_bad: Floats = (ranks[label == 1] - rankdata(bad)) / len(good)
    of_good: Floats = 1.0 - (ranks[label == 0] - rankdata(good)) / len(bad)
    return float(of_bad.mean()), of_bad, of_good


def _variance(of_bad: Floats, of_good: Floats) -> float:
    return float(of_bad.var(ddof=1) / len(of_bad) + of_good.var(ddof=1) / len(of_good))


def _quantile(confidence: float) -> float:
    check_parameter("confidence", confidence, 0.5, 0.9999)
    return float(ndtri(0.5 + confidence / 2.0))
