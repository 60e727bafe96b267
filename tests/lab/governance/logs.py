"""Logs of a bank and two hosts that end sessions with each other, for several tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from federation.audit.guest import countersign
from federation.audit.host import ALLOWED, AuditHost
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.script import run
from federation.transports.memory import MemoryWire
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import Event
from lab.governance.audit_heads import check_heads, compare
from lab.governance.audit_keeper import LogKeeper
from lab.governance.audit_verify import Examined, examine
from tests.signing import SUITE, SUITES, TestSigner, public_key

PARTIES = ("bank", "host:tax", "host:电信")
MODEL = "5f" * 16


def folder_of(root: Path, party: PartyId) -> Path:
    return root / party.replace(":", "-") / "audit"


@dataclass
class Clock:
    """A second passes whenever somebody looks."""

    now: datetime = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Parties:
    """Three parties with a log each below ``root``."""

    root: Path
    new: bool = True
    logs: dict[PartyId, AuditLog] = field(init=False)

    def __post_init__(self) -> None:
        self.logs = {p: AuditLog(folder_of(self.root, p), p, TestSigner(p), SUITES, Clock()) for p in PARTIES}
        for log in self.logs.values() if self.new else ():
            log.begin("王芳")

    def session(self, session: str, model: str = MODEL) -> None:
        """What a training session writes, countersigned."""
        opened = {"session": session, "parties": list(PARTIES), "model": model}
        for party, log in self.logs.items():
            log.append(
                Event("session_opened", opened, "bank"),
                Event("rows_admitted", {"session": session, "n_rows": 300, "data": SUITE.digest(party.encode()).hex()}),
                Event("model_sealed", {"session": session, "model": model, "half": "cd" * 32}),
                Event("session_ended", {"session": session, "model": model}),
            )
        self.countersign(session)

    def countersign(self, session: str, *closing: Event) -> None:
        keepers = {p: LogKeeper(log, public_key, lambda: closing) for p, log in self.logs.items()}
        hosts = {p: AuditHost(p, "bank", session, keepers[p]) for p in PARTIES[1:]}
        wire = MemoryWire({p: Endpoint(host, "bank", ALLOWED).answer for p, host in hosts.items()})
        run(countersign("bank", session, PARTIES[1:], keepers["bank"]), wire)

    def path(self, party: PartyId) -> Path:
        return self.logs[party].path


def verified(path: Path, *against: Path, party: PartyId = "", registered: bool = True) -> Examined:
    """All that verification finds, without a command."""
    known = public_key if registered else lambda *_: None
    log = examine(path, SUITES, party, known)
    check_heads(log, SUITES, known)
    for other in against:
        compare(log, examine(other, SUITES), SUITES)
    return log


def grave(log: Examined) -> list[tuple[str, PartyId, int]]:
    """What is tampering: code, whom it is about, where."""
    return [(f.code, f.about, f.number) for f in log.findings if f.is_grave]
