"""What a site remembers of federated averaging."""

from __future__ import annotations

from dataclasses import dataclass

from federation.horizontal.aggregation.once import GivenState
from federation.horizontal.boosting.messages import FeatureFields


@dataclass(slots=True, repr=False)
class AveragingState(GivenState):
    """Attributes:
    features, estimator, settings, n_epochs, most_rows: as opened.
    round: of the last training; 0 before.
    told: digests of the parameters that trainings began at.
    """

    phase: str = "closed"
    features: tuple[FeatureFields, ...] = ()
    estimator: str = ""
    settings: bytes = b""
    n_epochs: int = 0
    most_rows: int = 0
    round: int = 0
    told: tuple[str, ...] = ()
