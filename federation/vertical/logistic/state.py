"""What a host remembers between two messages of a joint scorecard."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.state import SecretState


@dataclass(slots=True, repr=False)
class LogisticState(SecretState):
    """Attributes:
    n_fit: rows that are fitted; the first of the run.
    n_values: numbers in a row's derivatives.
    mask_key: private key for masks.
    shared, adds: per other host, the key shared with it, and whether this host adds the masks made of it.
    exponent: of the host's largest WOE, as it was told.
    places: of the host's features, those that the fit still uses.
    round: rounds begun, counted by the margins shown.
    ciphertexts: this round's rows, shape ``(n_kinds, n_fit, ciphertext_bytes)``; the first ``n_stored`` have arrived.
    """

    phase: str = "closed"
    model_id: str = ""
    cipher: str = ""
    key: bytes = b""
    n_fit: int = 0
    n_values: int = 0
    max_margins: int = 0
    mask_key: bytes = b""
    shared: tuple[bytes, ...] = ()
    adds: tuple[bool, ...] = ()
    exponent: int = 0
    places: tuple[int, ...] = ()
    round: int = 0
    n_stored: int = 0
    ciphertexts: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 0, 0), dtype=np.uint8))
    n_veiled: int = 0
    n_paired: int = 0
    seeds: tuple[bytes, ...] = ()
    shares: tuple[bytes, ...] = ()
    sums: tuple[bytes, ...] = ()
    half: bytes = b""
