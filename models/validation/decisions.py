"""What a new score would decide otherwise: swap sets, and how many more could be approved at the same bad rate.

Scores rise with risk; the safest are approved. All rows need a known outcome: of applicants once declined nobody knows
it, so figures hold for the population in the sample (see ``reject_inference``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.losses import Floats, Integers
from models.samples import check_parameter, checked_label, checked_score, need_both_classes
from models.validation.metrics import Interval, bootstrap_gain, counts_by_score


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
    share, bad = _approval_curve(*counts_by_score(y, checked_score(score, len(y))))
    return min(1.0, float(np.interp(approval_rate, share, bad)) / approval_rate)


def approval_rate_at(label: ArrayLike, score: ArrayLike, bad_rate: float) -> float:
    """Largest share of rows, safest first, whose default rate is at most ``bad_rate``; in [0, 1].

    Equal scores count by the part that fits. 0 if even the safest default more often.

    Raises:
        ModelError: ``bad_parameter`` unless ``bad_rate`` is in [0, 1].
    """
    check_parameter("bad_rate", bad_rate, 0.0, 1.0)
    y = checked_label(label)
    return float(_approval_rate(*counts_by_score(y, checked_score(score, len(y))), bad_rate))


def approval_gain(
    label: ArrayLike, score: ArrayLike, reference: ArrayLike, approval_rate: float, *, seed: int, n_resamples: int = 200
) -> ApprovalGain:
    """How many more rows ``score`` lets approve at the bad rate ``reference`` has at ``approval_rate``.

    The bad rate is a target: it stays the same in all resamples.

    Raises:
        DataError: ``one_class`` and those of ``samples``.
    """
    y = checked_label(label)
    new, old = checked_score(score, len(y)), checked_score(reference, len(y), "reference")
    need_both_classes(y)
    target = bad_rate_at(y, old, approval_rate)
    gain = bootstrap_gain(y, new, old, partial(_approval_rate, bad_rate=target), seed=seed, n_resamples=n_resamples)
    return ApprovalGain(target, approval_rate_at(y, old, target), approval_rate_at(y, new, target), gain)


def _approval_rate(goods: Integers, bads: Integers, bad_rate: float) -> Floats:
    """``approval_rate_at`` as a ``metrics.Metric``."""
    share, bad = _approval_curve(goods, bads)
    excess = bad - bad_rate * share
    last = share.shape[-1] - 1
    at = last - np.argmax(excess[..., ::-1] <= 0, axis=-1)[..., None]
    after = np.minimum(at + 1, last)
    (share_at, excess_at), (share_after, excess_after) = (
        [np.take_along_axis(of, place, -1)[..., 0] for of in (share, excess)] for place in (at, after)
    )
    step = np.where(excess_after > excess_at, excess_after - excess_at, 1.0)  # else all rows are approved
    rate: Floats = share_at - excess_at / step * (share_after - share_at)
    return rate


def _approval_curve(goods: Integers, bads: Integers) -> tuple[Floats, Floats]:
    """Cumulative shares of rows and of (rows that are) defaults, both over all rows, from none on: a point more than
    there are distinct scores."""
    counts = np.stack([goods + bads, bads])
    summed = np.cumsum(np.concatenate([np.zeros_like(counts[..., :1]), counts], axis=-1), axis=-1)
    share, bad = summed / summed[0, ..., -1:]
    return share, bad


def _safest(score: Floats, other: Floats, n_rows: int) -> NDArray[np.bool_]:
    chosen = np.zeros(len(score), dtype=bool)
    chosen[np.lexsort((other, score))[:n_rows]] = True
    return chosen


def _cell(label: Floats, rows: NDArray[np.bool_]) -> Cell:
    n_rows, n_defaults = int(rows.sum()), int(label[rows].sum())
    return Cell(n_rows, n_defaults, n_defaults / n_rows if n_rows else None)
