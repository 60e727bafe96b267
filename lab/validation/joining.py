"""Whether a site of horizontal learning should use the common model: its own, the common one, or both, by its own rows.

The rule: **a site uses the common model only where it does not lose.** On rows of the site that neither model was
fitted on, each way to a default probability is judged by its log-loss (a proper score: Gneiting & Raftery 2007),
cross-fitted where it has numbers of its own. A way is taken if its gain over the site's own model, row by row, is above
zero in a one-sided test that allows for all ways being tried at once; of several, the one whose lower end is highest.
The ways, the test, its level and how few defaults are too few stand here before any row is looked at. Everything
happens at the site.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError, ModelError
from models.losses import Floats, default_probability
from models.samples import check_parameter, checked_label, checked_score
from models.validation.calibrators import FLOOR, fit_platt
from models.validation.metrics import Interval

#: From the most cautious on. ``own``: the site's model, calibrated on its rows; ``common`` as it is; ``calibrated``:
#: common, on the site's rows; ``blend``: a logistic regression on the margins of both.
WAYS: Final = ("own", "common", "calibrated", "blend")
#: Fewest defaults, and fewest others, among validation rows to compare ways at all.
FEWEST: Final = 10
N_FOLDS: Final = 5
N_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """Log-odds of default: ``intercept + own * margin of the own model + common * margin of the common one``."""

    intercept: float
    own: float
    common: float

    def margin(self, own: Floats, common: Floats) -> Floats:
        """Log-odds, shape ``(n_rows,)``."""
        return np.asarray(self.intercept + self.own * own + self.common * common)

    def probability(self, own: Floats, common: Floats) -> Floats:
        """Default probabilities, shape ``(n_rows,)``."""
        return np.clip(default_probability(self.margin(own, common)), FLOOR, 1.0 - FLOOR)

    def to_json(self) -> dict[str, float]:
        return {"intercept": self.intercept, "own": self.own, "common": self.common}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Line:
        return cls(float(data["intercept"]), float(data["own"]), float(data["common"]))


@dataclass(frozen=True, slots=True)
class SiteChoice:
    """What a site does with the common model.

    Attributes:
        way: one of ``WAYS``.
        decided: whether there were rows enough to compare; if not, ``way`` is ``own``, or ``common`` at a site that has
            no own model.
        gains: mean log-loss of the own way less that of each other one, with two-sided intervals; empty if not decided.
        least: what each of these gains is at least, all of them together at the level of the test.
        lines: of every way that could be fitted, on all validation rows.
    """

    way: str
    decided: bool
    gains: dict[str, Interval]
    least: dict[str, float]
    lines: dict[str, Line]

    @property
    def line(self) -> Line:
        """Of ``way``."""
        return self.lines[self.way]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Attributes:
    line: the common model on the scale of this site; ``None``: as it is.
    gain: mean log-loss of the model as it is less that of the calibrated one, cross-fitted; ``None``: too few rows.
    """

    line: Line | None
    gain: Interval | None


def calibrate(label: Floats, common: Floats, *, confidence: float = 0.95, seed: int = 0) -> Calibration:
    """Platt's line of the common model on a site's rows, if it is better than the model as it is: by the test of the
    rule, of this one comparison.

    Args:
        label, common, confidence: as of ``choose``.

    Raises:
        DataError: those of ``models.samples``.
    """
    if not len(label) or min(label.sum(), len(label) - label.sum()) < FEWEST:
        return Calibration(None, None)
    y, nothing = checked_label(label), np.zeros(len(label))
    theirs = checked_score(common, len(y), "common margin")
    line = _fit("calibrated", y, nothing, theirs)
    if line is None:
        return Calibration(None, None)
    before, after = (_cross_fitted_loss(way, y, nothing, theirs, seed) for way in ("common", "calibrated"))
    least = least_means({"calibrated": before - after}, confidence, seed)
    return Calibration(line if least["calibrated"] > 0 else None, mean_interval(before - after, confidence, seed))


