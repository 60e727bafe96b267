"""Penalised logistic regression by Newton's method, from moments that one party or several may have summed.

``Newton`` never sees a feature: it asks for margins of rows and for the gradient and the hessian with respect to the
coefficients. So a fit on one table and a joint one take the same steps. The first coefficient is the intercept.

Minimised is ``sum(weight * log_loss) + l1 * sum(|b|) + l2 * sum(b**2) / 2``, the intercept unpenalised; scikit-learn's
``C`` is ``1 / l2`` (or ``1 / l1``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError, ModelError
from models.losses import Floats, logistic_derivatives
from models.samples import check_parameter, checked_label, checked_weight, need_both_classes
from models.scorecard.quadratic import Penalty, minimise
from models.scorecard.wald import Coefficient, wald

INTERCEPT: Final = "intercept"
#: Beyond this, a probability of default is 0 or 1 to 13 digits: only a fit that does not end gets there.
MOST_MARGIN: Final = 30.0
#: ``Newton.rank`` where moments are exact to the last digits.
RANK: Final = 1e-7
_MOST_HALVINGS: Final = 40
#: Longest step of a coefficient, in relation to its size, after which a fit may be over.
_STILL: Final = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRules:
    """What is fitted, and how exactly.

    Attributes:
        l1, l2: penalties on all coefficients but the intercept, on the scale of summed losses, at least 0.
        nonpositive: coefficients may not be positive: with WOE = ln(share of goods / share of bads) and margin =
            log-odds of default, a positive one turns a feature around.
        tolerance: the fit is over when no coordinate of the penalised gradient, divided by the sum of weights, is
            larger; 1e-14 to 1e-2.
        max_iterations: most Newton steps, 1 to 10,000.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    l1: float = 0.0
    l2: float = 0.0
    nonpositive: bool = False
    tolerance: float = 1e-8
    max_iterations: int = 100

    def __post_init__(self) -> None:
        check_parameter("l1", self.l1, 0.0, 1e12)
        check_parameter("l2", self.l2, 0.0, 1e12)
        check_parameter("tolerance", self.tolerance, 1e-14, 1e-2)
        check_parameter("max_iterations", self.max_iterations, 1, 10_000)

    def penalty(self, n_coefficients: int) -> Penalty:
        slope = (np.arange(n_coefficients) > 0).astype(np.float64)
        return Penalty(slope * self.l1, slope * self.l2, (slope > 0.0) & self.nonpositive)


@dataclass(frozen=True, slots=True)
class Moments:
    """Derivatives of the summed loss with respect to the coefficients, shapes ``(n,)`` and ``(n, n)``."""

    gradient: Floats
    hessian: Floats


def moments_of(design: Floats, gradient: Floats, weight: Floats) -> Moments:
    """Where one party has all columns.

    Args:
        design: shape ``(n_rows, n_coefficients)``, first column 1.
        gradient, weight: first and second derivatives of the rows' losses.
    """
    return Moments(design.T @ gradient, design.T @ (design * weight[:, None]))


def next_target(
    moments: Moments,
    coefficients: Floats,
    names: Sequence[str],
    rules: LogisticRules,
    *,
    n_rows: float,
    n_steps: int,
    rank: float,
    far: bool,
) -> Floats | None:
    """Coefficients to go to from ``coefficients``, where these are the moments; None: the fit is over.

    Args:
        names: of the coefficients, the intercept first.
        n_rows: sum of the weights.
        n_steps: taken so far.
        rank: as ``Newton.rank``.
        far: a margin is beyond ``MOST_MARGIN``.

    Raises:
        DataError: ``collinear`` naming the columns, ``separated``.
        ModelError: ``not_converged``.
    """
    free = rules.l1 == rules.l2 == 0.0
    penalty = rules.penalty(len(coefficients))
    if free and n_steps == 0:
        check_rank(moments.hessian, names, rank)
    try:
        target = minimise(moments.gradient, moments.hessian, coefficients, penalty)
    except np.linalg.LinAlgError:
        raise separated() if free else not_converged(n_steps) from None
    step = np.abs(target - coefficients).max()
    violation = penalty.violation(coefficients, moments.gradient).max()
    if violation <= rules.tolerance * n_rows and step <= _STILL * (1.0 + np.abs(coefficients).max()):
        return None
    if free and far:
        raise separated()
    if n_steps >= rules.max_iterations:
        raise not_converged(n_steps)
    return target


