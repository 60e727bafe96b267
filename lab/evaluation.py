"""Which rows fit and which test, and how much the joint model gains over the bank alone on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from federation.vertical.guest import Arrangement
from lab.config import SplitSection
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
) -> Arrangement:
    """Divide the common rows as ``split`` says. The order of the file does not matter, only ids, labels and ``seed``.

    Raises:
        DataError: ``one_class``/``too_few_rows`` if a part would have no default or no non-default.
    """
    rows = common[np.argsort(np.array(ids, dtype=str)[common], kind="stable")]
    rng = np.random.default_rng(seed)
    if time is None:
        fit, held_out = _divide(rows, label, split.holdout, rng)
    else:
        assert split.holdout_from is not None
        late = time[rows] >= split.holdout_from
        fit, held_out = rng.permutation(rows[~late]), rows[late]
    fit, valid = _divide(fit, label, split.valid, rng) if split.valid else (fit, fit[:0])
    parts = [(fit, "fitted", "拟合"), (held_out, "held-out", "留出")]
    for part, english, chinese in [*parts, *([(valid, "watching", "监控")] if split.valid else [])]:
        if len(np.unique(label[part])) < 2:
            raise DataError(
                "one_class",
                f"After alignment and splitting, the {len(part)} {english} rows lack defaults or non-defaults. Use "
                "more rows or another [split].",
                f"对齐与划分之后，{len(part)} 行{chinese}样本缺少违约或未违约样本。请增加数据或调整 [split]。",
            )
    return Arrangement(np.concatenate([fit, valid, held_out]).astype(np.intp), len(fit), len(valid))


def _divide(
    rows: NDArray[np.intp], label: Floats, share: float, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Shuffled, and ``share`` of each class taken out."""
    rows = rng.permutation(rows)
    out = np.zeros(len(rows), dtype=bool)
    for value in (0.0, 1.0):
        of_class = np.flatnonzero(label[rows] == value)
        out[of_class[: round(share * len(of_class))]] = True
    return rows[~out], rows[out]


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
