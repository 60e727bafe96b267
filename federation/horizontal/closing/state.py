"""What a site remembers of the end of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from federation.state import SecretState
from models.losses import Floats


@dataclass(slots=True, repr=False)
class ClosingState(SecretState):
    """Attributes:
    model_kind, model: as taken, JSON.
    margin: of the held-out rows.
    counted: whether held-out rows were counted, also before the run died.
    """

    phase: str = "closed"
    model_kind: str = ""
    model: bytes = b""
    margin: Floats = field(default_factory=lambda: np.empty(0))
    counted: bool = False
