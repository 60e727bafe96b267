"""Folds inside the development rows: whole groups, later rows judge earlier ones, enough defaults everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.losses import Floats

#: Fewest defaults, and fewest others, to fit a fold on and to judge it by.
MIN_PER_CLASS: Final = 10


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers among the development rows."""

    fit: NDArray[np.intp]
    test: NDArray[np.intp]


def make_folds(
    label: Floats, n_folds: int, seed: int, time: Floats | None = None, group: NDArray[np.intp] | None = None
) -> tuple[Fold, ...]:
    """Folds of rows in a settled order.

    Without time, each row is judged once, classes in equal shares, whole groups. With time the window expands: rows
    fall into ``n_folds + 1`` stretches of about equal number, equal times together, and each stretch but the first is
    judged by a model of all before it; earlier rows of a group that is judged are left out of the fold.

    Raises:
        DataError: ``too_few_periods``; ``too_few_defaults`` if a fold has under ``MIN_PER_CLASS`` of a class.
    """
    if time is None:
        folds = _at_random(label, n_folds, seed, group)
    else:
        folds = _expanding(time, n_folds, np.arange(len(label)) if group is None else group)
    fewest = min(min(label[part].sum(), len(part) - label[part].sum()) for f in folds for part in (f.fit, f.test))
    if fewest < MIN_PER_CLASS:
        raise DataError(
            "too_few_defaults",
            f"With {n_folds} folds, one has only {int(fewest)} defaults or non-defaults to fit or to judge by; at "
            f"least {MIN_PER_CLASS} are needed. Use fewer folds (--folds) or more rows.",
            f"分为 {n_folds} 折时，某一折用于拟合或检验的违约（或未违约）样本仅 {int(fewest)} 个，"
            f"至少需要 {MIN_PER_CLASS} 个。请减少折数（--folds）或增加数据。",
        )
    return folds


def _at_random(label: Floats, n_folds: int, seed: int, group: NDArray[np.intp] | None) -> tuple[Fold, ...]:
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # CPU seconds: only where it is used

    smallest = int(min(label.sum(), len(label) - label.sum()))
    if smallest < n_folds:  # scikit-learn would only warn
        return (Fold(np.arange(0), np.arange(0)),)
    rows = np.zeros((len(label), 1))
    if group is None:
        parts = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, label)
    else:
        parts = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed).split(rows, label, group)
    return tuple(Fold(fit, test) for fit, test in parts)


def _expanding(time: Floats, n_folds: int, group: NDArray[np.intp]) -> tuple[Fold, ...]:
    ends = np.unique(np.quantile(time, np.arange(1, n_folds + 1) / (n_folds + 1), method="higher"))
    stretch = np.searchsorted(ends, time, side="right")
    if len(np.unique(stretch)) < n_folds + 1:
        raise DataError(
            "too_few_periods",
            f"The development rows do not fall into {n_folds + 1} stretches of time: too many rows have the same one. "
            "Use fewer folds (--folds).",
            f"开发样本无法按时间划分为 {n_folds + 1} 段：同一时间的行过多。请减少折数（--folds）。",
        )
    folds = []
    for k in range(1, n_folds + 1):
        test = np.flatnonzero(stretch == k)
        folds.append(Fold(np.flatnonzero((stretch < k) & ~np.isin(group, group[test])), test))
    return tuple(folds)
