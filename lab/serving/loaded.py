"""What the bank's service answers with: a joint model and, beside it, one of the bank alone; replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from models.joint import Joint
from models.reasons import Words
from models.validation.calibrators import Calibrator

Calibration = Literal["valid", "out_of_fold", "holdout", "none"]


@dataclass(frozen=True, slots=True)
class Published:
    """Under which name and version the bank's half stands in the registry."""

    name: str
    version: str
    alias: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A model, and how its margins become default probabilities.

    Attributes:
        calibrator: None: by the logistic function alone.
        calibration: rows on which that was found best, none of which the model was fitted on; ``"none"``: it was not
            looked at.
    """

    model: Joint
    calibrator: Calibrator | None = None
    calibration: Calibration = "none"


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


@dataclass(frozen=True, slots=True)
class Trial:
    """A model in the shadow: ``version``: its name on the shelf."""

    version: str
    loaded: Loaded


class Shelf(Protocol):
    """Where the service takes its model from at each request; the answer may differ from one to the next."""

    def chosen(self, application_id: str) -> Loaded:
        """What answers this application: the same for the same application as long as nothing is published."""
        ...

    def shadowed(self, application_id: str) -> Trial | None:
        """What is to score this application too, for the record alone: a model on trial. None: nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class OneModel:
    """A shelf with one model, never replaced."""

    loaded: Loaded

    def chosen(self, application_id: str) -> Loaded:  # noqa: ARG002
        return self.loaded

    def shadowed(self, application_id: str) -> Trial | None:  # noqa: ARG002
        return None
