"""From margins to calibrated default probabilities: Platt's line and isotonic steps, stored as JSON, never pickled."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from sys import float_info
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from models.errors import ModelError
from models.losses import Floats, default_probability
from models.samples import (
    check_parameter,
    checked_label,
    checked_score,
    checked_weight,
    need_both_classes,
    need_spread,
)
from models.validation.calibration import logistic_line, need_overlap

FORMAT: Final = 1
#: Probabilities are kept this far from 0 and 1, so that their log-odds stay finite. A supervisor's input floor, such as
#: 0.0005 (Basel Framework, CRE32), is a choice of the caller.
FLOOR: Final = 1e-6


@dataclass(frozen=True, slots=True)
class PlattCalibrator:
    """``default_probability = 1 / (1 + exp(-(intercept + slope * margin)))``, kept in [floor, 1 - floor].

    Raises:
        ModelError: ``bad_calibrator`` unless the slope is positive and all numbers are finite.
    """

    intercept: float
    slope: float
    floor: float = FLOOR

    def __post_init__(self) -> None:
        _check_floor(self.floor)
        if not (_numbers(self.intercept, self.slope) and self.slope > 0):
            raise ModelError(
                "bad_calibrator",
                "The calibrator's slope is not positive: the margin ranks the wrong way. Check the label.",
                "校准斜率不为正：对数几率的排序方向有误或无区分力，请检查标签。",
            )

    def apply(self, margin: ArrayLike) -> Floats:
        """Default probabilities, shape of ``margin`` ``(n_rows,)``, never falling as the margin rises."""
        m = checked_score(margin, name="margin")
        return np.clip(default_probability(self.intercept + self.slope * m), self.floor, 1.0 - self.floor)

    def apply_one(self, margin: float) -> float:
        """As ``apply``, of one finite margin: the same bits."""
        return _kept(float(default_probability(self.intercept + self.slope * margin)), self.floor)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": "platt",
            "intercept": self.intercept,
            "slope": self.slope,
            "floor": self.floor,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PlattCalibrator:
        """Raises ``ModelError`` ``calibrator_unreadable`` or ``bad_calibrator``."""
        _check_kind(data, "platt")
        try:
            return cls(data["intercept"], data["slope"], data["floor"])
        except KeyError as error:
            raise _unreadable() from error


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Straight lines between (margin, probability) points, level beyond the outermost, kept in [floor, 1 - floor].

    Plateaus tie applicants whom the margin tells apart, so AUC may change a little.

    Raises:
        ModelError: ``bad_calibrator`` unless margins rise and probabilities in [0, 1] never fall.
    """

    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    floor: float = FLOOR

    def __post_init__(self) -> None:
        _check_floor(self.floor)
        m, p = self.margins, self.probabilities
        sound = len(m) == len(p) > 0 and _numbers(*m, *p) and p[0] >= 0 and p[-1] <= 1
        if not (sound and all(a < b for a, b in pairwise(m)) and all(a <= b for a, b in pairwise(p))):
            raise ModelError(
                "bad_calibrator",
                "The calibrator's points are not in order: margins must rise, probabilities must never fall.",
                "校准点的顺序有误：对数几率应递增，概率不应下降。",
            )

    def apply(self, margin: ArrayLike) -> Floats:
        """Default probabilities, shape of ``margin`` ``(n_rows,)``, never falling as the margin rises."""
        points, values, slopes = (np.array(line) for line in (self.margins, self.probabilities, self._slopes))
        m = np.clip(checked_score(margin, name="margin"), points[0], points[-1])
        low = np.searchsorted(points, m, side="right") - 1
        at_most = values[np.minimum(low + 1, len(points) - 1)]
        between = np.minimum(values[low] + slopes[low] * (m - points[low]), at_most)  # a rounding may overshoot
        kept: Floats = np.clip(between, self.floor, 1.0 - self.floor)
        return kept

    def apply_one(self, margin: float) -> float:
        """As ``apply``, of one finite margin: the same bits."""
        points, values = self.margins, self.probabilities
        m = min(max(margin, points[0]), points[-1])
        low = bisect_right(points, m) - 1
        at_most = values[min(low + 1, len(points) - 1)]
        return _kept(min(values[low] + self._slopes[low] * (m - points[low]), at_most), self.floor)

    @cached_property
    def _slopes(self) -> tuple[float, ...]:
        """From each point to the next; none after the last."""
        rises = zip(pairwise(self.margins), pairwise(self.probabilities), strict=True)
        return (*(min((q - p) / (b - a), float_info.max) for (a, b), (p, q) in rises), 0.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kind": "isotonic",
            "margins": list(self.margins),
            "probabilities": list(self.probabilities),
            "floor": self.floor,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> IsotonicCalibrator:
        """Raises ``ModelError`` ``calibrator_unreadable`` or ``bad_calibrator``."""
        _check_kind(data, "isotonic")
        try:
            return cls(tuple(data["margins"]), tuple(data["probabilities"]), data["floor"])
        except (KeyError, TypeError) as error:
            raise _unreadable() from error


Calibrator = PlattCalibrator | IsotonicCalibrator


def calibrator_from_json(data: Mapping[str, Any]) -> Calibrator:
    """The calibrator that ``to_json`` wrote, of either kind. Raises as its ``from_json``."""
    kinds: dict[str, type[PlattCalibrator] | type[IsotonicCalibrator]] = {
        "platt": PlattCalibrator,
        "isotonic": IsotonicCalibrator,
    }
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise _unreadable()
    return kinds[kind].from_json(data)


def fit_platt(
    label: ArrayLike, margin: ArrayLike, weight: ArrayLike | None = None, *, smoothed: bool = True, floor: float = FLOOR
) -> PlattCalibrator:
    """Logistic regression of the label on the margin (Platt 1999).

    Args:
        label, margin, weight: shape ``(n_rows,)``; rows other than those the margin was fitted on.
        smoothed: Platt's targets ``(n_bad + 1) / (n_bad + 2)`` and ``1 / (n_good + 2)`` in place of 1 and 0,
            which keep the slope finite when the classes do not overlap; else plain maximum likelihood.

    Raises:
        DataError: ``one_class``, ``constant_score``, ``separated`` (not smoothed only) and those of ``samples``.
        ModelError: ``bad_calibrator`` if the slope is not positive.
    """
    y, m, w = _fitting_rows(label, margin, weight)
    need_spread(m, "margin")
    if not smoothed:
        need_overlap(y, m)
    n_bad, n_good = float(w @ y), float(w @ (1.0 - y))
    target = np.where(y == 1, (n_bad + 1.0) / (n_bad + 2.0), 1.0 / (n_good + 2.0)) if smoothed else y
    # A target between 0 and 1 is a row counted in both classes, in these parts.
    both = np.concatenate([np.ones(len(y)), np.zeros(len(y))])
    parts = np.concatenate([w * target, w * (1.0 - target)])
    counted = parts > 0
    intercept, slope = logistic_line(np.concatenate([m, m])[counted], both[counted], parts[counted])
    return PlattCalibrator(intercept, slope, floor)


def fit_isotonic(
    label: ArrayLike, margin: ArrayLike, weight: ArrayLike | None = None, *, floor: float = FLOOR
) -> IsotonicCalibrator:
    """Least-squares non-decreasing fit by pooling adjacent violators (Zadrozny & Elkan 2002).

    Arguments and errors as ``fit_platt``, but a constant margin gives one point, the default rate.
    """
    from sklearn.isotonic import IsotonicRegression  # CPU seconds: only where one is fitted

    y, m, w = _fitting_rows(label, margin, weight)
    fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(m, y, sample_weight=w)
    return IsotonicCalibrator(tuple(map(float, fitted.X_thresholds_)), tuple(map(float, fitted.y_thresholds_)), floor)


def _fitting_rows(label: ArrayLike, margin: ArrayLike, weight: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    y = checked_label(label)
    m = checked_score(margin, len(y), "margin")
    w = checked_weight(weight, len(y))
    counted = w > 0
    need_both_classes(y[counted])
    return y[counted], m[counted], w[counted]


def _kept(probability: float, floor: float) -> float:
    return min(max(probability, floor), 1.0 - floor)


def _check_floor(floor: object) -> None:
    if not _numbers(floor):
        raise _unreadable()
    check_parameter("floor", float(floor), 0.0, 0.49)  # type: ignore[arg-type]


def _numbers(*values: object) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def _check_kind(data: Mapping[str, Any], kind: str) -> None:
    if not isinstance(data, Mapping) or data.get("format") != FORMAT or data.get("kind") != kind:
        raise _unreadable()


def _unreadable() -> ModelError:
    return ModelError(
        "calibrator_unreadable",
        f"The stored calibrator is damaged or of another format; this release reads format {FORMAT}. Calibrate again.",
        f"校准文件损坏或格式不符，本版本读取格式 {FORMAT}。请重新校准。",
    )
