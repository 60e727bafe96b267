"""Standard errors, z and p-values of coefficients: Hosmer, Lemeshow & Sturdivant (2013), "Applied Logistic Regression",
§2.4: square roots of the diagonal of the inverse Fisher information, Wald's z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from models.losses import Floats
from models.scorecard.quadratic import Penalty


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One fitted number.

    Attributes:
        standard_error, z, p_value: Wald's; None where the coefficient is held at zero by a penalty or its sign. Under a
            penalty they describe the spread around the penalised value, not its bias.
    """

    name: str
    value: float
    standard_error: float | None = None
    z: float | None = None
    p_value: float | None = None


def wald(names: Sequence[str], values: Floats, hessian: Floats, penalty: Penalty) -> tuple[Coefficient, ...]:
    """Coefficients with their statistics.

    Args:
        hessian: of the summed loss where the fit ended, the Fisher information. The curvature of an L2 penalty is added
            to it.
    """
    held = (values == 0.0) & ((penalty.l1 > 0.0) | penalty.nonpositive)
    information = (hessian + np.diag(penalty.l2))[np.ix_(~held, ~held)]
    errors = iter(np.sqrt(np.diag(np.linalg.inv(information))).tolist())
    return tuple(
        Coefficient(name, b) if zero else _tested(name, b, next(errors))
        for name, b, zero in zip(names, values.tolist(), held.tolist(), strict=True)
    )


def covariance(hessian: Floats, penalty: Penalty) -> Floats:
    """Of all coefficients but the intercept, where a fit ended: the inverse of the penalised information."""
    information = hessian + np.diag(penalty.l2)
    return np.asarray(np.linalg.pinv(information, hermitian=True)[1:, 1:], dtype=np.float64)


def _tested(name: str, value: float, error: float) -> Coefficient:
    z = value / error
    return Coefficient(name, value, error, z, float(2.0 * ndtr(-abs(z))))
