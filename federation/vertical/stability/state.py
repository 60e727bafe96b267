"""What a host remembers of having told how its features moved."""

from __future__ import annotations

from dataclasses import dataclass

from federation.state import SecretState


@dataclass(slots=True, repr=False)
class StabilityState(SecretState):
    """Attributes:
    n_valid: rows after the fitted ones that are in neither sample.
    """

    phase: str = "closed"
    n_valid: int = 0
