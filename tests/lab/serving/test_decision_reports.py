"""The report of a decision that the service told: of that decision, for its caller alone, and checked offline."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from lab.cli import app as commands
from lab.decision.policy import Policy
from lab.governance.held import SIGNING
from lab.governance.policy import CHINA
from lab.governance.protection import PASSPHRASE
from lab.governance.ring import export
from lab.serving.access.guard import API_KEY, FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.access.paths import needed
from lab.serving.decision_reports import ReportKey
from lab.serving.decisions import Decider
from lab.serving.guest_api import create_guest_app
from lab.serving.store import AnswerStore
from tests.lab.decision.cases import edited, loan
from tests.lab.decision.reports import PASSPHRASE as WORDS
from tests.lab.decision.reports import Signer
from tests.lab.serving.conftest import BANK, PATIENT, TAX, World, ask, problem_of
from tests.lab.serving.test_decided import POLICY

PAGE = {"accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
NAMES = {BANK: ("Example Bank", "示例银行"), TAX: ("tax returns", "纳税申报")}


@dataclass
class Desk:
    """A bank's service over one store, and whoever asks it for reports."""

    world: World
    folder: Path
    signer: Signer

    @property
    def store(self) -> Path:
        return self.folder / "answers.db"

    def app(
        self, policy: Policy | None = POLICY, node: str | None = "node", nodes: bool = True, **more: Any
    ) -> FastAPI:
        return create_guest_app(
            self.world.shelf(),
            ThreadedWire(self.world.memory_wire() if nodes else MemoryWire({})),
            rules=PATIENT.model_copy(update={"names": NAMES}),
            decider=Decider(policy) if policy else None,
            store=AnswerStore.open(f"sqlite:///{self.store}"),
            report_key=ReportKey(self.folder / node) if node else None,
            **more,
        )

    def body(self, row: int = 0, **features: Any) -> dict[str, Any]:
        today = datetime.now(UTC).astimezone(CHINA).date()
        asked = loan(product="park_limit", listings_checked=today, turnover=8_765_432)
        told = {"consent_id": "C-2026-981", "reasons": 3, "loan": json.loads(asked.model_dump_json())}
        return self.world.body(row, **features) | told

    def told(self, app: FastAPI, body: dict[str, Any]) -> dict[str, Any]:
        reply = ask(app, "POST", "/v1/scores", json=body)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def verified(self, report: bytes, page: bytes) -> dict[str, Any]:
        """What ``lianmo decision verify`` says."""
        files = {name: self.folder / name for name in ("report.json", "report.html", "bank.json")}
        files["report.json"].write_bytes(report)
        files["report.html"].write_bytes(page)
        files["bank.json"].write_text(json.dumps(export(self.signer.store, self.signer.key)))
        words = ["--page", files["report.html"], "--key", files["bank.json"], "--json"]
        done = CliRunner().invoke(commands, ["decision", "verify", str(files["report.json"]), *map(str, words)])
        if done.exception:
            raise done.exception
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture
def desk(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv(PASSPHRASE, WORDS)
    (tmp_path / "node").mkdir(mode=0o700)
    return Desk(world, tmp_path, Signer.new(tmp_path / "node" / "keys", owner=BANK))


def report_of(app: FastAPI, score: str, **headers: str) -> httpx.Response:
    return ask(app, "GET", f"/v1/scores/{score}/report", headers=headers)


def test_a_report_is_of_the_decision_that_was_told_and_verified_offline(desk: Desk) -> None:
    app = desk.app()
    for row in range(4):
        told = desk.told(app, desk.body(row))
        report, page = report_of(app, told["score_id"]), report_of(app, told["score_id"], **PAGE)
        assert [r.headers["content-type"].split(";")[0] for r in (report, page)] == ["application/json", "text/html"]
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        found = desk.verified(report.content, page.content)
        body = found["report"]
        assert (found["intact"], found["page_checked"], found["signed_by"]) == (True, True, BANK)
        assert (body["score"], body["application"]) == (told["score_id"], f"application-{row}")
        assert body["decision"]["verdict"] == told["decision"]
        assert (body["decision"]["offer"] or {}).get("limit") == told["limit"]
        assert set(body["decision"]["made_by"]) == {rule["rule"] for rule in told["decided"]["decided_by"]}
        assert (body["policy"]["digest"], body["policy"]["sample"]) == (told["decided"]["policy_digest"], True)
        assert body["model"]["digest"] == told["model"]["digest"]
        assert body["score_facts"]["mode"] == told["mode"] == "joint"
        assert [reason["code"] for reason in body["score_facts"]["reasons"]] == [r["code"] for r in told["reasons"]]
        assert [source["party"] for source in body["sources"]] == told["parties_used"]
        assert body["sources"][1] == {"party": TAX, "english": "tax returns", "chinese": "纳税申报"}
        assert (body["bank"]["chinese"], body["consent"]["consent"]) == ("示例银行", "C-2026-981")


def test_the_store_and_the_report_hold_no_feature_and_no_applicant(desk: Desk) -> None:
    app = desk.app()
    told = desk.told(app, desk.body(0, Amount=77.123, Price=-41.875))
    report, page = report_of(app, told["score_id"]).content, report_of(app, told["score_id"], **PAGE).content
    with sqlite3.connect(desk.store) as connection:
        kept = "\n".join(connection.iterdump())
    assert '"turnover":8765432' in kept  # of the loan that was asked for; its report needs it
    for text in (kept, report.decode(), page.decode()):
        assert not any(value in text for value in ("77.123", "41.875", desk.world.table.ids[0]))
    assert "8765432" not in report.decode()


def test_without_a_decision_no_loan_is_kept(desk: Desk) -> None:
    desk.told(desk.app(policy=None), desk.body())
    with sqlite3.connect(desk.store) as connection:
        assert connection.execute("SELECT loan FROM answers").fetchall() == [(None,)]


def test_it_stays_the_same_and_under_a_new_key_says_the_same(desk: Desk) -> None:
    app = desk.app()
    score = desk.told(app, desk.body())["score_id"]
    first, again = report_of(app, score), report_of(app, score)
    assert first.content == again.content
    assert report_of(desk.app(), score).content == first.content  # another worker's
    desk.signer.store.rotate(desk.signer.key.key_id, WORDS)
    renewed, page = report_of(app, score), report_of(app, score, **PAGE)
    assert renewed.json()["digest"] == first.json()["digest"]
    assert renewed.json()["signature"]["key_id"] == desk.signer.store.active(SIGNING).key_id
    assert desk.verified(renewed.content, page.content)["intact"]


def test_a_key_that_was_revoked_signs_no_more(desk: Desk) -> None:
    app = desk.app()
    score = desk.told(app, desk.body())["score_id"]
    report_of(app, score)
    desk.signer.store.revoke(desk.signer.key.key_id, "lost")
    problem_of(report_of(app, score), 409, "no_key")


@pytest.mark.parametrize("nodes", [True, False])
def test_one_whom_nobody_scored_and_one_without_a_number_of_consent_have_reports(desk: Desk, nodes: bool) -> None:
    app = desk.app(nodes=nodes)
    told = desk.told(app, desk.body() | {"consent_id": None})
    report, page = report_of(app, told["score_id"]), report_of(app, told["score_id"], **PAGE)
    body = desk.verified(report.content, page.content)["report"]
    assert body["consent"] is None
    if nodes:
        assert "not named with the application" in page.text
    else:
        assert (told["mode"], body["decision"]["verdict"], body["score_facts"]["mode"]) == (
            "refer",
            "refer",
            "unscored",
        )
        assert (body["model"], body["sources"]) == (None, [])
        assert told["degraded_reason"]["text"] in body["score_facts"]["degraded_reason"]


def without_loan(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "loan"}


def other_policy() -> Policy:
    return edited(("\nversion = ", "\nversion = "), ("\nsample = true", "\nsample = false"))


@pytest.mark.parametrize(
    ("asked", "then", "code"),
    [
        (without_loan, {}, "no_loan"),
        (dict, {"policy": None}, "no_policy"),
        (dict, {"policy": other_policy()}, "no_policy"),
        (dict, {"node": None}, "no_key"),
        (dict, {"node": "nowhere"}, "no_key"),
    ],
)
def test_why_there_is_no_report(desk: Desk, asked: Callable[[Any], Any], then: dict[str, Any], code: str) -> None:
    score = desk.told(desk.app(), asked(desk.body()))["score_id"]
    app = desk.app(**then)
    problem_of(report_of(app, score), 409, code)
    assert ask(app, "GET", f"/v1/scores/{score}").status_code == 200
    problem_of(report_of(app, "nothing"), 404, "unknown_score")


def test_a_wrong_passphrase_makes_no_report(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    app = desk.app()
    score = desk.told(app, desk.body())["score_id"]
    monkeypatch.setenv(PASSPHRASE, "not these words at all")
    problem_of(report_of(app, score), 409, "no_key")


def test_no_report_of_a_decision_that_is_not_the_one_told(desk: Desk) -> None:
    app = desk.app()
    told = desk.told(app, desk.body())
    changed = json.dumps({**told, "decided": {**told["decided"], "limit": 1}})
    with sqlite3.connect(desk.store) as connection:
        connection.execute("UPDATE answers SET body = ?", (changed,))
    problem_of(report_of(app, told["score_id"]), 409, "decision_differs")


def test_what_cannot_be_shown_is_named_and_not_repeated(desk: Desk) -> None:
    app = desk.app()
    told = desk.told(app, desk.body() | {"application_id": "a\u202eb"})
    problem = problem_of(report_of(app, told["score_id"]), 409, "report_unusable")
    assert "application_id" in problem["detail"]
    assert "\u202e" not in problem["detail"]


def test_a_report_is_its_caller_s_alone(desk: Desk) -> None:
    folder = desk.folder / "access"
    folder.mkdir(mode=0o700)
    book = KeyBook(folder)
    keys = {name: book.add(name, ["score", "read"], 1.0)[1] for name in ("desk", "web")}
    blind = book.add("blind", ["score"], 1.0)[1]
    app = desk.app(guard=FolderGuard(folder))
    reply = ask(app, "POST", "/v1/scores", json=desk.body(), headers={API_KEY: keys["desk"]})
    score = reply.json()["score_id"]
    assert report_of(app, score, **{API_KEY: keys["desk"]}).status_code == 200
    problem_of(report_of(app, score, **{API_KEY: keys["web"]}), 404, "unknown_score")
    assert report_of(app, score, **{API_KEY: blind}).status_code == 403
    assert report_of(app, score).status_code == 401


def test_what_stands_below_a_score_and_is_no_report_is_for_administrators() -> None:
    assert needed("GET", "/v1/scores/s1/report") == "read"
    assert {needed("GET", f"/v1/scores/{path}") for path in ("s1/other", "s1/report/x", "s1/report/", "/report/x")} == {
        "admin"
    }
