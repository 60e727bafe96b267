"""What a data node allows, whoever asks: checked at the node, before any ciphertext is made."""

from __future__ import annotations

from dataclasses import dataclass, field

from federation.ciphers.suite import CipherRules
from federation.errors import LocalProtocolError


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

    def check_rows(self, n_rows: int) -> None:
        """Raises ``LocalProtocolError`` (``too_few_rows``) for fewer applicants than ``min_rows``, or none."""
        if n_rows < max(1, self.min_rows):
            raise LocalProtocolError(
                "too_few_rows",
                f"The run would use {n_rows} rows; this party's minimum is {self.min_rows}.",
                f"本次运行仅使用 {n_rows} 行，低于本方下限 {self.min_rows}。",
            )
