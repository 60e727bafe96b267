"""One TOML file says what a run is: who takes part, with which data, which model, which key.

Unknown keys are errors, paths are relative to the file, and each party reads only its own section (``Party``).
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, ValidationError, model_validator

from federation.ciphers.paillier import MINIMUM_KEY_BITS
from federation.errors import KeyTooShort
from lab.config_errors import config_error, unknown_key, wrong_keys
from lab.config_party import Party
from lab.config_sections import (
    CipherSection,
    HubSection,
    RunSection,
    ScorecardSection,
    Section,
    SplitSection,
    Transport,
)
from lab.data.connectors.location import below
from lab.errors import ConfigError
from models.boosting.parameters import BoostingParameters
from models.errors import LianmoError


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
            raise wrong_keys([unknown_key(("boosting", key), known)])
    try:
        config.parameters  # noqa: B018 - checks ranges
    except TypeError:
        raise wrong_keys([("boosting: a value has a wrong type", "boosting：取值类型有误")]) from None
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