@dataclass(slots=True)
class Newton:
    """One fit, step by step: ``derivatives``, ``target``, ``move``, and again.

    Attributes:
        label: 0/1, shape ``(n_rows,)``.
        weight: per row, at least 0.
        names: of the coefficients, the intercept first, as errors call them.
        coefficients, margin: where the fit stands; they belong together.
        rank: least eigenvalue of the correlations of the columns, weighted, that counts as full rank.
    """

    label: Floats
    weight: Floats
    rules: LogisticRules
    names: tuple[str, ...]
    coefficients: Floats
    margin: Floats
    n_steps: int = 0
    rank: float = RANK
    penalty: Penalty = field(init=False)

    def __post_init__(self) -> None:
        self.penalty = self.rules.penalty(len(self.names))

    def derivatives(self) -> tuple[Floats, Floats]:
        """First and second derivatives of each row's loss with respect to its margin."""
        g, h = logistic_derivatives(self.label, self.margin)
        return self.weight * g, self.weight * h

    def target(self, moments: Moments) -> Floats | None:
        """Coefficients to go to; None: the fit is over.

        Raises:
            DataError: ``collinear`` naming the columns, ``separated``.
            ModelError: ``not_converged``.
        """
        return next_target(
            moments,
            self.coefficients,
            self.names,
            self.rules,
            n_rows=float(self.weight.sum()),
            n_steps=self.n_steps,
            rank=self.rank,
            far=bool(np.abs(self.margin).max() > MOST_MARGIN),
        )

    def move(self, target: Floats, margin: Floats) -> None:
        """One step: to ``target``, whose margins these are, or as far towards it as lowers the penalised loss.

        Raises:
            ModelError: ``not_converged`` if nothing on the way does.
        """
        before = self._objective(self.coefficients, self.margin)
        slack = 1e-12 * (1.0 + abs(before))
        share = 1.0
        for _ in range(_MOST_HALVINGS):
            # Margins are linear in the coefficients: no party is asked again.
            there = self.coefficients + share * (target - self.coefficients)
            margin_there = self.margin + share * (margin - self.margin)
            if self._objective(there, margin_there) <= before + slack:
                break
            share /= 2
        else:
            raise not_converged(self.n_steps)
        if share == 1.0:
            there, margin_there = target, margin
        self.jump(there, margin_there)

    def narrow(self, columns: Sequence[int]) -> None:
        """Go on with fewer coefficients, the first of them still the intercept."""
        self.names = tuple(self.names[k] for k in columns)
        self.coefficients = self.coefficients[list(columns)]
        self.penalty = self.rules.penalty(len(self.names))

    def jump(self, target: Floats, margin: Floats) -> None:
        """One step to ``target``, whose margins these are, whether or not that lowers the loss."""
        self.coefficients, self.margin = target, margin
        self.n_steps += 1

    def inference(self, hessian: Floats) -> tuple[Coefficient, ...]:
        """Where the fit ended, with Wald's statistics; ``hessian``: there."""
        return wald(self.names, self.coefficients, hessian, self.penalty)

    def _objective(self, coefficients: Floats, margin: Floats) -> float:
        losses = np.logaddexp(0.0, margin) - self.label * margin
        return float(self.weight @ losses) + self.penalty.value(coefficients)


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """A fitted model; ``margin = intercept + sum(features * values)``, log-odds of default."""

    intercept: Coefficient
    features: tuple[Coefficient, ...]
    n_steps: int

    @property
    def values(self) -> Floats:
        return np.array([c.value for c in self.features], dtype=np.float64)


def fit_logistic(
    features: Floats,
    label: ArrayLike,
    names: Sequence[str],
    rules: LogisticRules | None = None,
    weight: ArrayLike | None = None,
) -> LogisticFit:
    """Fit on one table.

    Args:
        features: shape ``(n_rows, n_features)``, finite.
        label: 0 or 1, shape ``(n_rows,)``, 1 = default.
        names: of the features.
        weight: per row, at least 0.

    Raises:
        DataError: ``one_class``, ``not_finite`` and ``collinear`` naming columns, ``separated``; as ``models.samples``.
        ModelError: ``not_converged``.
    """
    newton = run_newton(features, label, names, rules or LogisticRules(), weight)
    moments = moments_of(with_intercept(features), *newton.derivatives())
    intercept, *rest = newton.inference(moments.hessian)
    return LogisticFit(intercept, tuple(rest), newton.n_steps)


