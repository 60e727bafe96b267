"""One TOML file says what a run is: who takes part, with which data, which model, which key.

Unknown keys are errors, paths are relative to the file, and each party reads only its own section (``Party``).
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from federation.ciphers.paillier import MINIMUM_KEY_BITS
from federation.ciphers.suite import CipherRules
from federation.errors import KeyTooShort
from federation.policy import HostPolicy, everybody
from federation.vertical.binning.prebinning import Prebinning
from lab.data.connectors.location import Data, below
from lab.errors import ConfigError
from models.boosting.parameters import BoostingParameters
from models.errors import LianmoError
from models.reasons import MOST_LETTERS, Words, fit_to_show
from models.scorecard.card import ScorecardRules
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import ANY_VIF, SelectionRules
from models.woe.fitting import WoeRules

#: What a party may be called.
PARTY_NAME: Final = r"^[a-z][a-z0-9]*(:[a-z0-9][a-z0-9_-]*)?$"

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


class Config(Section):
    """A whole run: of boosted trees, or of a scorecard if there is a section for it.

    Attributes:
        hosts: their sections, if all parties are on this machine; else there is a ``hub``.
    """

    run: RunSection = RunSection()
    boosting: dict[str, Any] = Field(default_factory=dict)
    scorecard: ScorecardSection | None = None
    cipher: CipherSection = CipherSection()
    split: SplitSection = SplitSection()
    guest: Party
    hosts: tuple[Party, ...] = ()
    hub: HubSection | None = None

    @property
    def host_names(self) -> tuple[str, ...]:
        """Of all hosts, wherever their sections are."""
        return self.hub.hosts if self.hub else tuple(host.party for host in self.hosts)

    @property
    def transport(self) -> Transport:
        """How the parties meet."""
        return "hub" if self.hub else self.run.transport

    @property
    def lead(self) -> str:
        """Who leads the run."""
        return self.guest.party

    @property
    def party_names(self) -> tuple[str, ...]:
        """Of those whose sections are here, the lead first."""
        return tuple(party.party for party in self.parties)

    @property
    def n_steps(self) -> int:
        """Trees, where there are any."""
        return 0 if self.scorecard else self.parameters.n_estimators

    @property
    def parameters(self) -> BoostingParameters:
        return BoostingParameters(**self.boosting)

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters of the model, as they are recorded."""
        return self.scorecard.model_dump() if self.scorecard else self.boosting

    @property
    def seed(self) -> int:
        return self.scorecard.random_state if self.scorecard else self.parameters.random_state

    @property
    def parties(self) -> tuple[Party, ...]:
        """Whose sections are here, guest first."""
        return (self.guest, *self.hosts)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [self.guest.party, *self.host_names]
        if bool(self.hub) == bool(self.hosts):
            raise ValueError("[[hosts]] or [hub], one of them / [[hosts]] 与 [hub] 须且只能有其一")
        if self.run.transport == "hub":
            raise ValueError("transport hub follows from [hub]: leave it out / transport = hub 由 [hub] 决定，请勿填写")
        if len(set(names)) != len(names):
            raise ValueError("party names must differ / 各方名称不得重复")
        if self.guest.label is None:
            raise ValueError("guest.label is missing: the column with the outcome / 缺少 guest.label（标签列）")
        if self.guest.monotone_constraints:
            raise ValueError("the guest's monotone_constraints belong into [boosting] / 银行方的应写在 [boosting] 中")
        if self.guest.project or any(bool(host.node) != bool(host.project) for host in self.hosts):
            raise ValueError(
                "node and project go together, at hosts; a guest has no project / "
                "数据方的 node 与 project 须同时给出；银行方不设 project"
            )
        if any(host.label is not None or host.weight is not None for host in self.hosts):
            raise ValueError("a host has no label and no weight / 数据方不应设置 label 与 weight")
        return self

    def no_features(self) -> Self:
        """The same, the columns that only divide rows among those that are no features."""
        names = [n for n in (self.split.holdout_column, self.split.group) if n and n not in self.guest.drop]
        return self.model_copy(update={"guest": self.guest.model_copy(update={"drop": (*self.guest.drop, *names)})})


def load_config(path: Path) -> Config:
    """Read and check a run's file.

    Raises:
        ConfigError: the file is absent, no TOML, or has unknown, missing or wrong keys; each is named.
        KeyTooShort: ``cipher.key_bits`` under 2,048.
    """
    return parse_config(read_config(path), path.parent)


