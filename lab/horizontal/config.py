"""One TOML file for a run over sites: what they agree on, which model, who takes part (``lab.config`` for the rest)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from federation.horizontal.aggregation.rules import FEWEST_SITES, MOST_SITES, SiteRules
from federation.horizontal.boosting.coordinator import FIXED
from federation.horizontal.boosting.site import MOST_ROWS
from federation.horizontal.closing.messages import Kind
from lab.config_errors import config_error
from lab.config_party import PARTY_NAME, Party
from lab.config_sections import ScorecardSection, Section, SplitSection, Transport
from lab.data.connectors.location import below
from lab.errors import ConfigError
from lab.horizontal.standard import StandardSection
from lab.hybrid.section import HybridSection, check_hybrid
from models.averaging import estimators
from models.boosting.parameters import BoostingParameters
from models.errors import LianmoError

#: What tells a run over sites from one of a bank and its data nodes.
MARK: Final = "horizontal"


class HorizontalRun(Section):
    """As ``lab.config_sections.RunSection``, as far as runs over sites have it.

    Attributes:
        answer_seconds: how long a site may take to answer one message; one that takes longer is gone without.
        checkpoint_share: of trees, as there. 0: none, and a run that too few sites are left for keeps the trees it has.
    """

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    purpose: str = Field(default="", max_length=2000)
    directory: Path = Path("runs/run")
    transport: Literal["memory", "relay", "flower"] = "relay"
    party_seconds: float = Field(default=60.0, gt=0)
    answer_seconds: float = Field(default=600.0, gt=0)
    checkpoint_share: float = Field(default=0.03, ge=0, le=1)


class Coordinator(Section):
    """Who sums: no data of its own, so no data node. ``party``: its name in messages."""

    party: str = Field(default="coordinator", pattern=PARTY_NAME, max_length=64)
    node: None = None


class HorizontalSection(Section):
    """How sites work together.

    Attributes:
        aggregation: ``masked`` (pairwise masks) or ``shared_key`` (ciphertexts that sites open together); the second
            has room for small numbers only: averaging, not trees or scorecards.
        min_sites: fewest sites in any sum, 3 or more.
        threshold: sites that must agree to open a sum; 0: over two thirds.
        most_rows: of one site; sums are proven to fit for so many.
        min_rows_per_bin: fewest rows of a joint bin, over all sites.
    """

    coordinator: str = Field(default="coordinator", pattern=PARTY_NAME, max_length=64)
    aggregation: Literal["masked", "shared_key"] = "masked"
    min_sites: int = Field(default=FEWEST_SITES, le=MOST_SITES)
    threshold: int = Field(default=0, ge=0, le=MOST_SITES)
    most_rows: int = Field(default=2**20, ge=1, le=MOST_ROWS)
    min_rows_per_bin: int = Field(default=20, ge=1)


class AveragingSection(Section):
    """A scikit-learn model by federated averaging.

    Attributes:
        model: scikit-learn's name; ``settings``: its parameters.
        rounds: of averaging; ``local_epochs``: passes of a site over its rows in each (LogisticRegression: iterations).
        weights: ``rows``, or ``equal``: then rounds go on without sites that leave.
        strategy: Flower's name; ``strategy_settings``: its parameters.
        max_bin: most joint bins of a number, from which inputs are made.
    """

    model: str = "LogisticRegression"
    settings: dict[str, Any] = Field(default_factory=dict)
    rounds: int = Field(default=10, ge=1, le=10_000)
    local_epochs: int = Field(default=5, ge=1, le=10_000)
    weights: Literal["rows", "equal"] = "rows"
    strategy: str = "FedAvg"
    strategy_settings: dict[str, float] = Field(default_factory=dict)
    max_bin: int = Field(default=32, ge=2, le=253)
    random_state: int = Field(default=0, ge=0)


class SitesHub(Section):
    """Sites are nodes of their own, met at a hub.

    Attributes:
        node: the coordinator's folder, from which it joined.
        sites: who takes part; left out where ``[hybrid]`` says so.
    """

    node: Path = Path("node")
    sites: tuple[str, ...] = Field(default=(), max_length=MOST_SITES)


class Plan(Section):
    """What is trained, wherever the sites are: trees unless there is a section for a scorecard or averaging."""

    horizontal: HorizontalSection
    standard: StandardSection
    boosting: dict[str, Any] = Field(default_factory=dict)
    scorecard: ScorecardSection | None = None
    averaging: AveragingSection | None = None
    hybrid: HybridSection | None = None
    split: SplitSection = SplitSection()

    @property
    def kind(self) -> Kind:
        return "averaged" if self.averaging else "scorecard" if self.scorecard else "trees"

    @property
    def parameters(self) -> BoostingParameters:
        """Of trees; rows of leaves are not counted, so their least number is bounded by ``min_child_weight``."""
        return BoostingParameters(**{"min_child_samples": FIXED["min_child_samples"], **self.boosting})

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters of the model, as they are recorded."""
        section = self.averaging or self.scorecard
        return section.model_dump() if section else self.boosting

    @property
    def seed(self) -> int:
        section = self.averaging or self.scorecard
        return section.random_state if section else self.parameters.random_state

    @property
    def rules(self) -> SiteRules:
        return SiteRules(self.horizontal.min_sites)

    @property
    def n_steps(self) -> int:
        """Trees or rounds, where their number is known before."""
        if self.averaging:
            return self.averaging.rounds
        return 0 if self.scorecard else self.parameters.n_estimators


