"""What a site remembers of horizontal boosting."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.boosting.messages import FeatureFields
from federation.state import SecretState
from models.losses import Floats


@dataclass(slots=True, repr=False)
class BoostingState(SecretState):
    """Attributes:
    features, most_rows, max_depth, most_sums, noise: as opened.
    n_sums: contributed, however often the site came back.
    counted: whether rows and defaults were counted: once, however often the site comes back.
    first_tree: sums of earlier ones are not given: this site had a part in them, or may have had. Of a run that died
        those after its last checkpoint are given again: the newest that the coordinator has may be one earlier than the
        newest here.
    kept: trees there were at the newest checkpoint.
    tree: number of the tree that grows, or will next.
    n_nodes: of that tree.
    margin: of every row, after the trees that are finished.
    at: node of the growing tree that each row is in.
    """

    phase: str = "closed"
    model_id: str = ""
    features: tuple[FeatureFields, ...] = ()
    most_rows: int = 0
    max_depth: int = 0
    most_sums: int = 0
    noise: float = 0.0
    n_sums: int = 0
    counted: bool = False
    first_tree: int = 0
    kept: int = 0
    tree: int = 0
    n_nodes: int = 1
    margin: Floats = field(default_factory=lambda: np.empty(0))
    at: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
