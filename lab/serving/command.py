"""``lianmo serve``: a party's folder behind a port, in one process or in several that share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from federation.errors import PartyId
from federation.transports.async_http import AsyncHttpWire
from lab.jobs import HostJob
from lab.serving.access.listening import Listening
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.nodes import addresses, bank_record, job_in, scoring_endpoint
from lab.serving.publishing.shelf import open_shelf
from lab.serving.rules import ServiceRules, load_rules
from lab.serving.server import serve_app
from lab.serving.store import AnswerStore
from lab.serving.workers import serve_workers
from lab.validation.amounts import need_default
from models.bundle import JointModel

#: In the bank's folder, unless another store is named.
STORE = "answers.db"


@dataclass(frozen=True, slots=True)
class BankService:
    """All that a worker needs to make the bank's application; nothing open, so that it can be sent to a process."""

    directory: Path
    urls: Mapping[PartyId, str]
    store: str
    door: Listening
    rules: ServiceRules = field(default_factory=ServiceRules)

    def app(self) -> FastAPI:
        """Raises ``ModelError``, ``ConfigError``, ``GovernanceError`` (of the store)."""
        shelf = open_shelf(self.directory)
        model = shelf.chosen("").joint.model
        return create_guest_app(
            shelf,
            AsyncHttpWire(addresses(model, self.urls)),
            rules=self.rules,
            record=bank_record(self.directory, model),
            store=AnswerStore.open(self.store),
            guard=self.door.guard(),
        )


def serve_party(
    directory: Path,
    urls: Mapping[PartyId, str],
    door: Listening,
    port: int,
    *,
    workers: int = 1,
    rules: Path | None = None,
    store: str | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until told to stop. Raises as ``Listening``, ``BankService.app`` and ``serve_app``."""
    door.check()
    tls = door.tls()
    if isinstance(job_in(directory), HostJob):
        app = create_host_app(scoring_endpoint(directory), guard=door.guard())
        serve_app(app, door.bind, port, tls=tls, announce=announce)
        return
    address = store or f"sqlite:///{directory.resolve() / STORE}"
    service = BankService(
        directory.resolve(), dict(urls), address, door, load_rules(rules) if rules else ServiceRules()
    )
    model = open_shelf(directory).chosen("").joint.model
    need_default(model.objective if isinstance(model, JointModel) else "binary", "lianmo serve")
    if workers == 1:
        serve_app(service.app(), door.bind, port, tls=tls, announce=announce)
        return
    service.app()  # whatever is wrong is said here, once, and the store is up to date before anybody shares it
    serve_workers(service.app, door, port, workers, announce=announce)
