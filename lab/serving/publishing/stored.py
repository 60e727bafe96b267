"""What a run left in the bank's folder for the service: loaded, and tested on its stored examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.serving.loaded import Calibrated, Loaded
from lab.serving.nodes import own_words, published_as
from lab.serving.publishing.selftest import check_selftest
from models.bundle import load
from models.joint import Joint, joint_from_json
from models.validation.calibrators import Calibrator, calibrator_from_json


def loaded_from(directory: Path) -> Loaded:
    """What lies in the bank's folder of a run, tested on its stored examples. Raises as ``models_from``, and
    ``ModelError`` if the job is absent or damaged."""
    joint, bank_only = models_from(directory)
    return Loaded(
        published=published_as(directory, joint.model), joint=joint, bank_only=bank_only, words=own_words(directory)
    )


def models_from(directory: Path) -> tuple[Calibrated, Calibrated | None]:
    """The joint model and the bank's own, tested; without examples, as of an earlier release or of amounts, the joint
    model alone, uncalibrated.

    Raises:
        ModelError: a file is absent or damaged; ``selftest_failed`` if a model does not answer as when it was stored.
    """
    joint = joint_from_json(load(directory / "model.json"))
    if not (directory / "selftest.json").exists():
        return Calibrated(model=joint), None
    stored = load(directory / "calibration.json")
    alone = directory / "bank_only.json"
    bank_only = joint_from_json(load(alone)) if alone.exists() else None
    calibrators = calibrator_in(stored, "joint"), calibrator_in(stored, "bank_only")
    check_selftest(load(directory / "selftest.json"), joint, calibrators[0], bank_only, calibrators[1])
    told = [_calibrated(model, stored, which) for model, which in ((joint, "joint"), (bank_only, "bank_only")) if model]
    return told[0], told[1] if bank_only else None


def _calibrated(model: Joint, calibration: Mapping[str, Any], which: str) -> Calibrated:
    source = (calibration.get(which) or {}).get("source", "none")
    return Calibrated(model=model, calibrator=calibrator_in(calibration, which), calibration=source)


def calibrator_in(calibration: Mapping[str, Any], which: str) -> Calibrator | None:
    """The calibrator of ``joint`` or ``bank_only`` in ``calibration.json``. Raises ``ModelError``."""
    data = (calibration.get(which) or {}).get("calibrator")
    return calibrator_from_json(data) if data else None
