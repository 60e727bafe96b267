"""A party's own section, which no other party reads: its data, and what it allows."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, field_validator

from federation.ciphers.paillier import MINIMUM_KEY_BITS
from federation.ciphers.suite import CipherRules
from federation.policy import HostPolicy, everybody
from federation.vertical.binning.prebinning import Prebinning
from lab.config_sections import Section
from lab.data.connectors.location import Data
from models.reasons import MOST_LETTERS, Words, fit_to_show

#: What a party may be called.
PARTY_NAME: Final = r"^[a-z][a-z0-9]*(:[a-z0-9][a-z0-9_-]*)?$"


class Party(Section):
    """One party's own data and rules.

    Attributes:
        party: its name in messages; the guest's is free, a host's looks like ``host:tax``.
        data: CSV or Parquet file with one row per applicant, or a ``Location``: a table, or some rows.
        id: column of identifiers.
        label: guest only: column with 1 = default, 0 = not; a number under another objective.
        weight: guest only: column with the weight of each row, above 0; all rows weigh 1 by default.
        columns: features to use; all others by default.
        drop: columns that are not features.
        min_rows_per_bin: host: fewest rows behind any sum it shows.
        min_rows: host: fewest applicants of a run.
        monotone_constraints: host: feature → 1: predictions must rise with it, -1: fall; the guest's stand in
            ``[boosting]``.
        share_stability: host: tell the bank how far this party's features of the model have moved, unnamed.
        share_levels: host: tell the bank which unnamed cuts are levels of one category, so that trees may unite them.
        node: folder of the party's node (``lab.governance``). With keys in it, the party keeps an audit log there. Of a
            host nothing is used that its gate does not admit.
        project: host: under which the node is asked; goes with ``node``.
        reasons: feature → its words in English and in Chinese, for reasons of scores. A host that has this key, even
            empty, shows when asked what each of its features adds to a score; those without words go by number.
        round_parts: host: scorecards: points to whose nearest multiple its part of a score is rounded before the bank
            is told; 0: not rounded, and the bank can tell the bins (experiment 0018).
        shadow: host: whether a model on trial may ask about applicants although nobody is told what it says; by
            default only where the project's terms list the algorithm ``shadow``.
        cut_points, special_codes, trends: scorecards: column → cut points by hand; values kept apart; how to merge it.
        insecure_allow_plaintext: host: take part in a run that does not encrypt.
        insecure_allow_label_hints: guest: sample rows by gradient (goss), from which hosts can guess labels.
    """

    party: str = Field(pattern=PARTY_NAME, max_length=64)
    data: Data
    id: str = "id"
    label: str | None = None
    weight: str | None = None
    columns: tuple[str, ...] | None = None
    drop: tuple[str, ...] = ()
    min_rows_per_bin: int = Field(default=10, ge=0)
    min_rows: int = Field(default=100, ge=1)
    monotone_constraints: dict[str, Literal[-1, 0, 1]] = Field(default_factory=dict)
    share_stability: bool = True
    share_levels: bool = True
    node: Path | None = None
    project: str = Field(default="", max_length=64)
    reasons: dict[str, Words] | None = None
    round_parts: float = Field(default=1.0, ge=0, le=1000, allow_inf_nan=False)
    shadow: bool | None = None
    cut_points: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    special_codes: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    trends: dict[str, str] = Field(default_factory=dict)
    insecure_allow_plaintext: bool = False
    insecure_allow_label_hints: bool = False

    @property
    def prebinning(self) -> Prebinning:
        """How this party cuts its own features for a scorecard."""
        return Prebinning(cut_points=self.cut_points, special_codes=self.special_codes, trends=self.trends)

    @property
    def policy(self) -> HostPolicy:
        """What this party allows as a host."""
        rules = CipherRules(MINIMUM_KEY_BITS, self.insecure_allow_plaintext)
        return HostPolicy(
            min_rows_per_bin=self.min_rows_per_bin,
            min_rows=self.min_rows,
            cipher=rules,
            monotone_constraints=self.monotone_constraints,
            share_stability=self.share_stability,
            share_levels=self.share_levels,
            reasons=self.reasons,
            round_parts=self.round_parts,
            permit_shadow=everybody if self.shadow else None,
        )

    @field_validator("reasons")
    @classmethod
    def _words_fit(cls, reasons: dict[str, Words] | None) -> dict[str, Words] | None:
        if not all(map(fit_to_show, (reasons or {}).values())):
            raise ValueError(
                f"words must be plain text of at most {MOST_LETTERS} characters that does not begin with = + - @ / "
                f"说明文字应为不超过 {MOST_LETTERS} 个字符的纯文本，且不得以 = + - @ 开头"
            )
        return reasons
