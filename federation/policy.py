"""What a data node allows, whoever asks: checked at the node, before any ciphertext is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.ciphers.suite import CipherRules


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Attributes:
    min_rows_per_bin: fewest rows behind any sum or difference of sums shown (``models.cells``); also of each bin.
    min_rows: fewest applicants of a run.
    max_blinded_ids: most identifiers evaluated in one training session or one scoring message, against guessing.
    cipher: which keys are accepted.
    """

    min_rows_per_bin: int = 10
    min_rows: int = 100
    max_blinded_ids: int = 2_000_000
    cipher: CipherRules = field(default_factory=CipherRules)
