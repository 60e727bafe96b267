"""The pack of a finished run, from what lies in the bank's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab.data.sources import applicants_table, read_frame
from lab.errors import ConfigError
from lab.jobs import load_job, node_directory
from lab.validation.pack import ValidationPack, validate
from lab.validation.sample import ValidationRules, sample_of
from models.bundle import load
from models.errors import DataError
from models.joint import joint_from_json
from models.scorecard.card import JointScorecard
from models.validation.features import (
    FeatureShift,
    binned_by_cuts,
    binned_by_woe,
    feature_shifts,
    shifts_of_others,
)


def pack_of_scores(
    scores: pd.DataFrame,
    seed: int,
    features: tuple[FeatureShift, ...] = (),
    groups: Sequence[str] | None = None,
    rules: ValidationRules | None = None,
) -> ValidationPack:
    """The joint model against the bank alone.

    Args:
        scores: as in ``scores.csv``: ``part``, ``label``, margins ``joint`` and ``bank_only``, maybe ``period``.
        groups: name of each row's group.
    """
    reference = scores["bank_only"].to_numpy(dtype=np.float64)
    return validate(sample_of(scores), challenger=reference, groups=groups, features=features, rules=rules, seed=seed)


def pack_of_run(
    run: Path, result: dict[str, Any], group_column: str | None = None, rules: ValidationRules | None = None
) -> ValidationPack:
    """Measure a run again; the bank's file must still be where it was.

    Args:
        group_column: column of the bank's file by which to look at fairness; it need not be a feature.

    Raises:
        DataError: the file or a column is gone, an applicant is missing.
        ModelError: the model or the job cannot be read.
        ConfigError: ``group_missing``: no such column.
    """
    bank = node_directory(run, result["guest"])
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    job = load_job(bank / "job.json")
    model = joint_from_json(load(bank / "model.json"))
    frame = read_frame(job.party.data, job.party.id)
    frame[job.party.id] = frame[job.party.id].astype(str).str.strip()
    frame = _rows_of(frame.set_index(job.party.id, drop=False), scores["id"])
    table = applicants_table(frame, job.party.id, model.inputs)
    fit, held_out = (np.flatnonzero(scores["part"] == part) for part in ("fit", "holdout"))
    kept = rules or ValidationRules()
    if isinstance(model, JointScorecard):
        binned = binned_by_woe(table, model.half.features)
    else:
        binned = binned_by_cuts(table, model.own.bins)
    shifts = feature_shifts(binned, fit, held_out, kept.minimum)
    shifts += shifts_of_others(result["validation"]["features"])
    groups = None if group_column is None else _groups(frame, group_column)
    seed = result["parameters"].get("random_state", 0)
    return pack_of_scores(scores, seed, shifts, groups, kept)


def _rows_of(frame: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    n_missing = int((~ids.isin(frame.index)).sum())
    if n_missing:
        raise DataError(
            "applicants_missing",
            f"{n_missing} applicants of the run are no longer in the bank's file. Restore the file of the run.",
            f"运行中的 {n_missing} 名申请人已不在银行文件中，请恢复当时的数据文件。",
        )
    return frame.loc[ids]


def _groups(frame: pd.DataFrame, column: str) -> list[str]:
    """Names of groups; rows without one are a group of their own."""
    if column not in frame.columns:
        raise ConfigError(
            "group_missing",
            f"The bank's file has no column '{column}'. Name one of its columns with --group.",
            f"银行文件中没有列“{column}”，请用 --group 指定其中一列。",
        )
    return ["(missing)" if pd.isna(v) else str(v) for v in frame[column]]
