"""What a site remembers of horizontal prebinning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.once import GivenState
from federation.horizontal.prebinning.messages import ColumnFields


@dataclass(slots=True, repr=False)
class PrebinningState(GivenState):
    """Attributes:
    columns, most_rows, n_rounds: as opened.
    round: of the search, that is next.
    round_of: round in which each row is counted, shape ``(n_rows,)``.
    """

    phase: str = "closed"
    columns: tuple[ColumnFields, ...] = ()
    most_rows: int = 0
    n_rounds: int = 0
    round: int = 0
    round_of: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))
