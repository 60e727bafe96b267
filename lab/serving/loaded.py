"""What the bank's service answers with: a joint model and, beside it, one of the bank alone; replaced as a whole; and
perhaps others of both on trial."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from models.binning import FeatureBins
from models.declared import Declared
from models.joint import Joint
from models.reasons import Words
from models.validation.calibrators import Calibrator

CRYPTO: Final = (
    Declared(
        algorithm="SHA-256",
        purpose="which applications a model on trial answers",
        purpose_zh="划分由试用模型应答的申请",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)

Calibration = Literal["valid", "out_of_fold", "holdout", "none"]
Mode = Literal["canary", "shadow"]


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

    @property
    def inputs(self) -> tuple[FeatureBins, ...]:
        """Columns of the bank that either model reads."""
        alone = self.bank_only.model.inputs if self.bank_only else ()
        return tuple({b.name: b for b in (*alone, *self.joint.model.inputs)}.values())


@dataclass(frozen=True, slots=True)
class Trial:
    """A model beside the champion.

    Attributes:
        version: its name on the shelf.
        mode: ``canary``: it answers its share of the applications; ``shadow``: it scores them, and nobody is told.
    """

    version: str
    mode: Mode
    share: float
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class Held:
    """What answers at one moment, and what is on trial beside it."""

    champion: Loaded
    trial: Trial | None = None

    def tried(self, mode: Mode, application_id: str) -> Trial | None:
        """The model on trial, if it is in this way and the application is in its share: the same for the same
        application as long as nothing is published."""
        trial = self.trial
        if trial and trial.mode == mode and share_of(trial.version, application_id) < trial.share:
            return trial
        return None


def share_of(version: str, application_id: str) -> float:
    """Where an application falls in [0, 1), the same each time; another for each version, so that it is not always the
    same applicants who are tried on."""
    name = hashlib.sha256(f"{version}\n{application_id}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(name[:8], "big") / 2.0**64


class Shelf(Protocol):
    """Where the service takes its models from at each request."""

    def held(self) -> Held:
        """The same object as long as nothing is published."""
        ...


class OneModel:
    """A shelf with one model, never replaced."""

    def __init__(self, loaded: Loaded) -> None:
        self._held = Held(loaded)

    def held(self) -> Held:
        return self._held
