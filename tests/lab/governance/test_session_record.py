"""Whole runs of a bank and two hosts that keep audit logs: what stands there, who countersigns, who is blamed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.config import load_config
from lab.errors import ConfigError, GovernanceError, KeysError, ServiceError
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import Entry, Event
from lab.governance.keys import KeyStore
from lab.governance.node_log import OwnLog, open_log, registered
from lab.governance.policy import Terms
from lab.governance.protection import PASSPHRASE
from lab.governance.pseudonyms import Pseudonyms
from lab.governance.ring import KeyRing, export, read_export
from lab.governance.session_record import SessionRecord
from lab.runs import train_run
from models.errors import LianmoError
from tests.lab.conftest import Write
from tests.lab.governance.test_admission import CITATIONS, START, Node, _use
from tests.signing import SUITE, cheap_keys

WORDS = "correct horse battery staple"
NAMES = {"bank": "bank", "host:tax": "tax", "host:court": "court"}
COURT = {"seized": "PEN-01", "cases": "PEN-01"}
HALF = ("session_opened", "rows_admitted", "model_sealed", "session_ended")


class Parties:
    """Nodes with keys that know each other's, and logs that have begun."""

    def __init__(self, files: Path, write: Write) -> None:
        self.files, self.write = files, write
        self.nodes = {party: files / f"node-{name}" for party, name in NAMES.items()}
        self.project = "loans"
        self.tax, self.court = Node(files, CITATIONS), Node(files, COURT, "court")
        for node in (self.tax, self.court):
            node.folder.chmod(0o700)
        self.nodes["bank"].mkdir(mode=0o700)
        for party in NAMES:
            self.store(party).generate(party, "international", WORDS, ["signing"])
        self.introduce()
        for party in NAMES:
            self.log(party).begin("王芳")

    def store(self, party: str) -> KeyStore:
        return KeyStore(self.nodes[party] / "keys", cost=2**14)

    def log(self, party: str) -> AuditLog:
        return open_log(self.nodes[party], WORDS)

    def introduce(self) -> None:
        """Everybody tells everybody its public keys, and reads out the fingerprint."""
        for party in NAMES:
            store = self.store(party)
            told = read_export(export(store, store.open(store.active("signing").key_id, WORDS)))
            for other in NAMES.keys() - {party}:
                KeyRing(self.nodes[other] / "keys").accept(told, told.fingerprint)

    def path(self, party: str) -> Path:
        return self.nodes[party] / "audit" / "log.jsonl"

    def config(self, with_nodes: Sequence[str] = tuple(NAMES), **changes: Any) -> Path:
        path = self.write(**changes)
        text = path.read_text("utf-8")
        for party in with_nodes:
            name = NAMES[party]
            project = "" if party == "bank" else f'\nproject = "{self.project}"'
            text = text.replace(f'data = "{name}.csv"', f'data = "{name}.csv"\nnode = "node-{name}"{project}')
        path.write_text(text, "utf-8")
        return path

    def train(self, *with_nodes: str, **changes: Any) -> dict[str, Any]:
        return train_run(load_config(self.config(with_nodes or tuple(NAMES), **changes)), Console(quiet=True))

    def said(self, party: str, *kinds: str) -> list[Entry]:
        return list(self.log(party).entries(*kinds))

    def kinds(self, party: str) -> list[str]:
        return [entry.kind for entry in self.said(party)]


@pytest.fixture
def parties(files: Path, write_config: Write, monkeypatch: pytest.MonkeyPatch) -> Parties:
    monkeypatch.setenv(PASSPHRASE, WORDS)
    cheap_keys(monkeypatch)
    return Parties(files, write_config)


def verify(parties: Parties, party: str, *against: str) -> tuple[int, list[dict[str, Any]]]:
    arguments = [str(parties.nodes[party]), "--party", party, "--json"]
    arguments += [text for other in against for text in ("--against", str(parties.nodes[other]))]
    found = CliRunner().invoke(app, ["audit", "verify", *arguments])
    assert found.exit_code in (0, 1), found.exception
    return found.exit_code, json.loads(found.stdout)["findings"]


