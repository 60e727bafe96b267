"""What a host remembers between two messages of joint boosting."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.state import SecretState


@dataclass(slots=True, repr=False)
class BoostingState(SecretState):
    """Attributes:
    n_fit: rows that carry gradients; the first of the run.
    order: candidate at each place of the order shown to the guest in this tree.
    ciphertexts: this tree's gradients, one after another.
    node_of: tree node each row is in.
    masks: nodes → what was shown for them, as (node, packed mask).
    splits: cuts of the model so far, as (feature, code, missing_left).
    """

    phase: str = "closed"
    model_id: str = ""
    cipher: str = ""
    key: bytes = b""
    slot: int = 0
    pairs: int = 0
    n_fit: int = 0
    max_bin: int = 0
    min_child_samples: int = 0
    tree: int = -1
    n_stored: int = 0
    ciphertexts: bytes = b""
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    node_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    masks: tuple[tuple[int, bytes], ...] = ()
    splits: tuple[tuple[int, int, bool], ...] = ()
    half: bytes = b""