def run_newton(
    features: Floats, label: ArrayLike, names: Sequence[str], rules: LogisticRules, weight: ArrayLike | None
) -> Newton:
    """The finished fit, as ``fit_logistic``."""
    newton, design = begin(features, label, names, rules, weight), with_intercept(features)
    while (target := newton.target(moments_of(design, *newton.derivatives()))) is not None:
        newton.move(target, design @ target)
    return newton


def begin(
    features: Floats, label: ArrayLike, names: Sequence[str], rules: LogisticRules, weight: ArrayLike | None
) -> Newton:
    """A fit where every coefficient but the intercept is 0; there, all rows of one weight have one derivative.

    Args:
        names: of ``features``, and of further columns that others hold.

    Raises:
        DataError: as ``fit_logistic``.
    """
    y = checked_label(label)
    need_both_classes(y)
    s = checked_weight(weight, len(y))
    need_both_classes(y[s > 0])
    check_finite(features, names[: features.shape[1]], len(y))
    start = np.zeros(1 + len(names))
    rate = float(s @ y / s.sum())
    start[0] = np.log(rate / (1.0 - rate))
    return Newton(y, s, rules, (INTERCEPT, *names), start, np.full(len(y), start[0]))


def with_intercept(features: Floats) -> Floats:
    """A column of ones before the others."""
    return np.column_stack([np.ones(len(features)), features])


def check_finite(features: Floats, names: Sequence[str], n_rows: int) -> None:
    """Raises ``DataError``: ``wrong_shape``, or ``not_finite`` naming the columns with NaN or infinities."""
    if features.shape != (n_rows, len(names)):
        raise DataError(
            "wrong_shape",
            f"The features have shape {features.shape}; {n_rows} rows and {len(names)} names were given.",
            f"特征矩阵形状为 {features.shape}，而数据有 {n_rows} 行、{len(names)} 个名称。",
        )
    bad = [name for name, column in zip(names, features.T, strict=True) if not np.isfinite(column).all()]
    if bad:
        raise DataError(
            "not_finite",
            f"Columns with missing or infinite values: {', '.join(bad)}. Give missing values a WOE of their own.",
            f"以下列含缺失或无穷值：{'、'.join(bad)}。请为缺失值设置 WOE。",
        )


def check_rank(hessian: Floats, names: Sequence[str], rank: float) -> None:
    """Raises ``DataError`` ``collinear`` naming columns that are constant or that others determine: an eigenvalue of
    their correlations lies below ``rank``."""
    size = np.diag(hessian)
    flat = size <= 0.0
    scale = np.sqrt(np.where(flat, 1.0, size))
    values, vectors = np.linalg.eigh(hessian / np.outer(scale, scale))
    involved = flat | (np.abs(vectors[:, values < rank]) > 0.05).any(axis=1)
    columns = [name for name, known in zip(names, involved, strict=True) if known and name != INTERCEPT]
    if columns:
        raise DataError(
            "collinear",
            f"These columns are constant or determine each other: {', '.join(columns)}. Leave some out, or set l2.",
            f"以下列为常数或彼此线性相关：{'、'.join(columns)}。请剔除部分列，或设置 l2。",
        )


def separated() -> DataError:
    """A combination of features parts defaults from non-defaults: coefficients grow without end."""
    return DataError(
        "separated",
        "A combination of features parts defaults from non-defaults, so coefficients grow without end. Look for a "
        "feature that knows the label, or set l2.",
        "存在可将违约与未违约样本完全分开的特征组合，系数将无限增大。请检查是否有泄露标签的特征，或设置 l2。",
    )


def not_converged(n_steps: int) -> ModelError:
    return ModelError(
        "not_converged",
        f"The fit did not end after {n_steps} steps. Look for columns that nearly determine each other, or set l2.",
        f"经过 {n_steps} 步仍未收敛。请检查是否有近似共线的列，或设置 l2。",
    )
