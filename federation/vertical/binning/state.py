"""What a host remembers between two messages of joint binning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.state import SecretState


@dataclass(slots=True, repr=False)
class BinningState(SecretState):
    """Attributes:
    n_fit: rows that carry labels; the first of the run.
    ciphertexts: their labels, shape ``(n_fit, ciphertext_bytes)``; the first ``n_stored`` have arrived.
    order: feature at each place of the order shown to the guest.
    epsilon: of the noise, per feature; 0 for none.
    noise: of goods and of bads of each prebin of each feature of the table, shape ``(2, n_prebins)``; drawn once.
    kept: the outcome, once sealed (``kept.KeptBins.to_json``).
    """

    phase: str = "closed"
    cipher: str = ""
    key: bytes = b""
    slot: int = 0
    per_ciphertext: int = 0
    offset: int = 0
    n_fit: int = 0
    n_stored: int = 0
    ciphertexts: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0), dtype=np.uint8))
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    epsilon: float = 0.0
    noise: NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, 0), dtype=np.int64))
    kept: bytes = b""