def choose(label: Floats, own: Floats | None, common: Floats, *, confidence: float = 0.95, seed: int = 0) -> SiteChoice:
    """Apply the rule to a site's validation rows.

    Args:
        label: 1 is a default, shape ``(n_rows,)``.
        own: margins of the site's own model, for rows that it was not fitted on; ``None``: it has none, and its own way
            is its rate of defaults.
        common: margins of the common model, likewise.
        confidence: of the one-sided test: all ways together, one that gains nothing is taken in at most the rest of
            cases. ``gains`` are told with two-sided intervals of the same.

    Raises:
        DataError: those of ``models.samples``.
    """
    y = checked_label(label) if len(label) else label
    check_parameter("confidence", confidence, 0.5, 0.9999)
    mine = np.zeros(len(y)) if own is None or not len(y) else checked_score(own, len(y), "own margin")
    theirs = checked_score(common, len(y), "common margin") if len(y) else common
    lines = {way: line for way in WAYS if (line := _fit(way, y, mine, theirs)) is not None}
    if min(y.sum(), len(y) - y.sum()) < FEWEST:
        return SiteChoice("common" if own is None else "own", False, {}, {}, lines)
    losses = {way: _cross_fitted_loss(way, y, mine, theirs, seed) for way in lines}
    rows = {way: losses["own"] - losses[way] for way in lines if way != "own"}
    gains = {way: mean_interval(of, confidence, seed) for way, of in rows.items()}
    least = least_means(rows, confidence, seed)
    best = max(least, key=lambda way: least[way])
    return SiteChoice(best if least[best] > 0 else "own", True, gains, least, lines)


def log_losses(label: Floats, probability: Floats) -> Floats:
    """Of each row, in nats, shape ``(n_rows,)``."""
    return -np.asarray(np.where(label == 1, np.log(probability), np.log1p(-probability)))


def mean_interval(values: Floats, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Mean with its percentile bootstrap interval over rows (Efron & Tibshirani 1993, §13.3).

    Raises:
        DataError: ``too_few_rows`` for none.
    """
    if not len(values):
        raise DataError("too_few_rows", "There are no rows to take a mean of.", "没有可求均值的数据行。")
    rng = np.random.default_rng(seed)
    drawn = np.array([values[rng.integers(0, len(values), len(values))].mean() for _ in range(N_RESAMPLES)])
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def least_means(values: Mapping[str, Floats], confidence: float = 0.95, seed: int = 0) -> dict[str, float]:
    """Lower ends of the means of several columns of the same rows, which all hold at once with this confidence.

    One-sided, from the largest of all standardised errors in bootstrap samples of rows (as the first step of Romano &
    Wolf, "Stepwise multiple testing as formalized data snooping", Econometrica 73, 2005).

    Args:
        values: at least one column, each of shape ``(n_rows,)``.
    """
    columns = np.column_stack(list(values.values()))
    n, means = len(columns), columns.mean(axis=0)
    error = np.maximum(columns.std(axis=0), np.finfo(np.float64).tiny) / np.sqrt(n)
    rng = np.random.default_rng(seed)
    drawn = np.array([columns[rng.integers(0, n, n)].mean(axis=0) for _ in range(N_RESAMPLES)])
    furthest = np.quantile(((means - drawn) / error).max(axis=1), confidence)
    return dict(zip(values, (means - furthest * error).tolist(), strict=True))


def _fit(way: str, label: Floats, own: Floats, common: Floats) -> Line | None:
    """``None`` where the rows do not serve; the own way always has its rate of defaults to fall back on."""
    if way == "common":
        return Line(0.0, 0.0, 1.0)
    rate = (label.sum() + 1.0) / (len(label) + 2.0)
    flat = Line(float(np.log(rate / (1.0 - rate))), 0.0, 0.0)
    try:
        if way == "blend":
            return _blend(label, own, common)
        platt = fit_platt(label, own if way == "own" else common)
    except (DataError, ModelError):
        return flat if way == "own" else None
    weights = (platt.slope, 0.0) if way == "own" else (0.0, platt.slope)
    return Line(platt.intercept, *weights)


def _blend(label: Floats, own: Floats, common: Floats) -> Line | None:
    from sklearn.linear_model import LogisticRegression  # late: a party starts without

    margins = np.column_stack([own, common])
    if len(np.unique(label)) < 2 or not margins.std(axis=0).all():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where classes part, the penalty ends it
        fitted = LogisticRegression(C=1.0, solver="newton-cholesky").fit(margins, label)
    (of_own, of_common), intercept = fitted.coef_[0], fitted.intercept_[0]
    # Less of a riskier margin is a model turned round: noise.
    return Line(float(intercept), float(of_own), float(of_common)) if min(of_own, of_common) >= 0 else None


def _cross_fitted_loss(way: str, label: Floats, own: Floats, common: Floats, seed: int) -> Floats:
    """Each row's loss by what was fitted on the other folds; where a fold does not serve, by the own way of it."""
    from sklearn.model_selection import StratifiedKFold

    found = np.empty(len(label))
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    at: NDArray[np.intp]
    for others, at in folds.split(label[:, None], label):
        line = _fit(way, label[others], own[others], common[others])
        line = line or _fit("own", label[others], own[others], common[others])
        assert line is not None
        found[at] = log_losses(label[at], line.probability(own[at], common[at]))
    return found