def read_config(path: Path) -> dict[str, Any]:
    """The content of a run's file, unchecked. Raises ``ConfigError``: ``config_missing``, ``config_syntax``."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("config_missing", f"Cannot read {path}.", f"无法读取 {path}。") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            "config_syntax", f"{path} is not TOML: {error}.", f"{path} 不是有效的 TOML：{error}。"
        ) from error


def parse_config(data: dict[str, Any], base: Path) -> Config:
    """A run from the content of its file; relative paths are taken from ``base``. Raises as ``load_config``."""
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise config_error(error, _KEYS) from None
    known = list(BoostingParameters.__dataclass_fields__)
    for key in config.boosting:
        if key not in known:
            raise _wrong([_unknown(("boosting", key), known)])
    try:
        config.parameters  # noqa: B018 - checks ranges
    except TypeError:
        raise _wrong([("boosting: a value has a wrong type", "boosting：取值类型有误")]) from None
    except LianmoError as error:
        raise ConfigError("bad_parameter", f"[boosting] {error.english}", f"[boosting] {error.chinese}") from None
    if config.parameters.goss and not config.guest.insecure_allow_label_hints:
        raise ConfigError(
            "label_hints",
            "goss tells hosts which rows have large gradients: on real data a host guessed labels from that with an "
            "AUC of 0.84 (experiment 0003). Use bagging_fraction, or set guest.insecure_allow_label_hints = true.",
            "goss 会让数据方知道哪些行梯度较大：实测数据方据此推断标签的 AUC 达 0.84（实验 0003）。"
            "请改用 bagging_fraction，或设置 guest.insecure_allow_label_hints = true。",
        )
    if config.scorecard and config.parameters.objective != "binary":
        raise ConfigError(
            "scorecard_objective",
            "[scorecard] is for a 0/1 outcome: leave out [boosting] objective, or [scorecard].",
            "[scorecard] 仅适用于 0/1 标签：请去掉 [boosting] objective，或去掉 [scorecard]。",
        )
    if config.cipher.name == "paillier" and config.cipher.key_bits < MINIMUM_KEY_BITS:
        raise KeyTooShort(config.cipher.key_bits, MINIMUM_KEY_BITS)
    guest, *hosts = (
        p.model_copy(update={"data": below(p.data, base), "node": p.node and (base / p.node).resolve()})
        for p in config.parties
    )
    earlier = config.run.continues and (base / config.run.continues).resolve()
    paths = {"directory": (base / config.run.directory).resolve(), "continues": earlier}
    run = config.run.model_copy(update=paths)
    hub = config.hub and config.hub.model_copy(update={"node": (base / config.hub.node).resolve()})
    return config.model_copy(update={"run": run, "guest": guest, "hosts": tuple(hosts), "hub": hub}).no_features()


def config_error(error: ValidationError, sections: Mapping[str, type[Section]]) -> ConfigError:
    """Every wrong key by name, and what was meant. ``sections``: name → its keys; "" → the whole file's."""
    texts = []
    for problem in error.errors(include_url=False, include_input=False):
        where = tuple(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            texts.append(_unknown(where, _keys_beside(where, sections)))
        elif problem["type"] == "missing":
            name = ".".join(where)
            texts.append((f"{name} is missing", f"缺少 {name}"))
        else:
            name = ".".join(where)
            texts.append((f"{name}: {problem['msg']}", f"{name}：取值有误（{problem['msg']}）"))
    return _wrong(texts)


_KEYS: Final[dict[str, type[Section]]] = {
    "": Config,
    "run": RunSection,
    "cipher": CipherSection,
    "split": SplitSection,
    "scorecard": ScorecardSection,
    "guest": Party,
    "hosts": Party,
    "hub": HubSection,
}


def _keys_beside(where: tuple[str, ...], sections: Mapping[str, type[Section]]) -> list[str]:
    section = sections.get(where[0], sections[""]) if len(where) > 1 else sections[""]
    return list(section.model_fields)


def _unknown(where: tuple[str, ...], known: list[str]) -> tuple[str, str]:
    name = ".".join(where)
    close = difflib.get_close_matches(where[-1], known, n=1)
    meant_en, meant_zh = (f"; did you mean {close[0]}?", f"，是否为 {close[0]}？") if close else ("", "")
    return f"unknown key {name}{meant_en}", f"未知的配置项 {name}{meant_zh}"


def _wrong(texts: list[tuple[str, str]]) -> ConfigError:
    english = "; ".join(en for en, _ in texts)
    chinese = "；".join(zh for _, zh in texts)
    return ConfigError("config_wrong", f"The configuration has errors: {english}.", f"配置文件有误：{chinese}。")
