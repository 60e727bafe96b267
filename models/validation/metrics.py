"""How well scores separate defaults from the rest, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.errors import DataError
from models.losses import Floats, Integers

#: From goods (rows that did not default) and bads per distinct score, both of shape ``(…, n_scores)``, scores ascending
#: along the last axis: a number for every leading place.
Metric = Callable[[Integers, Integers], Floats]
#: Row numbers drawn at once: some megabytes.
_DRAWN_AT_ONCE: Final = 2**18


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
    _need_scores(score)
    order = np.argsort(-score, kind="stable")
    bad = np.cumsum(label[order])
    good = np.arange(1, len(label) + 1) - bad
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(label) - 1)
    return np.append(0.0, good[ends] / good[-1]), np.append(0.0, bad[ends] / bad[-1])


def auc(label: Floats, score: Floats) -> float:
    """Area under the ROC curve: the chance that a default scores above a non-default, ties counting half."""
    _need_both_classes(label)
    return float(auc_of_counts(*counts_by_score(label, score)))


def ks(label: Floats, score: Floats) -> float:
    """Kolmogorov–Smirnov distance between the score distributions of defaults and the rest."""
    _need_both_classes(label)
    return float(ks_of_counts(*counts_by_score(label, score)))


def counts_by_score(label: Floats, score: Floats) -> tuple[Integers, Integers]:
    """Goods and bads per distinct score, ascending, each of shape ``(n_scores,)``."""
    return _Scores.of(score).goods_and_bads(label)


def auc_of_counts(goods: Integers, bads: Integers) -> Floats:
    """AUC as a ``Metric``; whole numbers until the last division."""
    below = 2 * np.cumsum(goods, -1) - goods  # twice: ties count half
    area: Floats = (below * bads).sum(-1) / (2 * goods.sum(-1) * bads.sum(-1))
    return area


def ks_of_counts(goods: Integers, bads: Integers) -> Floats:
    """KS as a ``Metric``."""
    n_goods, n_bads = goods.sum(-1, keepdims=True), bads.sum(-1, keepdims=True)
    apart = np.abs(np.cumsum(goods, -1) * n_bads - np.cumsum(bads, -1) * n_goods).max(-1)
    distance: Floats = apart / (n_goods * n_bads)[..., 0]
    return distance


def bootstrap(label: Floats, score: Floats, metric: Metric, *, seed: int, n_resamples: int = 1000) -> Interval:
    """95 % percentile interval; defaults and the rest are resampled apart, so both classes stay present."""
    scores = _Scores.of(score)
    draws = [metric(*scores.counts(goods, bads)) for goods, bads in _resamples(label, seed, n_resamples)]
    return _interval(metric(*scores.goods_and_bads(label)), draws)


def bootstrap_gain(
    label: Floats, score: Floats, reference: Floats, metric: Metric, *, seed: int, n_resamples: int = 1000
) -> Interval:
    """95 % interval of ``metric`` of ``score`` less that of ``reference``, on the same resampled rows (paired)."""
    new, old = _Scores.of(score), _Scores.of(reference)
    draws = [
        metric(*new.counts(goods, bads)) - metric(*old.counts(goods, bads))
        for goods, bads in _resamples(label, seed, n_resamples)
    ]
    return _interval(metric(*new.goods_and_bads(label)) - metric(*old.goods_and_bads(label)), draws)


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores of all rows, sorted once. ``place``: of each row's score among the ``n`` distinct ones, ascending."""

    place: Integers
    n: int

    @classmethod
    def of(cls, score: Floats) -> _Scores:
        _need_scores(score)
        distinct, place = np.unique(score, return_inverse=True)
        return cls(place.astype(np.int64), len(distinct))

    def goods_and_bads(self, label: Floats) -> tuple[Integers, Integers]:
        goods, bads = self.counts(np.flatnonzero(label == 0)[None], np.flatnonzero(label == 1)[None])
        return goods[0], bads[0]

    def counts(self, goods: Integers, bads: Integers) -> tuple[Integers, Integers]:
        """How often each distinct score occurs among row numbers of shape ``(n_draws, n_of_class)``, for every draw."""
        return self._count(goods), self._count(bads)

    def _count(self, rows: Integers) -> Integers:
        own = self.place[rows] + self.n * np.arange(len(rows))[:, None]
        return np.bincount(own.ravel(), minlength=self.n * len(rows)).reshape(len(rows), self.n)


def _resamples(label: Floats, seed: int, n_resamples: int) -> Iterator[tuple[Integers, Integers]]:
    """Row numbers of goods and of bads, drawn apart and with replacement; each of shape ``(n_draws, n_of_class)``."""
    _need_both_classes(label)
    rng = np.random.default_rng(seed)
    good, bad = np.flatnonzero(label == 0), np.flatnonzero(label == 1)
    at_once = max(1, _DRAWN_AT_ONCE // len(label))
    for done in range(0, n_resamples, at_once):
        n_draws = min(at_once, n_resamples - done)
        drawn = [[rng.integers(0, len(of), len(of)) for of in (bad, good)] for _ in range(n_draws)]
        yield good[np.stack([goods for _, goods in drawn])], bad[np.stack([bads for bads, _ in drawn])]


def _interval(value: Floats, draws: list[Floats]) -> Interval:
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _need_scores(score: Floats) -> None:
    if np.isnan(score).any():
        raise DataError(
            "score_missing",
            f"{int(np.isnan(score).sum())} rows have no score. Leave them out before measuring.",
            f"有 {int(np.isnan(score).sum())} 行没有评分，评估前请剔除。",
        )


def _need_both_classes(label: Floats) -> None:
    if not 0 < label.sum() < len(label):
        raise DataError(
            "one_class",
            "The label has only one class in these rows: AUC and KS have no meaning. Use more rows.",
            "这些行的标签只有一个类别，AUC 与 KS 无意义。请使用更多数据行。",
        )
