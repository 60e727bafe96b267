"""What a data node allows, whoever asks: checked at the node, before any ciphertext is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from federation.ciphers.suite import CipherRules
from federation.errors import LocalProtocolError
from models.reasons import Words


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """Attributes:
    min_rows_per_bin: fewest rows behind any sum or difference of sums shown (``models.boosting.cells``), and of each
        bin.
    min_rows: fewest applicants of a run.
    max_blinded_ids: most identifiers evaluated in one training session or one scoring message, against guessing.
    cipher: which keys are accepted.
    monotone_constraints: own feature → 1: predictions must rise with it, -1: fall. The guest learns of each cut shown
        which way it must lie, and no name.
    share_stability: whether the guest is told how far this party's features of the model have moved, unnamed.
    reasons: own feature → words anyone may read. None: no part of a score is shown by feature, and nothing is named;
        features without words go by number.
    """

    min_rows_per_bin: int = 10
    min_rows: int = 100
    max_blinded_ids: int = 2_000_000
    cipher: CipherRules = field(default_factory=CipherRules)
    monotone_constraints: Mapping[str, int] = field(default_factory=dict)
    share_stability: bool = True
    reasons: Mapping[str, Words] | None = None

    def check_rows(self, n_rows: int) -> None:
        """Raises ``LocalProtocolError`` (``too_few_rows``) for fewer applicants than ``min_rows``, or none."""
        if n_rows < max(1, self.min_rows):
            raise LocalProtocolError(
                "too_few_rows",
                f"The run would use {n_rows} rows; this party's minimum is {self.min_rows}.",
                f"本次运行仅使用 {n_rows} 行，低于本方下限 {self.min_rows}。",
            )
