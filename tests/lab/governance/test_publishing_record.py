"""Models coming into force and going out of it stand in every party's audit log, by digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.transports.memory import MemoryWire
from lab.errors import ServiceError
from lab.governance.audit import AuditLog
from lab.governance.publishing_record import PublishingRecord
from lab.serving.nodes import hosts_beside, job_in, scoring_endpoint
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.publisher import Publisher
from models.bundle import load
from tests.lab.governance.test_session_record import NAMES, WORDS, Parties
from tests.signing import cheap_keys


@pytest.fixture
def parties(files: Path, write_config: Any, monkeypatch: pytest.MonkeyPatch) -> Parties:
    monkeypatch.setenv("LIANMO_PASSPHRASE", WORDS)
    cheap_keys(monkeypatch)
    return Parties(files, write_config)


def record(folder: Path) -> PublishingRecord:
    party = job_in(folder).party
    return PublishingRecord.of(party.node, party.party, party.party)


def test_every_party_says_what_it_published_and_retired(parties: Parties, files: Path) -> None:
    parties.train()
    bank = files / "runs/small/nodes/bank"
    hosts = {party: scoring_endpoint(folder).answer for party, folder in hosts_beside(bank).items()}
    publisher = Publisher(ShelfFolder(files / "shelf"), MemoryWire(hosts), record, pause=lambda _: None)
    publisher.publish(bank)
    model = load(bank / "model.json")
    for party in NAMES:
        (entry,) = parties.said(party, "model_published")
        assert entry.references["model"] == model["own"]["model_id"]
        if party != "bank":
            assert entry.references["half"] == model["host_digests"][party]
    loaded = publisher.folder.load(publisher.folder.versions()[0])
    publisher._let_go("v", loaded)
    for party in set(NAMES) - {"bank"}:
        (entry,) = parties.said(party, "model_retired")
        assert entry.references["half"] == model["host_digests"][party]


def test_a_model_that_cannot_be_put_on_record_does_not_come_into_force(
    parties: Parties, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parties.train()
    bank = files / "runs/small/nodes/bank"
    hosts = {party: scoring_endpoint(folder).answer for party, folder in hosts_beside(bank).items()}
    publisher = Publisher(ShelfFolder(files / "shelf"), MemoryWire(hosts), record, pause=lambda _: None)
    append = AuditLog.append

    def full(log: AuditLog, *events: Any) -> Any:
        if any(e.kind == "model_published" for e in events) and log.party == "bank":
            raise ServiceError("audit_unwritable", "The disk is full.", "磁盘已满。")
        return append(log, *events)

    monkeypatch.setattr(AuditLog, "append", full)
    with pytest.raises(ServiceError):
        publisher.publish(bank)
    assert publisher.folder.in_force() is None
    assert publisher.folder.versions() == []
