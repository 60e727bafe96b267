"""Sections of a run's file: how it runs, with which cipher, on which rows, which scorecard, through which hub."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from federation.ciphers.paillier import MINIMUM_KEY_BITS
from federation.ciphers.suite import CipherRules
from models.scorecard.card import ScorecardRules
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import ANY_VIF, SelectionRules
from models.woe.fitting import WoeRules

#: "hub" is not chosen but follows from a section ``[hub]``.
Transport = Literal["memory", "relay", "flower", "hub"]
Workers = Literal["loky", "ray", "dask"]


class Section(BaseModel):
    """A table of the file: frozen, nothing unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RunSection(Section):
    """Attributes:
    purpose: what the model is for, in the bank's words; stands in the model document.
    directory: where the run is written, whole or not at all.
    continues: directory of an earlier run of trees by the same parties; trees are added to its model, up to
        ``n_estimators`` in all.
    party_seconds: how long a party may take to come.
    answer_seconds: how long a party may take to answer one message.
    n_jobs: processes of each party for its encrypted work; -1: one per core.
    workers: where they run: on this machine (loky), or on the party's own Ray or Dask cluster.
    checkpoint_share: share of the time that checkpoints of trees may take at most; 1: after every tree, 0: none.
    """

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    purpose: str = Field(default="", max_length=2000)
    directory: Path = Path("runs/run")
    continues: Path | None = None
    transport: Transport = "relay"
    party_seconds: float = Field(default=60.0, gt=0)
    answer_seconds: float = Field(default=600.0, gt=0)
    n_jobs: int = Field(default=1, ge=-1)
    workers: Workers = "loky"
    checkpoint_share: float = Field(default=0.03, ge=0, le=1)

    @model_validator(mode="after")
    def _cluster_is_used(self) -> Self:
        if self.workers != "loky" and self.n_jobs == 1:
            raise ValueError("workers other than loky need n_jobs, or -1 for all / 使用集群须设置 n_jobs（-1 为全部）")
        return self


class CipherSection(Section):
    """Attributes:
    insecure_allow_plaintext: accept the cipher ``plain``, which does not encrypt; every party must say so itself.
    """

    name: Literal["paillier", "plain"] = "paillier"
    key_bits: int = 2048
    insecure_allow_plaintext: bool = False

    @property
    def rules(self) -> CipherRules:
        return CipherRules(MINIMUM_KEY_BITS, self.insecure_allow_plaintext)


class SplitSection(Section):
    """Which of the common rows fit, watch and test the model.

    Attributes:
        holdout: share of rows held out for testing, drawn at random within each class, or each tenth of amounts.
        valid: share of the remaining rows that only watch, for early stopping; of a run over sites, by which each site
            chooses how to use the model.
        time_column, holdout_from: out of time instead: rows with at least this value are held out; the column is no
        feature.
        holdout_column: which rows are held out, by hand: 1 there, 0 elsewhere; the column is no feature.
        group: column of the bank's file, no feature: all rows of a group, such as an owner, stay in one part.
    """

    holdout: float = Field(default=0.3, gt=0, lt=1)
    valid: float = Field(default=0.0, ge=0, lt=1)
    time_column: str | None = None
    holdout_from: float | None = None
    holdout_column: str | None = None
    group: str | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.time_column is None) != (self.holdout_from is None):
            raise ValueError("time_column and holdout_from go together / time_column 与 holdout_from 须同时给出")
        if self.time_column and self.holdout_column:
            raise ValueError("time_column or holdout_column, not both / time_column 与 holdout_column 只能取其一")
        return self


class ScorecardSection(Section):
    """A joint scorecard instead of trees: how bins are merged, which features are used, how they are fitted, points.

    Attributes:
        method, max_bins, min_bin_share: ``models.woe.fitting.WoeRules``.
        min_information_value, max_single_auc, max_features, max_correlation, max_vif, max_p_value, right_signs,
            max_stability_index: ``models.scorecard.selection.SelectionRules``.
        l1, l2, nonpositive: ``models.scorecard.logistic.LogisticRules``.
        base_points, base_odds, points_to_double, rounding: ``models.scorecard.card.ScorecardRules``.
    """

    method: Literal["as_is", "tree", "ascending", "descending", "auto", "peak", "valley"] = "auto"
    max_bins: int = Field(default=8, ge=1, le=253)
    min_bin_share: float = Field(default=0.05, ge=0, le=0.5)
    min_information_value: float = Field(default=0.02, ge=0)
    max_single_auc: float = Field(default=0.9, ge=0.5, le=1)
    max_features: int = Field(default=1000, ge=1, le=1000)
    max_correlation: float = Field(default=0.9, ge=0, le=1)
    max_vif: float = Field(default=10.0, ge=1, le=ANY_VIF)
    max_p_value: float = Field(default=1.0, ge=0, le=1)
    right_signs: bool = False
    max_stability_index: float = Field(default=100.0, ge=0, le=100)
    l1: float = Field(default=0.0, ge=0)
    l2: float = Field(default=0.0, ge=0)
    nonpositive: bool = False
    base_points: float = 600.0
    base_odds: float = Field(default=20.0, gt=0)
    points_to_double: float = Field(default=20.0, gt=0)
    rounding: bool = True
    random_state: int = Field(default=0, ge=0)

    @property
    def binning(self) -> WoeRules:
        return WoeRules(method=self.method, max_bins=self.max_bins, min_bin_share=self.min_bin_share)

    @property
    def selection(self) -> SelectionRules:
        return SelectionRules(
            min_information_value=self.min_information_value,
            max_single_auc=self.max_single_auc,
            max_features=self.max_features,
            max_correlation=self.max_correlation,
            max_vif=self.max_vif,
            max_p_value=self.max_p_value,
            right_signs=self.right_signs,
            max_stability_index=self.max_stability_index,
        )

    @property
    def fitting(self) -> LogisticRules:
        return LogisticRules(l1=self.l1, l2=self.l2, nonpositive=self.nonpositive)

    @property
    def points(self) -> ScorecardRules:
        return ScorecardRules(
            base_points=self.base_points,
            base_odds=self.base_odds,
            points_to_double=self.points_to_double,
            rounding=self.rounding,
        )


class HubSection(Section):
    """The hosts are nodes of their own, met at a hub, with their sections in their own folders.

    Attributes:
        node: the bank's folder, from which it joined the hub.
        hosts: who else takes part.
    """

    node: Path = Path("node")
    hosts: tuple[str, ...] = Field(min_length=1)
