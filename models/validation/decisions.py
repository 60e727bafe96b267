"""What a new score would decide otherwise: swap sets, and how many more could be approved at the same bad rate.

Scores rise with risk; the safest are approved. All rows need a known outcome: of applicants once declined nobody knows
it, so figures hold for the population in the sample (see ``reject_inference``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.losses import Floats
from models.samples import check_parameter, checked_label, checked_score, need_both_classes
from models.validation.metrics import Interval, bootstrap_gain


@dataclass(frozen=True, slots=True)
class Cell:
    """Rows of one kind; ``default_rate`` is None where there are none."""

    n_rows: int
    n_defaults: int
    default_rate: float | None


@dataclass(frozen=True, slots=True)
class SwapSet:
    """Who is approved by the reference and by the new score, at the same number of approvals.

    Attributes:
        both: approved by both.
        swapped_in: by the new score only.
        swapped_out: by the reference only; as many rows as ``swapped_in``.
        neither: declined by both.
    """

    both: Cell
    swapped_in: Cell
    swapped_out: Cell
    neither: Cell


@dataclass(frozen=True, slots=True)
class ApprovalGain:
    """How much more a score lets approve than a reference at one bad rate.

    Attributes:
        bad_rate: default rate among those the reference approves at the rate asked for.
        reference_rate: largest approval rate of the reference with no higher bad rate.
        rate: the same of the score.
        gain: ``rate - reference_rate`` with its bootstrap interval.
    """

    bad_rate: float
    reference_rate: float
    rate: float
    gain: Interval


def swap_set(label: ArrayLike, score: ArrayLike, reference: ArrayLike, approval_rate: float) -> SwapSet:
    """Swap set at equal approval rate: both scores approve the nearest whole number of rows.

    Among equal scores at the cut-off, those that the other score holds for safer come first, then those that stand
    first: ties make no swaps of their own.

    Args:
        label: in {0, 1}, shape ``(n_rows,)``; one class is allowed.
        score, reference: finite, same shape, higher is riskier.
        approval_rate: in (0, 1].
    """
    check_parameter("approval_rate", approval_rate, 1e-9, 1.0)
    y = checked_label(label)
    new, old = checked_score(score, len(y)), checked_score(reference, len(y), "reference")
    n_approved = round(approval_rate * len(y))
    by_new, by_old = _safest(new, old, n_approved), _safest(old, new, n_approved)
    return SwapSet(
        both=_cell(y, by_new & by_old),
        swapped_in=_cell(y, by_new & ~by_old),
        swapped_out=_cell(y, by_old & ~by_new),
        neither=_cell(y, ~(by_new | by_old)),
    )


def bad_rate_at(label: ArrayLike, score: ArrayLike, approval_rate: float) -> float:
    """Default rate among the safest ``approval_rate`` of rows; equal scores count by the part that fits.

    Raises:
        ModelError: ``bad_parameter`` unless ``approval_rate`` is in (0, 1].
    """
    check_parameter("approval_rate", approval_rate, 1e-9, 1.0)
    y = checked_label(label)
    share, bad = _approval_curve(y, checked_score(score, len(y)))
    return min(1.0, float(np.interp(approval_rate, share, bad)) / approval_rate)


def approval_rate_at(label: ArrayLike, score: ArrayLike, bad_rate: float) -> float:
    """Largest share of rows, safest first, whose default rate is at most ``bad_rate``; in [0, 1].

    Equal scores count by the part that fits. 0 if even the safest default more often.

    Raises:
        ModelError: ``bad_parameter`` unless ``bad_rate`` is in [0, 1].
    """
    check_parameter("bad_rate", bad_rate, 0.0, 1.0)
    y = checked_label(label)
    share, bad = _approval_curve(y, checked_score(score, len(y)))
    excess = bad - bad_rate * share
    last = int(np.flatnonzero(excess <= 0)[-1])
    if last == len(share) - 1:
        return 1.0
    part = -excess[last] / (excess[last + 1] - excess[last])
    return float(share[last] + part * (share[last + 1] - share[last]))


def approval_gain(
    label: ArrayLike, score: ArrayLike, reference: ArrayLike, approval_rate: float, *, seed: int, n_resamples: int = 200
) -> ApprovalGain:
    """How many more rows ``score`` lets approve at the bad rate ``reference`` has at ``approval_rate``.

    The bad rate is a target: it stays the same in all resamples. Each resample sorts both scores once, so that time is
    ``n_resamples`` times that of a sort.

    Raises:
        DataError: ``one_class`` and those of ``samples``.
    """
    y = checked_label(label)
    new, old = checked_score(score, len(y)), checked_score(reference, len(y), "reference")
    need_both_classes(y)
    target = bad_rate_at(y, old, approval_rate)
    rate_at = partial(approval_rate_at, bad_rate=target)
    gain = bootstrap_gain(y, new, old, rate_at, seed=seed, n_resamples=n_resamples)
    return ApprovalGain(target, rate_at(y, old), rate_at(y, new), gain)


def _approval_curve(label: Floats, score: Floats) -> tuple[Floats, Floats]:
    """Cumulative shares of rows and of (rows that are) defaults, both over all rows, one point per distinct score."""
    order = np.argsort(score)  # the order among equal scores does not matter: only their last row counts
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    bad = np.cumsum(label[order])[ends]
    return np.append(0.0, (ends + 1) / len(score)), np.append(0.0, bad / len(score))


def _safest(score: Floats, other: Floats, n_rows: int) -> NDArray[np.bool_]:
    chosen = np.zeros(len(score), dtype=bool)
    chosen[np.lexsort((other, score))[:n_rows]] = True
    return chosen


def _cell(label: Floats, rows: NDArray[np.bool_]) -> Cell:
    n_rows, n_defaults = int(rows.sum()), int(label[rows].sum())
    return Cell(n_rows, n_defaults, n_defaults / n_rows if n_rows else None)
