"""What a bank keeps of a finished session, trees or scorecard: margins of every row, and how well they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from federation.vertical.guest import Arrangement
from lab.evaluation import gain, quality
from lab.validation.stored import pack_of_scores
from models.bundle import JointModel
from models.errors import DataError
from models.losses import LINKS, Floats, ObjectiveName
from models.scorecard.card import JointScorecard
from models.table import Table
from models.validation.features import FeatureShift


def scores_frame(
    table: Table,
    label: Floats,
    when: Floats | None,
    a: Arrangement,
    alone: Floats,
    joint: Floats,
    objective: ObjectiveName = "binary",
) -> pd.DataFrame:
    """One line per row of the run, as in ``scores.csv``.

    Args:
        alone, joint: margins in run order; told as such if the objective is binary, else as expected labels.
    """
    binary = objective == "binary"
    link = LINKS[objective]
    scores = pd.DataFrame(
        {
            "id": [table.ids[r] for r in a.rows],
            "part": np.repeat(["fit", "valid", "holdout"], [a.n_fit, a.n_valid, len(a.rows) - a.n_fit - a.n_valid]),
            "label": label[a.rows].astype(int if binary else float),
            "bank_only": alone if binary else link(alone),
            "joint": joint if binary else link(joint),
        }
    )
    return scores if when is None else scores.assign(period=when[a.rows])


def sealed(model: JointModel | JointScorecard) -> dict[str, str]:
    """What the bank's audit log says of its half: the document with the digests of all other halves in it."""
    return {"half": model.digest(), "model_digest": model.digest()}


def row_counts(a: Arrangement, n_bank: int) -> dict[str, int]:
    """Rows of the bank, of the run, and of each part."""
    n_seen = a.n_fit + a.n_valid
    return {
        "bank": n_bank,
        "common": len(a.rows),
        "fit": a.n_fit,
        "valid": a.n_valid,
        "holdout": len(a.rows) - n_seen,
    }


def measured(
    scores: pd.DataFrame, seed: int, a: Arrangement, n_bank: int, shifts: tuple[FeatureShift, ...] = ()
) -> dict[str, Any]:
    """Metrics on the held-out rows of ``scores_frame``, joint beside bank alone, and the validation pack.

    Raises:
        DataError: ``model_parts_nothing`` if the joint model has one score for all.
    """
    held_out = (scores["part"] == "holdout").to_numpy()
    y, bank, joint = (scores[name].to_numpy(dtype=np.float64)[held_out] for name in ("label", "bank_only", "joint"))
    if joint.min() == joint.max():
        raise DataError(
            "model_parts_nothing",
            "The joint model gives all held-out applicants one score: no feature of any party was worth using. Allow "
            "smaller leaves (min_child_samples) or smaller penalties (l1), or give features that say more.",
            "联合模型对所有留出申请人给出同一评分：任何一方的特征均未被采用。请放宽叶节点下限（min_child_samples）或"
            "减小惩罚（l1），或提供信息量更高的特征。",
        )
    qualities = {"bank_only": quality(y, bank, seed), "joint": quality(y, joint, seed)}
    better = gain(y, joint, bank, seed)
    fit_rate = float(scores.loc[scores["part"] == "fit", "label"].mean())
    return {
        "rows": row_counts(a, n_bank),
        "bad_rate": {"fit": fit_rate, "holdout": float(y.mean())},
        "auc": {name: q.auc.as_dict() for name, q in qualities.items()},
        "ks": {name: q.ks.as_dict() for name, q in qualities.items()},
        "gain": {"auc": better.auc.as_dict(), "ks": better.ks.as_dict()},
        "validation": pack_of_scores(scores, seed, shifts).to_json(),
    }
