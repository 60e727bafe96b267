"""What a site remembers of the end of a run."""

from __future__ import annotations

from dataclasses import dataclass

from federation.state import SecretState


@dataclass(slots=True, repr=False)
class ClosingState(SecretState):
    """Attributes:
    model_kind, model: as taken, JSON.
    counted: whether held-out rows were counted, also before the run died.
    """

    phase: str = "closed"
    model_kind: str = ""
    model: bytes = b""
    counted: bool = False
