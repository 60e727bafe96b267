"""How well predicted amounts, shares or counts agree with what came: errors, deviance, ranks, Gini, mean by tenth.

Resampled rows are counted, not copied: every measure takes a number of times for each row, so that one sort serves all
resamples, and all models are measured on the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from models.errors import DataError, ModelError
from models.losses import Floats, Integers, Objective
from models.samples import check_parameter, checked_score
from models.validation.bands import ranked_bands
from models.validation.metrics import Interval

#: Measure → +1 if more is better, -1 if less is.
MEASURES: Final[Mapping[str, int]] = {
    "rmse": -1,
    "mae": -1,
    "r_squared": 1,
    "deviance": -1,
    "rank_correlation": 1,
    "gini": 1,
}


@dataclass(frozen=True, slots=True)
class AmountBand:
    """Rows of neighbouring predictions: mean prediction, and mean outcome with its bootstrap interval."""

    n_rows: int
    expected: float
    observed: Interval


@dataclass(frozen=True, slots=True)
class AmountReport:
    """Models against the same rows; all intervals are 95 %, percentile (Efron & Tibshirani 1993, ch. 13).

    Attributes:
        n_rows, n_zero: rows, and those with outcome 0.
        observed: mean outcome.
        expected: model → mean prediction.
        measures: model → measure of ``MEASURES`` → value.
        gain: measure → how much better the last model is than the first, on the same resampled rows; above 0 is better,
            whichever way the measure points.
        bands: model → tenths of its predictions, lowest first; equal predictions are never parted.
    """

    n_rows: int
    n_zero: int
    observed: Interval
    expected: Mapping[str, float]
    measures: Mapping[str, Mapping[str, Interval]]
    gain: Mapping[str, Interval]
    bands: Mapping[str, tuple[AmountBand, ...]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One model's predictions beside the outcomes, prepared to be measured many times."""

    label: Floats
    expected: Floats
    deviance: Floats
    label_place: NDArray[np.intp]
    expected_place: NDArray[np.intp]

    @classmethod
    def of(cls, label: Floats, expected: Floats, objective: Objective) -> Prediction:
        return cls(label, expected, unit_deviance(label, expected, objective), _places(label), _places(expected))

    def measures(self, times: Integers | None = None) -> Floats:
        """In the order of ``MEASURES``.

        * ``r_squared``: 1 - squared error / that of the mean outcome of these rows.
        * ``deviance``: mean ``unit_deviance``.
        * ``rank_correlation``: Spearman's, ties at their mean rank; 0 if all predictions are equal.
        * ``gini``: area between the concentration curve of the outcome, rows sorted by prediction, and the diagonal,
          over the same area when sorted by the outcome itself: the loss capture ratio of LGD models (Li, Bhariok,
          Keenan & Santilli 2009, J. Risk Model Validation 3(3)), the Gini index of pricing (Frees, Meyers & Cummings
          2014, J. Risk and Insurance 81(2)) over its best value. Computed as Gini correlation, ``cov(y, rank of
          prediction) / cov(y, rank of y)`` (Schechtman & Yitzhaki 1987), so that it holds for negative outcomes too. On
          0/1 outcomes it is 2 AUC - 1.

        Args:
            times: how often each row counts, at least 0; None: once.
        """
        times = np.ones(len(self.label), dtype=np.int64) if times is None else times
        total = times.sum()
        error = self.label - self.expected
        mean = times @ self.label / total
        spread = times @ (self.label - mean) ** 2
        squared = times @ error**2
        own, other = _ranks(self.label_place, times), _ranks(self.expected_place, times)
        own, other = own - times @ own / total, other - times @ other / total
        scale = np.sqrt((times @ own**2) * (times @ other**2))
        values = (
            np.sqrt(squared / total),
            times @ np.abs(error) / total,
            1.0 - squared / spread,
            times @ self.deviance / total,
            times @ (own * other) / scale if scale > 0 else 0.0,
            times @ (self.label * other) / (times @ (self.label * own)),
        )
        return np.array(values, dtype=np.float64)


def amount_report(
    label: ArrayLike,
    expected: Mapping[str, ArrayLike],
    objective: Objective,
    *,
    seed: int,
    n_bands: int = 10,
    n_resamples: int = 1000,
) -> AmountReport:
    """Measure one or more models on rows that nothing was fitted on.

    Args:
        label: outcomes, finite, shape ``(n_rows,)``.
        expected: model → its predictions, same shape; above 0 for poisson and tweedie.
        n_resamples: 20 to 100,000; resamples in which all outcomes are equal are drawn again.

    Raises:
        DataError: those of ``models.samples``; ``constant_label``; ``prediction_not_positive``.
        ModelError: ``bad_parameter``; ``objective_binary``.
    """
    check_parameter("n_resamples", n_resamples, 20, 100_000)
    y = checked_score(label, name="label")
    if y.min() == y.max():
        raise constant_label()
    models = {name: Prediction.of(y, checked_score(e, len(y), "prediction"), objective) for name, e in expected.items()}
    bands = {name: ranked_bands(m.expected, n_bands) for name, m in models.items()}
    rng = np.random.default_rng(seed)
    values, means, in_bands = [], [], {name: list[Floats]() for name in models}
    for draw in range(n_resamples + 1):
        times = _times(y, rng) if draw else np.ones(len(y), dtype=np.int64)  # the rows themselves first
        values.append([m.measures(times) for m in models.values()])
        means.append(times @ y / times.sum())
        for name, band in bands.items():
            in_bands[name].append(_band_means(y, times, band, n_bands))
    drawn = np.array(values)  # (draws, models, measures)
    signs = np.array(list(MEASURES.values()))
    return AmountReport(
        n_rows=len(y),
        n_zero=int((y == 0).sum()),
        observed=_interval(np.array(means)),
        expected={name: float(m.expected.mean()) for name, m in models.items()},
        measures={name: _named(drawn[:, k]) for k, name in enumerate(models)},
        gain=_named(signs * (drawn[:, -1] - drawn[:, 0])),
        bands={name: _banded(models[name].expected, bands[name], np.array(in_bands[name])) for name in models},
    )


