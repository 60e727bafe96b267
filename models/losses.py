"""Losses of boosting, and their first and second derivatives with respect to the margin.

Formulas and starting margins are those of LightGBM's objectives of the same names, so that one can stand in for the
other; Tweedie's is the deviance of Yang, Qian & Zou (2018), "Insurance premium prediction via gradient tree-boosted
Tweedie compound Poisson models", eq. 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def default_probability(margin: Floats | float) -> Floats:
    """Probability of default from log-odds of default; the same bits for one row as for many."""
    # tanh saturates cleanly on both sides: no overflow warning, no branch.
    half: Floats = 0.5 * (1.0 + np.tanh(0.5 * margin))
    return half


def log_loss(label: Floats, margin: Floats) -> float:
    """Mean negative log-likelihood of labels in {0, 1}."""
    return float(np.mean(np.logaddexp(0.0, margin) - label * margin))


def base_margin(label: Floats) -> float:
    """Log-odds of the mean label: where boosting starts (LightGBM's ``boost_from_average``)."""
    rate = float(np.mean(label))
    return float(np.log(rate / (1.0 - rate)))


def logistic_derivatives(label: Floats, margin: Floats) -> tuple[Floats, Floats]:
    """Gradient ``p - y`` and hessian ``p (1 - p)`` of the logistic loss (Chen & Guestrin 2016, §2.2), at most 1."""
    p = default_probability(margin)
    return p - label, p * (1.0 - p)


#: LightGBM's ``poisson_max_delta_step``: its hessian is ``exp(margin + 0.7)``, which keeps steps short.
POISSON_STEP: Final = 0.7

ObjectiveName = Literal["binary", "regression", "poisson", "tweedie"]


def _same(margin: Floats) -> Floats:
    return margin


#: Objective → margin to prediction.
LINKS: Final[Mapping[str, Callable[[Floats], Floats]]] = {
    "binary": default_probability,
    "regression": _same,
    "poisson": np.exp,
    "tweedie": np.exp,
}


@dataclass(frozen=True, slots=True)
class Objective:
    """What a run minimises, row by row, and how labels become margins and back.

    Attributes:
        name: ``"binary"`` (margin: log-odds of default), ``"regression"`` (squared error, such as for LGD; margin: the
            mean itself), ``"poisson"`` and ``"tweedie"`` (margin: logarithm of the mean).
        scale_pos_weight: binary only: weight of a default beside a non-default, in the derivatives.
        variance_power: tweedie only, in (1, 2).
    """

    name: ObjectiveName = "binary"
    scale_pos_weight: float = 1.0
    variance_power: float = 1.5

    def check(self, label: Floats, n_fit: int) -> None:
        """Whether these labels, of which the first ``n_fit`` are to be fitted, can be learnt.

        Raises:
            DataError: ``one_class``; ``label_not_binary``; ``label_not_finite``; ``label_negative``;
            ``no_positive_label``.
        """
        problem = None
        if not np.isfinite(label).all():
            problem = "label_not_finite", "missing or infinite labels", "缺失或无穷大的标签"
        elif self.name == "binary" and not np.isin(label, (0.0, 1.0)).all():
            problem = "label_not_binary", "labels other than 0 and 1", "0 和 1 以外的标签"
        elif self.name == "binary" and len(np.unique(label[:n_fit])) < 2:
            raise DataError(
                "one_class",
                "The rows to fit have only one class: a model needs defaults and non-defaults.",
                "用于拟合的行只有一个类别，建模需要同时有违约与未违约样本。",
            )
        elif self._logarithmic and (label < 0).any():
            problem = "label_negative", "negative labels", "负的标签"
        elif self._logarithmic and not (label[:n_fit] > 0).any():
            problem = "no_positive_label", "no label above 0", "标签全部为 0 的问题"
        if problem:
            code, english, chinese = problem
            raise DataError(
                code,
                f"The rows to fit or to watch hold {english}; objective {self.name} cannot learn from them.",
                f"用于拟合或监测的行存在{chinese}，目标 {self.name} 无法据此学习。",
            )

    def base_margin(self, label: Floats, weight: Floats | None = None) -> float:
        """Margin of the mean label: where boosting starts. As in LightGBM, ``scale_pos_weight`` has no part in it."""
        if weight is None and self.name == "binary":
            return base_margin(label)
        mean = float(np.average(label, weights=weight))
        if self.name == "regression":
            return mean
        return float(np.log(mean / (1.0 - mean))) if self.name == "binary" else float(np.log(mean))

    def derivatives(self, label: Floats, margin: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
        """Gradient and hessian of every row's loss, shapes ``(n_rows,)``; not finite where the margin ran away."""
        with np.errstate(over="ignore", invalid="ignore"):
            g, h = self._slopes(label, margin)
            if weight is not None:
                g, h = g * weight, h * weight
            if self.name == "binary" and self.scale_pos_weight != 1.0:
                scale = np.where(label > 0, self.scale_pos_weight, 1.0)
                g, h = g * scale, h * scale
        return g, h

    def _slopes(self, label: Floats, margin: Floats) -> tuple[Floats, Floats]:
        if self.name == "binary":
            return logistic_derivatives(label, margin)
        if self.name == "regression":
            return margin - label, np.ones_like(margin)
        if self.name == "poisson":
            return np.exp(margin) - label, np.exp(margin + POISSON_STEP)
        a, b = 1.0 - self.variance_power, 2.0 - self.variance_power
        low, high = label * np.exp(a * margin), np.exp(b * margin)
        return high - low, b * high - a * low

    def limit(self, weight: Floats | None = None) -> float | None:
        """Bound on the magnitude of all derivatives; ``None``: there is none but the data's own."""
        if self.name != "binary":
            return None
        return max(1.0, self.scale_pos_weight) * (1.0 if weight is None else float(weight.max()))

    def loss(self, label: Floats, margin: Floats, weight: Floats | None = None) -> float:
        """Mean loss, weighted if ``weight`` is given: what early stopping watches."""
        if self.name == "binary" and weight is None:
            return log_loss(label, margin)
        with np.errstate(over="ignore", invalid="ignore"):
            return float(np.average(self._losses(label, margin), weights=weight))

    def _losses(self, label: Floats, margin: Floats) -> Floats:
        if self.name == "binary":
            return np.logaddexp(0.0, margin) - label * margin
        if self.name == "regression":
            return (margin - label) ** 2
        if self.name == "poisson":
            return np.exp(margin) - label * margin
        a, b = 1.0 - self.variance_power, 2.0 - self.variance_power
        return np.exp(b * margin) / b - label * np.exp(a * margin) / a

    @property
    def _logarithmic(self) -> bool:
        return self.name in ("poisson", "tweedie")


def check_weight(weight: Floats) -> None:
    """Raises ``DataError`` (``bad_weight``) unless every weight is finite and above 0."""
    n_wrong = int((~(np.isfinite(weight) & (weight > 0))).sum())
    if n_wrong:
        raise DataError(
            "bad_weight",
            f"Sample weights must be finite and above 0; {n_wrong} rows have others. Leave such rows out.",
            f"样本权重须为大于 0 的有限数值，有 {n_wrong} 行不符，请剔除这些行。",
        )
