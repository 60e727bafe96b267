"""``lianmo serve``: a party's folder behind a port or at a hub, in one process or in several that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from federation.errors import PartyId
from federation.transports.async_http import AsyncHttpWire
from federation.transports.standing import StandingWire
from lab.decision.policy import policy_at
from lab.jobs import HostJob, load_job
from lab.membership.lines import serve_lines, wire_through_hub
from lab.serving.access.listening import Listening
from lab.serving.decision_reports import ReportKey
from lab.serving.decisions import Decider
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.hosts import hosts_of
from lab.serving.nodes import bank_record, need_all, scoring_endpoint
from lab.serving.publishing.shelf import open_shelf
from lab.serving.rules import ServiceRules, load_rules
from lab.serving.server import serve_app
from lab.serving.store import AnswerStore
from lab.serving.workers import serve_workers
from lab.validation.amounts import need_default
from models.bundle import JointModel
from models.joint import Joint

#: In the bank's folder, unless another store is named.
STORE = "answers.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What an operator wants served; nothing open, so that it can be sent to a worker.

    Attributes:
        directory: a party's folder of a run, or a bank's shelf.
        urls, hosts: where hosts are, one by one and in a TOML file (``HostsFile``); what a model needs beyond them
            cannot be published.
        hub: the folder that joined a hub, if scores go through one; None: over HTTP.
        port: 0: any free one.
        workers: processes of the bank's service.
        rules, policy: TOML files.
        store: SQLAlchemy address of answers; None: sqlite in the folder.
    """

    directory: Path
    door: Listening
    urls: Mapping[PartyId, str]
    hosts: Path | None = None
    hub: Path | None = None
    port: int = 0
    workers: int = 1
    rules: Path | None = None
    store: str | None = None
    policy: Path | None = None

    def app(self) -> FastAPI:
        """The bank's application. Raises ``ModelError``, ``ConfigError``, ``GovernanceError`` (of the store)."""
        shelf = open_shelf(self.directory)
        model = shelf.held().champion.joint.model
        need_default(model.objective if isinstance(model, JointModel) else "binary", "lianmo serve")
        node = load_job(self.directory / "job.json").party.node
        return create_guest_app(
            shelf,
            self._wire(model),
            rules=load_rules(self.rules) if self.rules else ServiceRules(),
            decider=Decider(policy_at(self.policy)) if self.policy else None,
            record=bank_record(self.directory, model),
            store=AnswerStore.open(self.store or f"sqlite:///{self.directory / STORE}"),
            guard=self.door.guard(),
            report_key=ReportKey(node) if node else None,
        )

    def node_app(self) -> FastAPI:
        """A data node's application. Raises as ``scoring_endpoint`` and ``Listening``."""
        endpoint = scoring_endpoint(self.directory)
        return create_host_app(endpoint, guard=self.door.guard(), bank_keys=self.door.bank_keys())

    def _wire(self, model: Joint) -> AsyncHttpWire | StandingWire:
        if self.hub:
            return wire_through_hub(self.hub, model.needed_hosts)
        at = hosts_of(self.urls, self.hosts)
        need_all(model.needed_hosts, at.urls)
        return AsyncHttpWire(at.urls, tls=at.tls)


def serve_party(wanted: Serving, announce: Callable[[str], None] = lambda _: None) -> None:
    """Serve until told to stop. Raises as ``Listening``, ``Serving.app``, ``serve_app`` and ``serve_lines``."""
    directory, door = wanted.directory, wanted.door
    door.check()
    job = load_job(directory / "job.json")
    if isinstance(job, HostJob) and wanted.hub:
        serve_lines(wanted.hub, scoring_endpoint(directory), lambda at: announce(f"{at.hub}, {at.address}"))
        return
    tls = door.tls()
    if isinstance(job, HostJob):
        serve_app(wanted.node_app(), door.bind, wanted.port, tls=tls, announce=announce)
        return
    if wanted.workers == 1:
        serve_app(wanted.app(), door.bind, wanted.port, tls=tls, announce=announce)
        return
    wanted.app()  # whatever is wrong is said here, once, and the store is up to date before anybody shares it
    serve_workers(wanted.app, door, wanted.port, wanted.workers, announce=announce)
