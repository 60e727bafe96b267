"""What a site remembers of the horizontal scorecard's fit."""

from __future__ import annotations

from dataclasses import dataclass

from federation.horizontal.aggregation.once import GivenState
from federation.horizontal.scorecard.messages import WoeFields


@dataclass(slots=True, repr=False)
class ScorecardState(GivenState):
    """Attributes:
    features, most_rows: as opened.
    told: coefficients of all features at which sums were contributed, 0 for those left out.
    scorecard: as finished, JSON.
    """

    phase: str = "closed"
    model_id: str = ""
    features: tuple[WoeFields, ...] = ()
    most_rows: int = 0
    told: tuple[tuple[float, ...], ...] = ()
    scorecard: bytes = b""
