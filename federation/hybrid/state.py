"""What a host remembers of learning in both directions: of the run, and of each bank's applicants."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.boosting.messages import FeatureFields
from federation.hybrid.messages import CutFields
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class HostState(SecretState):
    """Attributes:
    features: as opened.
    splits: made so far, in the order told, each with the number of its tree.
    half: JSON, once sealed.
    """

    phase: str = "new"
    model_id: str = ""
    features: tuple[FeatureFields, ...] = ()
    splits: tuple[tuple[int, int, int, bool], ...] = ()
    half: bytes = b""


@dataclass(slots=True, repr=False)
class SeatState(SecretState):
    """Attributes:
    seed, veil_bits: of veils.
    held: counts with veils, not yet fetched; ``counted``: whether there are any.
    cipher, key: the bank's.
    tree: number of the tree that grows; ``n_stored``: rows of it whose gradients have arrived.
    last_node: of the growing tree; -1: the root is not summed yet.
    node_of: of each row.
    pending_tree, pending: cuts told, which the bank has not asked about.
    tested: rows whose routes were told.
    """

    phase: str = "aligned"
    seed: bytes = b""
    veil_bits: int = 0
    features: tuple[FeatureFields, ...] = ()
    held: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    counted: bool = False
    cipher: str = ""
    key: bytes = b""
    tree: int = -1
    n_stored: int = 0
    last_node: int = -1
    ciphertexts: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0), dtype=np.uint8))
    node_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    pending_tree: int = -1
    pending: tuple[CutFields, ...] = ()
    tested: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