@pytest.mark.parametrize("extra", ["", "[scorecard]\nmin_information_value = 0.0\n"])
def test_all_logs_of_a_run_verify_and_each_holds_the_heads_of_the_others(parties: Parties, extra: str) -> None:
    if extra:
        terms = Terms(parties=["bank"], purposes=["loan_model"], algorithms=["scorecard"])
        for node in (parties.tax, parties.court):
            node.book.propose("cards", terms, "Li", START)
            node.book.decide("cards", "approved", "Wang", START)
        parties.project = "cards"
    result = parties.train(extra=extra)
    assert [result["audit"], *(host["audit"] for host in result["hosts"].values())] == ["countersigned"] * 3
    for party in NAMES:
        assert verify(parties, party, *NAMES.keys() - {party}) == (0, [unwitnessed(parties, party)])
        kept = parties.said(party, "heads_countersigned")[-1].references["heads"]
        assert {head["party"] for head in kept if head["countersignature"]} == set(NAMES)
        own = {head["party"]: head["number"] for head in kept}[party]
        assert parties.said(party)[own - 1].kind == "session_ended"


def unwitnessed(parties: Parties, party: str) -> dict[str, Any]:
    """The one thing to be said of a good log: its last line, with the heads of all, is younger than its head."""
    found = next(f for f in verify(parties, party)[1] if f["code"] == "unwitnessed")
    assert found["number"] == parties.said(party)[-1].number - 1
    return found


def test_a_host_records_what_came_through_its_gate_and_the_half_it_sealed(parties: Parties, files: Path) -> None:
    parties.train()
    opened, admitted, sealed, ended, _ = parties.said("host:tax")[1:]
    assert tuple(e.kind for e in (opened, admitted, sealed, ended)) == HALF
    session = opened.references["session"]
    assert {e.references["session"] for e in (opened, admitted, sealed, ended)} == {session}
    assert opened.actor == "bank"
    assert opened.references["parties"] == list(NAMES)
    assert opened.references["purpose"] == "loan_model"
    version = opened.references["catalogue"]
    assert opened.references["items"] == sealed.references["items"] == [f"SOC-01@{version}", f"TAX-03@{version}"]
    n_subjects = len(parties.tax.ids)
    assert admitted.references["n_rows"] == len(parties.tax.willing)
    assert admitted.references["n_refused"] == n_subjects - len(parties.tax.willing)
    model = json.loads((files / "runs/small/nodes/bank/model.json").read_text("utf-8"))
    assert sealed.references["half"] == model["host_digests"]["host:tax"]
    result = json.loads((files / "runs/small/result.json").read_text("utf-8"))
    assert parties.said("bank", "model_sealed")[0].references["model_digest"] == result["digest"]
    assert "code" not in ended.references


def test_no_identifier_of_an_applicant_stands_in_any_log(parties: Parties, files: Path) -> None:
    parties.train()
    parties.tax.book.decide("loans", "stopped", "Wang", datetime.now(UTC))
    with pytest.raises(GovernanceError):
        parties.train()
    identifiers = set(pd.read_csv(files / "bank.csv", dtype={"id": str})["id"])
    identifiers -= {"0" * 18}  # stands in the zeros before the first entry
    for party in NAMES:
        text = parties.path(party).read_text("utf-8")
        assert len(identifiers) == 399
        assert not [i for i in identifiers if i in text]


def test_an_edited_line_is_found_and_laid_at_its_keeper(parties: Parties) -> None:
    parties.train()
    path = parties.path("host:tax")
    admitted = parties.said("host:tax", "rows_admitted")[0]
    n_rows = admitted.references["n_rows"]
    path.write_bytes(path.read_bytes().replace(f'"n_rows":{n_rows}'.encode(), f'"n_rows":{n_rows - 1}'.encode()))
    code, findings = verify(parties, "host:tax")
    assert code == 1
    assert [(f["code"], f["about"], f["number"]) for f in findings if f["grave"]] == [
        ("edited", "host:tax", admitted.number)
    ]
    for party in ("bank", "host:court"):
        assert verify(parties, party)[0] == 0


def test_a_run_that_the_gate_refuses_is_on_record_at_the_host_that_refused(parties: Parties) -> None:
    parties.tax.book.decide("loans", "stopped", "Wang", datetime.now(UTC))
    with pytest.raises(GovernanceError):
        parties.train()
    refused = parties.said("host:tax")[-1]
    assert (refused.kind, refused.actor) == ("refused", "bank")
    assert refused.references["code"] == "project_not_approved"
    assert refused.references["purpose"] == "loan_model"
    assert parties.kinds("host:court") == ["log_opened"]
    assert verify(parties, "host:tax")[0] == 0


