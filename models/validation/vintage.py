"""Vintage analysis: how much of each cohort of loans has defaulted after so many months on book.

A cell uses only loans that have been observed for all its months, so rates of young cohorts are not too low (Siddiqi
2006, ch. 4, on cohorts and maturity).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.errors import DataError
from models.samples import check_parameter, checked_groups, checked_score
from models.validation.bands import counts_of


@dataclass(frozen=True, slots=True)
class VintageCell:
    """A cohort after so many months.

    Attributes:
        n_rows: loans observed for so long; None where fewer than the minimum are: then nothing is told.
        default_rate: share of them that had defaulted by then; None, too.
        mature: whether all loans of the cohort have been observed for so long.
    """

    n_rows: int | None
    default_rate: float | None
    mature: bool


#: Per cohort, per month: None where no loan has been observed for so long.
Triangle = tuple[tuple[VintageCell | None, ...], ...]


def vintage_triangle(
    cohort: ArrayLike,
    n_cohorts: int,
    months_to_default: ArrayLike,
    months_observed: ArrayLike,
    months: Sequence[int],
    *,
    minimum: int = 1,
) -> Triangle:
    """Cumulative default rates.

    Args:
        cohort: number of each loan's cohort, 0 to ``n_cohorts - 1``, shape ``(n_rows,)``.
        months_to_default: at least 0, infinite for a loan that has not defaulted; same shape.
        months_observed: since the loan was opened, defaulted or not, at least 0; same shape.
        months: on book, of each column.
        minimum: fewest loans behind a rate.

    Raises:
        DataError: those of ``models.samples``; ``bad_months`` if a month is negative or missing, or a default later
            than what was observed.
    """
    check_parameter("minimum", minimum, 1, 10**9)
    observed = checked_score(months_observed, name="months_observed")
    own = checked_groups(cohort, len(observed), n_cohorts)
    default = np.asarray(months_to_default, dtype=np.float64)
    n_bad = len(default) != len(observed) or int((~(default >= 0) | (observed < 0)).sum())
    n_bad = n_bad or int((np.isfinite(default) & (default > observed)).sum())
    if n_bad:
        raise DataError(
            "bad_months",
            f"{int(n_bad)} loans have months that cannot be: negative, missing, or a default after what was observed.",
            f"有 {int(n_bad)} 笔贷款的月数有误：为负、缺失，或违约晚于观察截止时间。",
        )
    size = np.bincount(own, minlength=n_cohorts)
    columns = []
    for month in months:
        seen = observed >= month
        n, d = counts_of((default[seen] <= month).astype(np.float64), own[seen], n_cohorts)
        columns.append([_cell(int(a), int(b), int(c), minimum) for a, b, c in zip(n, d, size, strict=True)])
    return tuple(zip(*columns, strict=True))


def _cell(n_rows: int, n_defaults: int, n_cohort: int, minimum: int) -> VintageCell | None:
    if not n_rows:
        return None
    mature = n_rows == n_cohort
    return VintageCell(n_rows, n_defaults / n_rows, mature) if n_rows >= minimum else VintageCell(None, None, mature)
