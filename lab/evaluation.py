"""Which rows fit and which test, and how much the joint model gains over the bank alone on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.vertical.guest import Arrangement
from lab.config import SplitSection
from lab.data.sources import Division
from models.errors import DataError
from models.losses import Floats
from models.validation import metrics


def arrange(
    common: NDArray[np.intp],
    ids: Sequence[str],
    label: Floats,
    split: SplitSection,
    seed: int,
    time: Floats | None = None,
    division: Division | None = None,
) -> Arrangement:
    """Divide the common rows as ``split`` says. The order of the file does not matter, only ids, labels and ``seed``.

    No group is in two parts: drawn parts take whole groups, and where time or a column says what is held out, other
    rows of a group that is held out are left out of the run.

    Raises:
        DataError: ``one_class`` if a part would have no default or no non-default.
    """
    division = division or Division()
    group = np.arange(len(label)) if division.group is None else division.group
    rows = common[np.argsort(np.array(ids, dtype=str)[common], kind="stable")]
    rng = np.random.default_rng(seed)
    if time is None and division.held_out is None:
        fit, held_out = _divide(rows, label, split.holdout, rng, group)
    else:
        if time is None:
            assert division.held_out is not None
            out = division.held_out[rows]
        else:
            assert split.holdout_from is not None
            out = time[rows] >= split.holdout_from
        held_out = rows[out]
        fit = rng.permutation(rows[~out & ~np.isin(group[rows], group[held_out])])
    fit, valid = _divide(fit, label, split.valid, rng, group) if split.valid else (fit, fit[:0])
    for part in (fit, held_out, *([valid] if split.valid else [])):
        if len(np.unique(label[part])) < 2:
            raise DataError(
                "one_class",
                "After alignment and splitting, a part has only one class or no rows. Use more rows or another split.",
                "对齐与划分之后，某一部分只有一个类别或没有数据行。请增加数据或调整划分。",
            )
    return Arrangement(np.concatenate([fit, valid, held_out]).astype(np.intp), len(fit), len(valid))


def _divide(
    rows: NDArray[np.intp], label: Floats, share: float, rng: np.random.Generator, group: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Shuffled, and ``share`` of the rows taken out in whole groups: of those without, and of those with a default."""
    rows = rng.permutation(rows)
    _, first, own = np.unique(group[rows], return_index=True, return_inverse=True)
    size, with_default = np.bincount(own), np.bincount(own, weights=label[rows]) > 0
    order = np.argsort(first)  # groups as the shuffle meets them
    out = np.zeros(len(size), dtype=bool)
    for kind in (False, True):
        of_kind = order[with_default[order] == kind]
        n_rows = np.cumsum(size[of_kind])
        out[of_kind[n_rows <= round(share * int(n_rows[-1] if len(n_rows) else 0))]] = True
    return rows[~out[own]], rows[out[own]]


@dataclass(frozen=True, slots=True)
class Quality:
    """AUC and KS with 95 % bootstrap intervals."""

    auc: metrics.Interval
    ks: metrics.Interval


def quality(label: Floats, margin: Floats, seed: int) -> Quality:
    """Quality of margins (higher is riskier) on held-out rows."""
    return Quality(
        metrics.bootstrap(label, margin, metrics.auc, seed=seed),
        metrics.bootstrap(label, margin, metrics.ks, seed=seed),
    )


def gain(label: Floats, margin: Floats, reference: Floats, seed: int) -> Quality:
    """How much better than ``reference``, on the same resampled rows."""
    return Quality(
        metrics.bootstrap_gain(label, margin, reference, metrics.auc, seed=seed),
        metrics.bootstrap_gain(label, margin, reference, metrics.ks, seed=seed),
    )
