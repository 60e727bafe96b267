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
    continues: digest of the half that trees are added to; empty: none.
    tree, level: where training stands; ``level`` counts the answers with sums in this tree.
    n_shown: nodes of this tree that were offered for cutting.
    order: candidate at each place of the order shown to the guest in this tree.
    carrying: rows that take part in this tree, ascending; all of them fit.
    ciphertexts: their gradients, shape ``(len(carrying), ciphertext_bytes)``; the first ``n_stored`` have arrived.
    node_of: tree node each row is in.
    last_node: highest number of a node so far in this tree.
    masks: what was shown for each living node, as (node, packed mask).
    offered: nodes that may be cut now, each once.
    splits: cuts of the model so far, as (feature, code, missing_left, also).
    kept: the newest checkpoint, as ``HostCheckpoint.dump`` wrote it.
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
    max_cat_to_onehot: int = 0
    n_estimators: int = 0
    max_depth: int = 0
    num_leaves: int = 0
    continues: str = ""
    feature_fraction: float = 1.0
    random_state: int = 0
    tree: int = -1
    level: int = 0
    n_shown: int = 0
    last_node: int = 0
    n_stored: int = 0
    carrying: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    ciphertexts: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0), dtype=np.uint8))
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    node_of: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    masks: tuple[tuple[int, bytes], ...] = ()
    offered: tuple[int, ...] = ()
    splits: tuple[tuple[int, int, bool, tuple[int, ...]], ...] = ()
    half: bytes = b""
    kept: bytes = b""
