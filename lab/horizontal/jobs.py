"""What each party of a run over sites is given for one session, in its own folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from federation.ciphers.suites.choice import suite
from federation.errors import PartyId
from federation.horizontal.aggregation.rules import MOST_SITES
from federation.horizontal.aggregation.signing import Signing
from federation.transports.agreement import Seals
from lab.config_party import PARTY_NAME, Party
from lab.config_sections import Section, SplitSection
from lab.horizontal.config import Coordinator, HorizontalConfig, HorizontalSection, Plan
from lab.horizontal.standard import StandardSection
from lab.hybrid.section import Cities
from lab.jobs import LinkSection, node_directory
from models.bundle import load, save

Name = Annotated[str, StringConstraints(pattern=PARTY_NAME, max_length=64)]
#: What a site may be asked to help with.
Trained = Literal["boosting", "scorecard", "averaging"]
#: Of sites on one machine, where keys are made for the run.
_SUITE: Final = "international"
_ALGORITHMS: Final[dict[str, Trained]] = {"trees": "boosting", "scorecard": "scorecard", "averaged": "averaging"}


class Keys(Section):
    """What a site signs with in sums, and whose signatures it knows, on one machine; hexadecimal.

    Through a hub it signs with the key it made when it joined, and knows the others' from there.
    """

    private: str = Field(repr=False)
    known: dict[str, str]

    @property
    def signing(self) -> Signing:
        known = {party: (_SUITE, bytes.fromhex(key)) for party, key in self.known.items()}
        return Seals.with_key(_SUITE, bytes.fromhex(self.private), known)


class SiteTerms(Section):
    """What a coordinator proposes to every site and data node; nothing in it is a path.

    Attributes:
        sites: who may be in a sum; this site among them.
        algorithm: what they are asked to help with.
        hybrid: where sites have data nodes: whom they meet.
        seed: of the division of rows and of draws at the site: with the same, a run can be repeated.
    """

    run: Literal["horizontal"] = "horizontal"
    coordinator: Name
    sites: tuple[Name, ...] = Field(max_length=MOST_SITES)
    algorithm: Trained
    horizontal: HorizontalSection
    standard: StandardSection
    hybrid: Cities | None = None
    split: SplitSection
    seed: int = Field(ge=0)
    party_seconds: float = Field(gt=0, le=3600)
    answer_seconds: float = Field(gt=0, le=86400)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hybrid and (self.algorithm != "boosting" or self.hybrid.banks != self.sites):
            raise ValueError(
                "both directions: trees, of exactly the banks of its cities / 双向联合仅限各城市银行的树模型"
            )
        return self

    @classmethod
    def of(cls, config: HorizontalConfig) -> Self:
        return cls(
            coordinator=config.lead,
            sites=config.site_names,
            algorithm=_ALGORITHMS[config.kind],
            horizontal=config.horizontal,
            standard=config.standard,
            hybrid=config.hybrid and config.hybrid.terms,
            split=config.split,
            seed=config.seed,
            party_seconds=config.run.party_seconds,
            answer_seconds=config.run.answer_seconds,
        )


class _Job(Section):
    model_id: str
    directory: Path = Field(exclude=True)
    link: LinkSection | None = None


class SiteJob(_Job):
    """A site's part. ``keys``: None: those of its membership."""

    role: Literal["site"] = "site"
    party: Party
    terms: SiteTerms
    keys: Keys | None = None

    @property
    def hosts(self) -> Mapping[str, PartyId]:
        """Kind → data node of this site's city, if there are any."""
        return self.terms.hybrid.hosts_of_banks[self.party.party] if self.terms.hybrid else {}

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """Whom this party speaks with, or whose signatures it checks."""
        others = (site for site in self.terms.sites if site != self.party.party)
        return (self.terms.coordinator, *others, *self.hosts.values())

    @property
    def answer_seconds(self) -> float:
        return self.terms.answer_seconds


class DataNodeJob(_Job):
    """The part of a data node of a run in both directions."""

    role: Literal["data_node"] = "data_node"
    party: Party
    terms: SiteTerms

    @property
    def banks(self) -> tuple[str, ...]:
        """Whom it serves."""
        assert self.terms.hybrid
        return self.terms.hybrid.banks_of(self.party.party)

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """Whom this party speaks with."""
        return (self.terms.coordinator, *self.banks)

    @property
    def answer_seconds(self) -> float:
        return self.terms.answer_seconds


class CoordinatorJob(_Job):
    """The coordinator's part: what to train, with whom. It has no data. ``checkpoint_share``: as in the run's
    configuration."""

    role: Literal["coordinator"] = "coordinator"
    party: Coordinator
    plan: Plan
    sites: tuple[str, ...]
    party_seconds: float
    answer_seconds: float
    checkpoint_share: float = 0.0

    @property
    def peers(self) -> tuple[PartyId, ...]:
        """Whom this party speaks with."""
        return (*self.sites, *(self.plan.hybrid.hosts if self.plan.hybrid else ()))


SitesJob = CoordinatorJob | SiteJob | DataNodeJob


def jobs_of(
    config: HorizontalConfig, model_id: str, directory: Path, links: Mapping[PartyId, LinkSection] | None = None
) -> tuple[CoordinatorJob, tuple[SiteJob, ...], tuple[DataNodeJob, ...]]:
    """One job per party whose section is here, each in ``directory/nodes/PARTY``; sites with fresh keys."""
    links = links or {}
    made = {site.party: suite(_SUITE).new_signing_key() for site in config.sites}
    known = {party: suite(_SUITE).verifying_key(key).hex() for party, key in made.items()}
    terms = SiteTerms.of(config)
    coordinator = CoordinatorJob(
        model_id=model_id,
        directory=node_directory(directory, config.lead),
        link=links.get(config.lead),
        party=Coordinator(party=config.lead),
        plan=config.plan,
        sites=config.site_names,
        party_seconds=config.run.party_seconds,
        answer_seconds=config.run.answer_seconds,
        checkpoint_share=config.run.checkpoint_share,
    )
    sites = tuple(
        SiteJob(
            model_id=model_id,
            directory=node_directory(directory, site.party),
            link=links.get(site.party),
            party=site,
            terms=terms,
            keys=Keys(private=made[site.party].hex(), known=known),
        )
        for site in config.sites
    )
    hosts = tuple(
        DataNodeJob(
            model_id=model_id,
            directory=node_directory(directory, host.party),
            link=links.get(host.party),
            party=host,
            terms=terms,
        )
        for host in config.hosts
    )
    return coordinator, sites, hosts


_KINDS: Final[dict[str, type[SitesJob]]] = {"coordinator": CoordinatorJob, "site": SiteJob, "data_node": DataNodeJob}


def forget_keys(job: _Job) -> None:
    """Write the job anew, without ticket and keys: both are spent."""
    spent = {"link": None, "keys": None} if isinstance(job, SiteJob) else {"link": None}
    keep_job(job.model_copy(update=spent))


def keep_job(job: _Job) -> Path:
    """Write ``job.json`` into the party's folder, readable by its owner only."""
    job.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = job.directory / "job.json"
    save(path, json.loads(job.model_dump_json()))
    return path


def is_of_sites(path: Path) -> bool:
    """Whether a party's job is one of a run over sites. Raises ``ModelError`` if there is none."""
    return load(path).get("role") in _KINDS


def read_job(path: Path) -> SitesJob:
    """What ``keep_job`` wrote. Raises ``ModelError`` if it is absent or damaged."""
    data: dict[str, Any] = load(path)
    kind = _KINDS[data["role"]]
    return kind.model_validate({**data, "directory": path.parent})