@pytest.mark.parametrize("transport", ["memory", pytest.param("relay", marks=pytest.mark.slow)])
def test_a_request_refused_during_a_session_is_on_record_and_so_is_its_end(parties: Parties, transport: str) -> None:
    path = parties.config(transport=transport)
    text = path.read_text("utf-8").replace('data = "tax.csv"', 'data = "tax.csv"\nmin_rows = 380')
    path.write_text(text, "utf-8")
    with pytest.raises(LianmoError):
        train_run(load_config(path), Console(quiet=True))
    *_, opened, _, refused, ended = parties.said("host:tax")
    assert (opened.kind, refused.kind, ended.kind) == ("session_opened", "refused", "session_ended")
    assert refused.references["code"] == "too_few_rows"
    assert refused.references["session"] == opened.references["session"]
    for party in NAMES:
        assert parties.said(party)[-1].kind == "session_ended"
        assert parties.said(party)[-1].references["code"]
        assert verify(parties, party)[0] == 0


@pytest.mark.slow
def test_parties_in_processes_of_their_own_countersign_too(parties: Parties) -> None:
    result = parties.train(transport="relay")
    assert [result["audit"], *(host["audit"] for host in result["hosts"].values())] == ["countersigned"] * 3
    for party in NAMES:
        assert verify(parties, party, *NAMES.keys() - {party})[0] == 0


def test_a_log_cut_between_two_runs_stops_the_second_and_the_party_is_named(parties: Parties) -> None:
    parties.train()
    lines = parties.path("host:tax").read_bytes().splitlines(keepends=True)
    parties.path("host:tax").write_bytes(lines[0])  # as if nothing had been: with its own key, nothing is forged
    with pytest.raises(LianmoError) as caught:
        parties.train()
    # the host is shown its own head first, and says so itself
    assert caught.value.code == "audit_damaged"
    assert "host:tax" in str(caught.value)


