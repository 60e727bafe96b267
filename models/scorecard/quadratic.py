"""The least point of a quadratic model with L1 and L2 penalties and signs: one step of a proximal Newton method.

Coordinate descent on the quadratic model (Friedman, Hastie & Tibshirani 2010, "Regularization paths for generalized
linear models via coordinate descent", §3; Lee, Sun & Saunders 2014, "Proximal Newton-type methods"), then one exact
solution on the coefficients that it left free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.boosting.splits import Mask
from models.losses import Floats

_MOST_SWEEPS: Final = 10_000
_SMALL: Final = 1e-13


@dataclass(frozen=True, slots=True)
class Penalty:
    """``sum(l1 * |b|) + sum(l2 * b**2) / 2``, and ``b <= 0`` where ``nonpositive``.

    Attributes:
        l1, l2: per coefficient, at least 0, shape ``(n_coefficients,)``.
        nonpositive: shape ``(n_coefficients,)``.
    """

    l1: Floats
    l2: Floats
    nonpositive: Mask

    @property
    def smooth(self) -> bool:
        """Neither L1 nor signs: the least point solves linear equations."""
        return not self.l1.any() and not self.nonpositive.any()

    def value(self, b: Floats) -> float:
        return float(self.l1 @ np.abs(b) + 0.5 * (self.l2 @ (b * b)))

    def violation(self, b: Floats, gradient: Floats) -> Floats:
        """How far each coordinate is from optimal: the least element of the subdifferential, in magnitude.

        Args:
            gradient: of the loss alone, at ``b``.
        """
        slope = gradient + self.l2 * b
        up = np.where(self.nonpositive, 0.0, np.maximum(-slope - self.l1, 0.0))
        at_zero = np.maximum(np.maximum(slope - self.l1, 0.0), up)
        violation: Floats = np.where(b == 0.0, at_zero, np.abs(slope + self.l1 * np.sign(b)))
        return violation


def minimise(gradient: Floats, hessian: Floats, at: Floats, penalty: Penalty) -> Floats:
    """The ``b`` with the least ``gradient @ d + d @ hessian @ d / 2 + penalty(b)``, where ``d = b - at``.

    Args:
        gradient: shape ``(n_coefficients,)``.
        hessian: symmetric, positive semidefinite, shape ``(n_coefficients, n_coefficients)``.
        at: feasible.

    Raises:
        numpy.linalg.LinAlgError: no single least point.
    """
    linear = hessian @ at - gradient
    curved = hessian + np.diag(penalty.l2)
    if penalty.smooth:
        return _solved(curved, linear)
    b = _descended(gradient, hessian, at, penalty)
    free = (b != 0.0) | ~((penalty.l1 > 0.0) | penalty.nonpositive)
    exact = np.zeros_like(b)
    try:
        exact[free] = _solved(curved[np.ix_(free, free)], (linear - penalty.l1 * np.sign(b))[free])
    except np.linalg.LinAlgError:
        return b
    bound = (penalty.l1 > 0.0) | penalty.nonpositive
    return exact if np.array_equal(np.sign(exact[bound]), np.sign(b[bound])) else b


def _solved(matrix: Floats, right: Floats) -> Floats:
    """With rows and columns scaled to a unit diagonal, so that units do not matter."""
    scale = np.sqrt(np.diag(matrix))
    if not (scale > 0.0).all():
        raise np.linalg.LinAlgError("a coefficient without curvature")
    solution: Floats = np.linalg.solve(matrix / np.outer(scale, scale), right / scale) / scale
    return solution


def _descended(gradient: Floats, hessian: Floats, at: Floats, penalty: Penalty) -> Floats:
    b, slope = at.copy(), gradient.copy()
    curvature = np.diag(hessian)
    for _ in range(_MOST_SWEEPS):
        furthest = 0.0
        for k in np.flatnonzero(curvature + penalty.l2 > 0.0).tolist():
            pull = curvature[k] * b[k] - slope[k]
            value = np.sign(pull) * max(abs(pull) - penalty.l1[k], 0.0) / (curvature[k] + penalty.l2[k])
            if penalty.nonpositive[k]:
                value = min(value, 0.0)
            moved = value - b[k]
            if moved:
                b[k] = value
                slope += moved * hessian[:, k]
                furthest = max(furthest, abs(moved))
        if furthest <= _SMALL * (1.0 + np.abs(b).max()):
            break
    return b
