"""What the bank's service answers with: a joint model and, beside it, one of the bank alone; replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lab.serving.nodes import Published, joint_model, own_words
from lab.serving.selftest import check_selftest
from models.bundle import load
from models.joint import Joint, joint_from_json
from models.reasons import Words
from models.validation.calibrators import Calibrator, calibrator_from_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A model, and how its margins become default probabilities; None: by the logistic function alone."""

    model: Joint
    calibrator: Calibrator | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Attributes:
    published: how the model is called in the registry.
    joint: what all parties answer together.
    bank_only: trained and calibrated apart, on the bank's own columns; it has no hosts. None: there is none.
    words: the bank's column → English and Chinese for it, for reasons.
    """

    published: Published
    joint: Calibrated
    bank_only: Calibrated | None = None
    words: Mapping[str, Words] = field(default_factory=dict)


class Shelf(Protocol):
    """Where the service takes its model from at each request; the answer may differ from one to the next."""

    def chosen(self, application_id: str) -> Loaded:
        """What answers this application: the same for the same application as long as nothing is published."""
        ...


@dataclass(frozen=True, slots=True)
class OneModel:
    """A shelf with one model, never replaced."""

    loaded: Loaded

    def chosen(self, application_id: str) -> Loaded:  # noqa: ARG002
        return self.loaded


def loaded_from(directory: Path) -> Loaded:
    """What lies in the bank's folder of a run, tested on its stored examples.

    A folder of an earlier release, without examples, has the joint model alone, uncalibrated.

    Raises:
        ModelError: a file is absent or damaged; ``selftest_failed`` if the model does not answer as when it was stored.
    """
    joint, published = joint_model(directory)
    words = own_words(directory)
    if not (directory / "selftest.json").exists():
        return Loaded(published=published, joint=Calibrated(model=joint), words=words)
    stored = load(directory / "calibration.json")
    alone = directory / "bank_only.json"
    bank_only = joint_from_json(load(alone)) if alone.exists() else None
    calibrators = calibrator_in(stored, "joint"), calibrator_in(stored, "bank_only")
    check_selftest(load(directory / "selftest.json"), joint, calibrators[0], bank_only, calibrators[1])
    return Loaded(
        published=published,
        joint=Calibrated(model=joint, calibrator=calibrators[0]),
        bank_only=None if bank_only is None else Calibrated(model=bank_only, calibrator=calibrators[1]),
        words=words,
    )


def calibrator_in(calibration: Mapping[str, Any], which: str) -> Calibrator | None:
    """The calibrator of ``joint`` or ``bank_only`` in ``calibration.json``. Raises ``ModelError``."""
    data = (calibration.get(which) or {}).get("calibrator")
    return calibrator_from_json(data) if data else None
