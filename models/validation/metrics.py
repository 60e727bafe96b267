"""How well scores separate defaults from the rest, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.errors import DataError
from models.losses import Floats, Integers

Metric = Callable[[Floats, Floats], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with a percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13)."""

    value: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def roc_curve(label: Floats, score: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates as the threshold falls, one point per distinct score, from (0, 0) to (1, 1)."""
    _need_both_classes(label)
    if np.isnan(score).any():
        raise DataError(
            "score_missing",
            f"{int(np.isnan(score).sum())} rows have no score. Leave them out before measuring.",
            f"有 {int(np.isnan(score).sum())} 行没有评分，评估前请剔除。",
        )
    order = np.argsort(-score, kind="stable")
    bad = np.cumsum(label[order])
    good = np.arange(1, len(label) + 1) - bad
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(label) - 1)
    return np.append(0.0, good[ends] / good[-1]), np.append(0.0, bad[ends] / bad[-1])


def auc(label: Floats, score: Floats) -> float:
    """Area under the ROC curve: the chance that a default scores above a non-default, ties counting half."""
    false_positive, true_positive = roc_curve(label, score)
    return float(np.trapezoid(true_positive, false_positive))


def ks(label: Floats, score: Floats) -> float:
    """Kolmogorov–Smirnov distance between the score distributions of defaults and the rest."""
    false_positive, true_positive = roc_curve(label, score)
    return float(np.max(np.abs(true_positive - false_positive)))


def bootstrap(label: Floats, score: Floats, metric: Metric, *, seed: int, n_resamples: int = 1000) -> Interval:
    """95 % percentile interval; defaults and the rest are resampled apart, so both classes stay present."""
    draws = [metric(label[rows], score[rows]) for rows in _resamples(label, seed, n_resamples)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(metric(label, score), float(low), float(high))


def bootstrap_gain(
    label: Floats, score: Floats, reference: Floats, metric: Metric, *, seed: int, n_resamples: int = 1000
) -> Interval:
    """95 % interval of ``metric(score) - metric(reference)`` on the same resampled rows (paired)."""
    draws = [
        metric(label[rows], score[rows]) - metric(label[rows], reference[rows])
        for rows in _resamples(label, seed, n_resamples)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(metric(label, score) - metric(label, reference), float(low), float(high))


def _resamples(label: Floats, seed: int, n_resamples: int) -> Iterator[Integers]:
    _need_both_classes(label)
    rng = np.random.default_rng(seed)
    bad, good = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    for _ in range(n_resamples):
        yield np.concatenate([rng.choice(bad, len(bad)), rng.choice(good, len(good))]).astype(np.int64)


def _need_both_classes(label: Floats) -> None:
    if not 0 < label.sum() < len(label):
        raise DataError(
            "one_class",
            "The label has only one class in these rows: AUC and KS have no meaning. Use more rows.",
            "这些行的标签只有一个类别，AUC 与 KS 无意义。请使用更多数据行。",
        )