def unit_deviance(label: Floats, expected: Floats, objective: Objective) -> Floats:
    """Deviance of every row (Jørgensen 1997, "The theory of dispersion models", ch. 4): twice the loss of likelihood
    against a perfect prediction; for regression the squared error.

    Raises:
        DataError: ``prediction_not_positive`` for poisson and tweedie.
        ModelError: ``objective_binary``: its outcome is no amount.
    """
    if objective.name == "binary":
        raise ModelError(
            "objective_binary",
            "A 0/1 outcome is measured by separation and calibration, not as an amount.",
            "0/1 标签应以区分度与校准衡量，而非按金额衡量。",
        )
    if objective.name == "regression":
        return np.asarray((label - expected) ** 2)
    if (expected <= 0).any():
        raise DataError(
            "prediction_not_positive",
            f"{int((expected <= 0).sum())} predictions are not above 0, as objective {objective.name} needs them.",
            f"有 {int((expected <= 0).sum())} 个预测值不大于 0，不符合目标 {objective.name} 的要求。",
        )
    if objective.name == "poisson":
        return np.asarray(2.0 * (xlogy(label, label / expected) - label + expected))
    a, b = 1.0 - objective.variance_power, 2.0 - objective.variance_power
    return np.asarray(2.0 * (label**b / (a * b) - label * expected**a / a + expected**b / b))


def concentration_curve(label: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Share of rows, largest score first, and share of the outcome they hold, from (0, 0) to (1, 1).

    One point per distinct score. Sorted this way round it is the loss capture curve (Li et al. 2009); the concentration
    curve of Denuit, Sznajder & Trufin (2019, Insurance: Mathematics and Economics 89) starts at the smallest.

    Raises:
        DataError: ``no_total`` unless all outcomes are at least 0 and one is above: shares have no meaning then.
    """
    if label.min() < 0 or not label.any():
        raise DataError(
            "no_total",
            "Shares of the outcome need outcomes of 0 or more, one of them above 0.",
            "计算占比要求标签不小于 0，且至少一个大于 0。",
        )
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(label) - 1)
    held = np.cumsum(label[order])
    return np.append(0.0, (ends + 1) / len(label)), np.append(0.0, held[ends] / held[-1])


def constant_label() -> DataError:
    """The outcome does not vary: nothing to explain."""
    return DataError(
        "constant_label",
        "The label has one value in all of these rows: there is nothing to explain. Use more rows or another label.",
        "这些行的标签取值完全相同，没有可解释的差异。请增加数据行或更换标签。",
    )


def _times(label: Floats, rng: np.random.Generator) -> Integers:
    """How often each row is drawn, with replacement, until outcomes vary."""
    share = np.full(len(label), 1.0 / len(label))
    while True:
        times = rng.multinomial(len(label), share).astype(np.int64)
        drawn = label[times > 0]
        if drawn.min() < drawn.max():
            return times


def _places(values: Floats) -> NDArray[np.intp]:
    return np.unique(values, return_inverse=True)[1]


def _ranks(place: NDArray[np.intp], times: Integers) -> Floats:
    """Mean rank of each row's value among the drawn rows, less a constant."""
    drawn = np.bincount(place, weights=times)
    ranks: Floats = (np.cumsum(drawn) - drawn / 2.0)[place]
    return ranks


def _band_means(label: Floats, times: Integers, band: Integers, n_bands: int) -> Floats:
    """Mean outcome per band; NaN where nothing was drawn."""
    n = np.bincount(band, weights=times, minlength=n_bands)
    total = np.bincount(band, weights=times * label, minlength=n_bands)
    means: Floats = np.divide(total, n, out=np.full(n_bands, np.nan), where=n > 0)
    return means


def _banded(expected: Floats, band: Integers, means: Floats) -> tuple[AmountBand, ...]:
    """Args: ``means``: shape ``(draws, n_bands)``."""
    return tuple(
        AmountBand(int((band == k).sum()), float(expected[band == k].mean()), _interval(means[:, k]))
        for k in np.unique(band).tolist()
    )


def _named(drawn: Floats) -> dict[str, Interval]:
    return {name: _interval(drawn[:, k]) for k, name in enumerate(MEASURES)}


def _interval(drawn: Floats) -> Interval:
    """Of draws, the rows themselves first."""
    low, high = np.nanquantile(drawn[1:], [0.025, 0.975])
    return Interval(float(drawn[0]), float(low), float(high))
