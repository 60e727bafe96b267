"""The doctor of a data node: what a good node shows, and what each fault is called."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.doctor import Finding
from lab.governance.keys import KeyStore
from lab.governance.node_log import open_log
from lab.governance.policy import PolicyBook
from lab.node_doctor import KEY_DAYS, examine_node
from tests.lab.governance.test_admission import CITATIONS, Node

WORDS = "correct horse battery staple"


@pytest.fixture
def node(files: Path) -> Node:
    made = Node(files, CITATIONS)
    made.folder.chmod(0o700)
    KeyStore(made.folder / "keys", cost=2**14).generate("host:tax", "international", WORDS, ["signing"])
    open_log(made.folder, WORDS).begin("Li")
    return made


def wrong(node: Node, at: datetime | None = None) -> list[Finding]:
    return [f for f in examine_node(node.folder, at) if not f.good]


def test_a_good_node_needs_nothing_and_is_shown_in_two_languages(node: Node) -> None:
    found = {f.name.split()[0]: f.found for f in examine_node(node.folder)}
    assert wrong(node) == []
    assert found["settings"] == "host:tax"
    assert found["consents"] == f"{2 * len(node.willing)} of {2 * len(node.willing)} in force 有效"
    assert found["projects"] == "1 approved"
    told = CliRunner().invoke(app, ["node", "doctor", "--node", str(node.folder)])
    assert told.exit_code == 0
    assert "授权" in told.output
    machine = CliRunner().invoke(app, ["node", "doctor", "--node", str(node.folder), "--json"])
    assert all(check["good"] for check in json.loads(machine.output))


def open_to_all(node: Node) -> None:
    node.folder.chmod(0o755)


def cites_nothing_known(node: Node) -> None:
    path = node.folder / "node.toml"
    path.write_text(path.read_text("utf-8").replace("TAX-03", "TAX-99"), "utf-8")


def no_catalogue(node: Node) -> None:
    (node.folder / "catalogue.toml").unlink()


def all_revoked(node: Node) -> None:
    for subject in node.willing:
        for purpose in ("loan_model", "loan_score"):
            node.revoke(subject, purpose)


def suspended(node: Node) -> None:
    PolicyBook(node.engine).decide("loans", "suspended", "Li", datetime.now(UTC))


def torn(node: Node) -> None:
    path = node.folder / "audit" / "log.jsonl"
    path.write_bytes(path.read_bytes()[:-5])


def edited(node: Node) -> None:
    path = node.folder / "audit" / "log.jsonl"
    path.write_bytes(path.read_bytes().replace(b"log_opened", b"log_closed"))


def gone(node: Node) -> None:
    (node.folder / "audit" / "log.jsonl").unlink()


def store_elsewhere(node: Node) -> None:
    path = node.folder / "node.toml"
    path.write_text('store = "sqlite:////nowhere/at/all.db"\n' + path.read_text("utf-8"), "utf-8")


def retired(node: Node) -> None:
    store = KeyStore(node.folder / "keys", cost=2**14)
    store.revoke(store.active("signing").key_id, "lost")


@pytest.mark.parametrize(
    ("harm", "check"),
    [
        (open_to_all, "folder"),
        (cites_nothing_known, "catalogue"),
        (no_catalogue, "catalogue"),
        (all_revoked, "consents"),
        (suspended, "projects"),
        (torn, "audit"),
        (edited, "audit"),
        (gone, "audit"),
        (store_elsewhere, "store"),
        (retired, "signing"),
    ],
)
def test_each_fault_is_found_alone_with_what_to_do(node: Node, harm: Callable[[Node], None], check: str) -> None:
    harm(node)
    (finding,) = wrong(node)
    assert finding.name.startswith(check)
    assert finding.advice
    assert any("\u4e00" <= letter <= "\u9fff" for letter in finding.advice_zh)
    assert CliRunner().invoke(app, ["node", "doctor", "--node", str(node.folder)]).exit_code == 1


def test_an_old_key_and_a_clock_that_is_behind_are_told(node: Node) -> None:
    later = datetime.now(UTC) + timedelta(days=KEY_DAYS + 1)
    assert [f.name.split()[0] for f in wrong(node, later)] == ["signing"]
    assert "audit" in [f.name.split()[0] for f in wrong(node, datetime.now(UTC) - timedelta(hours=1))]


def test_a_folder_that_is_no_node_is_said_so(tmp_path: Path) -> None:
    assert [f.found for f in examine_node(tmp_path)] == ["node_missing"]