class HorizontalConfig(Plan):
    """A whole run.

    Attributes:
        sites, hosts: their sections, if all are on this machine; else there is a ``hub``. Hosts are the data nodes of
            ``hybrid``.
    """

    run: HorizontalRun = HorizontalRun()
    sites: tuple[Party, ...] = ()
    hosts: tuple[Party, ...] = ()
    hub: SitesHub | None = None

    @property
    def plan(self) -> Plan:
        """Without who and where."""
        return Plan(**{name: getattr(self, name) for name in Plan.model_fields})

    @property
    def site_names(self) -> tuple[str, ...]:
        """Of all sites, sorted, wherever their sections are."""
        if self.hybrid:
            return self.hybrid.banks
        return tuple(sorted(self.hub.sites if self.hub else (site.party for site in self.sites)))

    @property
    def host_names(self) -> tuple[str, ...]:
        """Of all data nodes, sorted, wherever their sections are."""
        return self.hybrid.hosts if self.hybrid else ()

    @property
    def transport(self) -> Transport:
        """How the parties meet."""
        return "hub" if self.hub else self.run.transport

    @property
    def lead(self) -> str:
        """Who leads the run."""
        return self.horizontal.coordinator

    @property
    def party_names(self) -> tuple[str, ...]:
        return (self.lead, *self.site_names, *self.host_names)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.hub) == bool(self.sites) or (self.hub and self.hosts):
            raise ValueError("[[sites]] or [hub], one of them / [[sites]] 与 [hub] 须且只能有其一")
        if len(set(self.party_names)) < len(self.party_names):
            raise ValueError("party names must differ / 各方名称不得重复")
        if (self.boosting and (self.scorecard or self.averaging)) or (self.scorecard and self.averaging):
            raise ValueError("[boosting], [scorecard] or [averaging], one of them / 三者只能取其一")
        for site in self.sites:
            if site.label is None:
                raise ValueError(f"{site.party}: label is missing: the column with the outcome / 缺少 label（标签列）")
            if site.weight or site.monotone_constraints or site.columns:
                raise ValueError(
                    f"{site.party}: weight, monotone_constraints and columns are not for sites / 站点不支持这些配置"
                )
            if bool(site.node) != bool(site.project):
                raise ValueError(f"{site.party}: node and project go together / node 与 project 须同时给出")
        if self.hub and bool(self.hub.sites) == bool(self.hybrid):
            raise ValueError("[hub] names the sites, unless [hybrid] does / 站点由 [hub] 或 [hybrid] 之一列出")
        here = None if self.hub else ({s.party for s in self.sites}, {h.party for h in self.hosts})
        check_hybrid(self.hybrid, self.hosts, here)
        return self


