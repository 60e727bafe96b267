"""A session over sites through a hub: what a party makes of it with its own files, and how one is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from pydantic import TypeAdapter, ValidationError, model_validator

from federation.errors import PartyId
from lab.config_party import Party
from lab.errors import ConfigError
from lab.horizontal.config import HorizontalConfig
from lab.horizontal.jobs import CoordinatorJob, DataNodeJob, SiteJob, SitesJob, SiteTerms, jobs_of, keep_job, read_job
from lab.jobs import LinkSection
from lab.membership.asking import hold, hub_of
from lab.membership.papers import membership_of
from lab.membership.session import RUNS, bad_session, noted_directory
from lab.membership.terms import Session, load_own_side, placed
from lab.section_file import read_section

#: A site's own section, in its node's folder.
FILE: Final = "site.toml"


class OwnSite(Party):
    """A site's ``site.toml``: the keys of a ``[[sites]]`` section. Paths are relative to it."""

    @model_validator(mode="after")
    def _a_site(self) -> Self:
        if self.label is None or self.weight is not None or self.columns:
            raise ValueError("a site names a label, no weight, no columns / 站点须设 label，不设 weight 与 columns")
        if bool(self.node) != bool(self.project):
            raise ValueError("node and project go together / node 与 project 须同时给出")
        return self


def load_own_site(node: Path, party: str) -> OwnSite:
    """Raises ``ConfigError``: ``site_missing``; ``site_unreadable`` naming the field; ``party_other``."""
    path = node / FILE
    absent = ConfigError(
        "site_missing",
        f"{path} is missing: say there which data this site brings (party, data, id, label, …: the keys of [[sites]]).",
        f"缺少 {path}：请在其中写明本站点提供的数据（party、data、id、label 等，与 [[sites]] 的键相同）。",
    )
    return placed(read_section(path, OwnSite, absent, _unreadable), path, party)


def _unreadable(what: str) -> ConfigError:
    return ConfigError("site_unreadable", f"{FILE} cannot be used: {what}.", f"{FILE} 无法使用：{what}。")


def site_job_of(node: Path, party: PartyId, settings: Mapping[str, object]) -> SitesJob | None:
    """This party's job of a session over sites; None if it is another kind of session.

    Raises:
        LocalProtocolError: ``bad_value``; ``not_asked`` of a coordinator that asked for no such session.
        ConfigError: of the party's own files.
    """
    told = str(settings.get("terms"))
    if not _of_sites(told):
        return None
    membership = membership_of(node)
    try:
        session = TypeAdapter(Session).validate_python(settings.get("session"))
        ticket = TypeAdapter(str).validate_python(settings.get("ticket"), strict=True)
        terms = SiteTerms.model_validate_json(told)
    except ValidationError as error:
        raise bad_session("terms") from error
    if membership.party != party:
        raise bad_session("party")
    link = LinkSection(address=membership.address, session=session, ticket=ticket, node=node.resolve())
    if membership.role == "coordinator":
        job = read_job(noted_directory(node, session) / "job.json")
        if not isinstance(job, CoordinatorJob) or job.model_id != session:
            raise bad_session("session")
        return job.model_copy(update={"link": link})
    if list(terms.sites) != sorted({*terms.sites}) or terms.coordinator in terms.sites:
        raise bad_session("terms")
    directory = node.resolve() / RUNS / session
    own: SiteJob | DataNodeJob
    if party in terms.sites:
        own = SiteJob(model_id=session, directory=directory, link=link, party=load_own_site(node, party), terms=terms)
    elif terms.hybrid and party in terms.hybrid.hosts:
        side = load_own_side(node, party)
        own = DataNodeJob(model_id=session, directory=directory, link=link, party=side, terms=terms)
    else:
        raise bad_session("terms")
    keep_job(own.model_copy(update={"link": None}))  # a ticket is spent at once
    return own


def _of_sites(terms: str) -> bool:
    try:
        told = json.loads(terms)
    except ValueError:
        return False
    return isinstance(told, dict) and told.get("run") == "horizontal"


def over_hub(config: HorizontalConfig, model_id: str, staging: Path) -> None:
    """One session of coordinator and sites, each on its own machine; the coordinator's node finds its job in
    ``staging``.

    Raises:
        ConfigError: ``not_joined``; ``hub_role`` if the node in ``[hub]`` is not this coordinator's.
        LianmoError: what went wrong, of the party where it went wrong as far as it is told.
    """
    assert config.hub
    hub = hub_of(config.hub.node, config.lead, "coordinator")
    job, *_ = jobs_of(config, model_id, staging)
    keep_job(job)
    hold(hub, model_id, job, (*config.site_names, *config.host_names), SiteTerms.of(config))
