"""Which rows fit and which test, and how much the joint model gains over the bank alone on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.vertical.guest import Arrangement
from lab.config_sections import SplitSection
from lab.continuation import unmixed
from lab.data.sources import Division
from models.errors import DataError
from models.losses import Floats, ObjectiveName
from models.validation import metrics
from models.validation.amounts import constant_label
from models.validation.bands import ranked_bands

#: Of each part where the label is an amount: a mean of fewer tells nothing.
FEWEST_ROWS: Final = 20


def arrange(
    common: NDArray[np.intp],
    ids: Sequence[str],
    label: Floats,
    split: SplitSection,
    seed: int,
    time: Floats | None = None,
    objective: ObjectiveName = "binary",
    earlier: Mapping[str, str] | None = None,
    division: Division | None = None,
    *,
    of_many: bool = False,
) -> Arrangement:
    """Divide the common rows as ``split`` says. The order of the file does not matter, only ids, labels and ``seed``.

    No group is in two parts: drawn parts take whole groups, and where time or a column says what is held out, other
    rows of a group that is held out are left out of the run.

    Args:
        of_many: one of several label holders: parts may have one class.
        earlier: applicant → part in the run whose model is continued: what that run saw does not test this one.

    Raises:
        DataError: ``one_class`` if a part would have no default or no non-default; of other objectives
            ``too_few_rows`` and ``constant_label``; ``nothing_unseen`` of ``earlier``.
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
    if earlier:
        fit, valid, held_out = unmixed((fit, valid, held_out), ids, earlier)
    parts = [(fit, "fitted", "拟合"), (held_out, "held-out", "留出")]
    for part, english, chinese in [*parts, *([(valid, "watching", "监控")] if split.valid else [])]:
        if objective != "binary":
            _check_amounts(label[part])
        elif len(np.unique(label[part])) < 2 and not of_many:
            raise DataError(
                "one_class",
                f"After alignment and splitting, the {len(part)} {english} rows lack defaults or non-defaults. Use "
                "more rows or another [split].",
                f"对齐与划分之后，{len(part)} 行{chinese}样本缺少违约或未违约样本。请增加数据或调整 [split]。",
            )
    return Arrangement(np.concatenate([fit, valid, held_out]).astype(np.intp), len(fit), len(valid))


def _divide(
    rows: NDArray[np.intp], label: Floats, share: float, rng: np.random.Generator, group: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Shuffled, and ``share`` of the rows taken out in whole groups, of each tenth of the label: that of a group is its
    highest. Of a 0/1 label, whose values are never parted, that is of those without, and of those with a default. A few
    large amounts weigh so much that it matters where they fall.
    """
    rows = rng.permutation(rows)
    _, first, own = np.unique(group[rows], return_index=True, return_inverse=True)
    size, highest = np.bincount(own), np.zeros(len(first), dtype=np.int64)
    np.maximum.at(highest, own, ranked_bands(label[rows], 10))
    order = np.argsort(first)  # groups as the shuffle meets them
    out = np.zeros(len(size), dtype=bool)
    for tenth in np.unique(highest):
        alike = order[highest[order] == tenth]
        n_rows = np.cumsum(size[alike])
        out[alike[n_rows <= round(share * int(n_rows[-1]))]] = True
    return rows[~out[own]], rows[out[own]]


def _check_amounts(label: Floats) -> None:
    if len(label) < FEWEST_ROWS:
        raise DataError(
            "too_few_rows",
            f"After alignment and splitting, a part has {len(label)} rows; each needs {FEWEST_ROWS}. Use more rows or "
            "another split.",
            f"对齐与划分之后，某一部分只有 {len(label)} 行，至少需要 {FEWEST_ROWS} 行。请增加数据或调整划分。",
        )
    if label.min() == label.max():
        raise constant_label()


@dataclass(frozen=True, slots=True)
class Quality:
    """AUC and KS with 95 % bootstrap intervals."""

    auc: metrics.Interval
    ks: metrics.Interval


def quality(label: Floats, margin: Floats, seed: int) -> Quality:
    """Quality of margins (higher is riskier) on held-out rows."""
    return Quality(
        metrics.bootstrap(label, margin, metrics.auc_of_counts, seed=seed),
        metrics.bootstrap(label, margin, metrics.ks_of_counts, seed=seed),
    )


def gain(label: Floats, margin: Floats, reference: Floats, seed: int) -> Quality:
    """How much better than ``reference``, on the same resampled rows."""
    return Quality(
        metrics.bootstrap_gain(label, margin, reference, metrics.auc_of_counts, seed=seed),
        metrics.bootstrap_gain(label, margin, reference, metrics.ks_of_counts, seed=seed),
    )