def is_horizontal(data: dict[str, Any]) -> bool:
    """Whether a run's file is one over sites."""
    return MARK in data


def parse_horizontal(data: dict[str, Any], base: Path) -> HorizontalConfig:
    """A run from the content of its file; relative paths are taken from ``base``.

    Raises:
        ConfigError: unknown, missing or wrong keys, each named; ``too_few_sites``; ``shared_key_room``.
    """
    try:
        config = HorizontalConfig.model_validate(data)
    except ValidationError as error:
        raise config_error(error, _KEYS) from None
    _check_model(config)
    if config.hybrid:
        config.hybrid.check_model(scorecard=config.scorecard is not None, averaging=config.averaging is not None)
    config.rules.check_sites(len(config.site_names))
    if config.horizontal.aggregation == "shared_key" and not config.averaging:
        raise ConfigError(
            "shared_key_room",
            "Sums under a shared key have room for 31 bits; trees and scorecards need over 52. Use masked sums, or "
            "[averaging].",
            "共享密钥求和仅容 31 位，而树模型与评分卡需要 52 位以上。请改用 masked，或使用 [averaging]。",
        )
    sites, hosts = (
        tuple(
            p.model_copy(update={"data": below(p.data, base), "node": p.node and (base / p.node).resolve()})
            for p in parties
        )
        for parties in (config.sites, config.hosts)
    )
    run = config.run.model_copy(update={"directory": (base / config.run.directory).resolve()})
    hub = config.hub and config.hub.model_copy(update={"node": (base / config.hub.node).resolve()})
    return config.model_copy(update={"run": run, "sites": sites, "hosts": hosts, "hub": hub})


_KEYS: Final[dict[str, type[Section]]] = {
    "": HorizontalConfig,
    "run": HorizontalRun,
    "horizontal": HorizontalSection,
    "standard": StandardSection,
    "scorecard": ScorecardSection,
    "averaging": AveragingSection,
    "split": SplitSection,
    "hybrid": HybridSection,
    "sites": Party,
    "hosts": Party,
    "hub": SitesHub,
}


def _check_model(config: HorizontalConfig) -> None:
    """Raises ``ConfigError`` (``bad_parameter``) for parameters that do not fit the model."""
    try:
        config.rules  # noqa: B018 - checks the floor
        parameters = config.parameters
        wrong = [name for name, value in FIXED.items() if getattr(parameters, name) != value]
        if averaging := config.averaging:
            from federation.flower.strategies import strategy_of  # a CPU second of Flower: only where it is used

            estimators.check_settings(averaging.model, averaging.settings)
            strategy_of(averaging.strategy, averaging.strategy_settings)
    except TypeError:
        raise ConfigError("bad_parameter", "[boosting]: unknown, or a wrong type.", "[boosting]：参数有误。") from None
    except LianmoError as error:
        raise ConfigError("bad_parameter", error.english, error.chinese) from None
    if wrong or parameters.monotone_constraints:
        named = ", ".join([*wrong, *(["monotone_constraints"] if parameters.monotone_constraints else [])])
        raise ConfigError(
            "bad_parameter",
            f"[boosting] Trees over sites do not have: {named}. Leave them out.",
            f"[boosting] 横向树模型不支持：{named}，请删除。",
        )
    if config.scorecard and config.scorecard.max_stability_index < 100:
        raise ConfigError(
            "bad_parameter",
            "[scorecard] max_stability_index is not known over sites: leave it out.",
            "[scorecard] 横向评分卡不支持 max_stability_index，请删除。",
        )