def test_a_host_that_hides_that_its_log_was_cut_is_named_by_the_bank(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    from federation.audit.keeper import HeadChecks

    parties.train()
    lines = parties.path("host:tax").read_bytes().splitlines(keepends=True)
    parties.path("host:tax").write_bytes(lines[0])
    honest = HeadChecks.check_held
    monkeypatch.setattr(
        HeadChecks, "check_held", lambda self, *held: None if self.party == "host:tax" else honest(self, *held)
    )
    with pytest.raises(LianmoError) as caught:
        parties.train()
    assert caught.value.code == "audit_mismatch"
    assert "host:tax" in str(caught.value)
    disputed = parties.said("bank", "head_disputed")
    assert [head["party"] for head in disputed[0].references["heads"]] == ["host:tax"]
    assert ("disputed", "host:tax") in [(f["code"], f["about"]) for f in verify(parties, "bank")[1]]


def test_where_one_party_keeps_no_log_the_others_write_alone(parties: Parties) -> None:
    result = parties.train("host:tax")
    assert result["audit"] == result["hosts"]["host:court"]["audit"] == "none"
    assert result["hosts"]["host:tax"]["audit"] == "own"
    assert parties.kinds("host:tax") == ["log_opened", *HALF]
    assert parties.said("host:tax", "session_opened")[0].references["parties"] == ["bank", "host:tax"]
    assert parties.kinds("bank") == parties.kinds("host:court") == ["log_opened"]
    assert verify(parties, "host:tax")[0] == 0


def test_a_bank_that_does_not_ask_for_heads_gets_no_session_called_countersigned(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("federation.vertical.guest.countersign", lambda *_: iter(()))
    result = parties.train()
    assert [result["audit"], *(host["audit"] for host in result["hosts"].values())] == ["own"] * 3
    assert parties.kinds("host:tax") == ["log_opened", *HALF]
    assert "session_open" in [f["code"] for f in verify(parties, "host:tax")[1]]


def test_an_alignment_alone_is_recorded_and_not_countersigned(parties: Parties, files: Path) -> None:
    from lab.runs import hold_session

    (files / "aligned").mkdir()
    hold_session(load_config(parties.config()), Console(quiet=True), files / "aligned", "align")
    assert parties.kinds("host:tax") == ["log_opened", "session_opened", "rows_admitted", "session_ended"]
    assert parties.kinds("bank") == ["log_opened", "session_opened", "session_ended"]


def test_keys_without_a_passphrase_stop_the_run_before_anything_is_sent(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[object] = []
    monkeypatch.delenv(PASSPHRASE)
    monkeypatch.setattr("lab.runs.MemoryWire", sent.append)
    with pytest.raises(ConfigError) as caught:
        parties.train()
    assert not sent
    assert caught.value.code == "no_passphrase"
    assert PASSPHRASE in caught.value.english


def test_keys_of_another_party_stop_the_run(parties: Parties) -> None:
    path = parties.config()
    path.write_text(path.read_text("utf-8").replace('node = "node-bank"', 'node = "node-tax"'), "utf-8")
    with pytest.raises(KeysError) as caught:
        train_run(load_config(path), Console(quiet=True))
    assert caught.value.code == "other_owner"


def test_a_party_whose_key_is_not_known_is_named_before_anything_is_sent(parties: Parties) -> None:
    (key,) = [k for k in KeyRing(parties.nodes["host:tax"] / "keys").known() if k.owner == "host:court"]
    KeyRing(parties.nodes["host:tax"] / "keys").revoke(key.key_id)
    with pytest.raises(KeysError) as caught:
        parties.train()
    assert caught.value.code == "unknown_key"
    assert "host:court" in caught.value.english
    assert parties.kinds("host:tax") == ["log_opened"]


def test_a_log_that_was_never_begun_or_is_gone_is_not_begun_by_a_run(parties: Parties) -> None:
    parties.path("bank").unlink()
    with pytest.raises(ServiceError) as caught:
        parties.train()
    assert caught.value.code == "audit_missing"
    begun = CliRunner().invoke(app, ["audit", "begin", str(parties.nodes["bank"]), "--operator", "王芳"])
    assert begun.exit_code == 0, begun.exception
    assert parties.kinds("bank") == ["log_opened"]
    again = CliRunner().invoke(app, ["audit", "begin", str(parties.nodes["bank"])])
    assert isinstance(again.exception, ServiceError)
    assert again.exception.code == "audit_exists"


def test_a_missing_log_stops_a_host_before_its_gate_counts_a_use(parties: Parties) -> None:
    parties.path("host:tax").unlink()
    with pytest.raises(ServiceError) as caught:
        parties.train()
    assert caught.value.code == "audit_missing"
    assert parties.tax.book.dry_run(_use())[1].uses == 100


def test_a_session_is_ended_once_however_often_its_head_is_asked_for(parties: Parties) -> None:
    own = OwnLog(parties.log("bank"), Pseudonyms(SUITE, b"k" * 32))
    record = SessionRecord(own, lambda *_: None, "s-1", ["bank"], "bank", countersigned=True)
    keeper = record.keeper(lambda: None)
    assert keeper.last() == keeper.last()
    record.end()
    assert parties.kinds("bank") == ["log_opened", "session_ended"]


def test_a_key_of_another_party_that_was_revoked_here_is_not_known(parties: Parties) -> None:
    node = parties.nodes["host:tax"]
    key = parties.store("host:court").active("signing").key_id
    known = registered(node)("host:court", key)
    assert known is not None
    assert known.public.hex() == parties.store("host:court").record(key).public
    assert registered(node)("bank", key) is None
    KeyRing(node / "keys").revoke(key)
    assert registered(node)("host:court", key) is None


def test_a_rotated_key_is_introduced_by_the_old_one_and_sessions_go_on(parties: Parties) -> None:
    parties.train()
    store = parties.store("host:tax")
    store.rotate(store.active("signing").key_id, WORDS)
    parties.introduce()
    parties.train()
    assert "audit_key_rotated" in parties.kinds("host:tax")
    for party in NAMES:
        assert verify(parties, party, *NAMES.keys() - {party})[0] == 0


def test_a_revoked_key_introduces_no_other(parties: Parties) -> None:
    store = parties.store("host:tax")
    old = store.active("signing").key_id
    store.revoke(old, "stolen")
    store.rotate(old, WORDS)
    with pytest.raises(ServiceError) as caught:
        parties.log("host:tax")
    assert caught.value.code == "audit_key"
    assert old in caught.value.english


def test_verification_knows_the_key_on_file(parties: Parties) -> None:
    """A log that introduces another key than the store has under that id is not this party's."""
    path = parties.path("host:tax")
    store = parties.store("host:tax")
    assert verify(parties, "host:tax")[0] == 0
    keys = parties.nodes["host:tax"] / "keys" / "keys.json"
    data = json.loads(keys.read_text("utf-8"))
    data["keys"][0]["public"] = "00" * 32
    keys.write_text(json.dumps(data), "utf-8")
    assert "unregistered" in [f["code"] for f in verify(parties, "host:tax")[1]]
    assert path.exists()
    assert store.owner == "host:tax"


def test_what_cannot_be_recorded_is_not_done(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    append = AuditLog.append

    def full(self: AuditLog, *events: Event) -> tuple[Entry, ...]:
        if self.party == "host:tax" and events[0].kind == "model_sealed":
            raise ServiceError("audit_not_written", "The disk is full.", "磁盘已满。")
        return append(self, *events)

    monkeypatch.setattr(AuditLog, "append", full)
    with pytest.raises(LianmoError):
        parties.train()
    assert not (parties.files / "runs/small").exists()
    assert "heads_countersigned" not in parties.kinds("bank")
