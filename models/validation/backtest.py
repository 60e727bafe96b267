"""Did as many default as was said: tests of grades and of groups against their default probabilities.

All tests take defaults as independent. Where a downturn hits all applicants at once, they reject too often; read them
together with the years behind the rows (BCBS Working Paper 14, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtrc, betainc, chdtrc, ndtr

from models.errors import DataError
from models.losses import Floats, Integers
from models.samples import (
    check_parameter,
    checked_cells,
    checked_groups,
    checked_label,
    checked_probability,
)
from models.validation.bands import counts_of, ranked_bands, sums_of

#: Below the first p-value a grade is red, below the second amber, else green.
RED: Final = 0.01
AMBER: Final = 0.05


@dataclass(frozen=True, slots=True)
class HosmerLemeshow:
    """Statistic, degrees of freedom, and chance of a larger statistic if the probabilities are right."""

    statistic: float
    df: int
    p_value: float


def hosmer_lemeshow(
    label: ArrayLike,
    probability: ArrayLike,
    n_bands: int = 10,
    *,
    in_sample: bool = False,
    group: ArrayLike | None = None,
) -> HosmerLemeshow:
    """Hosmer–Lemeshow test over groups of about equal number (Hosmer, Lemeshow & Sturdivant 2013, §5.2.2).

    Args:
        label: in {0, 1}, shape ``(n_rows,)``.
        probability: in (0, 1), same shape.
        n_bands: groups by probability, ties together; not used if ``group`` is given.
        in_sample: whether the model was fitted on these rows: groups - 2 degrees of freedom instead of groups.
        group: integers from 0, one per row, such as grades.

    Raises:
        DataError: ``bad_probability`` at 0 or 1, ``too_few_groups`` if no degree of freedom is left.
    """
    y = checked_label(label)
    p = checked_probability(probability, len(y), inside=True)
    own = ranked_bands(p, n_bands) if group is None else checked_groups(group, len(y), 10_000)
    n_groups = int(own.max()) + 1
    n_rows, n_defaults = counts_of(y, own, n_groups)
    filled = n_rows > 0
    n, d, expected = n_rows[filled], n_defaults[filled], sums_of(p, own, n_groups)[filled]
    df = len(n) - 2 * in_sample
    if df < 1:
        raise DataError(
            "too_few_groups",
            f"The rows fall into {len(n)} groups, which leaves no degree of freedom. Ask for more groups.",
            f"数据只分为 {len(n)} 组，没有剩余自由度。请增加分组。",
        )
    statistic = float(np.sum((d - expected) ** 2 / (expected * (1.0 - expected / n))))
    return HosmerLemeshow(statistic, df, float(chdtrc(df, statistic)))


def binomial_test(n_rows: ArrayLike, n_defaults: ArrayLike, probability: ArrayLike) -> Floats:
    """One-sided binomial test per grade: chance of as many defaults or more (BCBS Working Paper 14, 2005).

    Args:
        n_rows, n_defaults: counts, shape ``(n_grades,)``.
        probability: the grades' default probabilities in (0, 1), same shape.

    Returns:
        p-values, float64; small: risk is understated. A grade without rows has 1: no evidence.
    """
    n, d, p = _grades(n_rows, n_defaults, probability)
    return np.asarray(bdtrc(d - 1, n, p), dtype=np.float64)


def jeffreys_test(n_rows: ArrayLike, n_defaults: ArrayLike, probability: ArrayLike) -> Floats:
    """Jeffreys test per grade: posterior chance that the true rate is at most the stated one.

    Beta(d + 1/2, n - d + 1/2) at the grade's probability, as the European Central Bank asks for (Instructions for
    reporting the validation results of internal models, February 2019, §2.5). Arguments and result as
    ``binomial_test``.
    """
    n, d, p = _grades(n_rows, n_defaults, probability)
    return np.where(n == 0, 1.0, betainc(d + 0.5, n - d + 0.5, p))


def normal_test(n_rows: ArrayLike, n_defaults: ArrayLike, probability: ArrayLike) -> Floats:
    """Normal approximation of ``binomial_test``, without continuity correction; for large grades only.

    Arguments and result as ``binomial_test``. Rough where ``n p (1 - p)`` is below about 9.
    """
    n, d, p = _grades(n_rows, n_defaults, probability)
    error = np.sqrt(np.maximum(n, 1) * p * (1.0 - p))
    return np.where(n == 0, 1.0, ndtr((n * p - d) / error))


def traffic_light(p_value: ArrayLike, *, amber: float = AMBER, red: float = RED) -> tuple[str, ...]:
    """``"red"`` below ``red``, ``"amber"`` below ``amber``, else ``"green"``, per grade.

    With many grades some are amber by chance: 1 in 20 at the usual limits.

    Raises:
        ModelError: ``bad_parameter`` unless ``0 <= red <= amber <= 1``.
    """
    check_parameter("amber", amber, 0.0, 1.0)
    check_parameter("red", red, 0.0, amber)
    p = checked_probability(p_value, name="p_value")
    return tuple(np.select([p < red, p < amber], ["red", "amber"], "green").tolist())


def _grades(n_rows: ArrayLike, n_defaults: ArrayLike, probability: ArrayLike) -> tuple[Integers, Integers, Floats]:
    n, d = checked_cells(n_rows, n_defaults)
    return n, d, checked_probability(probability, len(n), inside=True)
