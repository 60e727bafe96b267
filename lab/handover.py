"""What a finished run leaves for the service beside its joint model: ``bank_only.json``, ``calibration.json``,
``selftest.json``, all in the bank's own folder; no row and no identifier is in them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from lab.bank_only import BankOnly
from lab.evaluation import quality
from lab.serving.publishing.selftest import selftest_of
from lab.serving.publishing.stored import calibrator_in
from lab.validation.calibrated import calibrated
from lab.validation.notes import Notes
from lab.validation.sample import ValidationRules, sample_of
from models.bundle import JointModel, save
from models.errors import DataError, ModelError
from models.joint import Joint

FORMAT: Final = 1


def hand_over(
    directory: Path, joint: Joint, alone: BankOnly | None, scores: pd.DataFrame, validation: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Calibrate the bank's own model, store what is to be served, and say how good that is.

    Args:
        alone: None: the bank's columns tell nothing.
        scores: as ``outcome.scores_frame``.
        validation: the pack of the joint model, with its calibrator.

    Returns:
        For ``result.json``: of ``bank_only`` its ids, AUC and KS on the held-out rows and how it was calibrated, or
        None; of ``joint`` how it was.
    """
    report = None if alone is None else _report(alone, scores, seed)
    kept = alone if report else None
    calibration = {
        "format": FORMAT,
        "joint": _calibration(validation["calibration"]),
        "bank_only": report and _calibration(report),
    }
    save(directory / "calibration.json", calibration)
    if kept:
        save(directory / "bank_only.json", kept.model.to_json())
    calibrators = calibrator_in(calibration, "joint"), calibrator_in(calibration, "bank_only")
    save(directory / "selftest.json", selftest_of(joint, calibrators[0], kept.model if kept else None, calibrators[1]))
    found = {"joint": {"calibration": calibration["joint"]}, "bank_only": None}
    if kept and report:
        measured = _measured(kept, scores, seed)
        found["bank_only"] = {**measured, "brier": report["brier"]["score"], "calibration": calibration["bank_only"]}
    return found


def _measured(alone: BankOnly, scores: pd.DataFrame, seed: int) -> dict[str, Any]:
    model, held_out = alone.model, (scores["part"] == "holdout").to_numpy()
    found = quality(scores["label"].to_numpy(dtype=np.float64)[held_out], alone.margin[held_out], seed)
    return {
        "model_id": model.model_id,
        "digest": model.digest(),
        "trees": len(model.trees) if isinstance(model, JointModel) else None,
        "features": [bins.name for bins in model.inputs],
        "auc": found.auc.as_dict(),
        "ks": found.ks.as_dict(),
    }


def _report(alone: BankOnly, scores: pd.DataFrame, seed: int) -> dict[str, Any] | None:
    """How the bank's own model is calibrated; None if it ranks no better than chance where it was not fitted."""
    rows = scores.assign(bank_only=alone.margin)
    if alone.out_of_fold is not None:
        rows = rows.assign(out_of_fold=alone.out_of_fold)
    try:
        report, _ = calibrated(sample_of(rows, "bank_only"), ValidationRules(), seed, Notes())
    except (DataError, ModelError):  # a margin that is the same for all, or ranks the wrong way
        return None
    plain: dict[str, Any] = json.loads(json.dumps(asdict(report), allow_nan=False))
    return plain


def _calibration(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in ("method", "source", "n_rows", "calibrator")}
