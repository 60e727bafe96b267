"""Scores of parties that keep audit logs: what stands there, nothing is told unrecorded, and where a trace leads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fastapi import FastAPI
from httpx import Response
from typer.testing import CliRunner

from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from lab.cli import app as command_line
from lab.governance.policy import CHINA
from lab.governance.records import Record, RecordBook, RecordChange
from lab.governance.trace import Branch, trace
from lab.serving.decisions import Decider
from lab.serving.guest_api import create_guest_app
from lab.serving.nodes import bank_record, hosts_beside, joint_model, scoring_endpoint
from lab.serving.publishing.shelf import open_shelf
from tests.lab.decision.cases import loan
from tests.lab.governance.test_session_record import NAMES, WORDS, Parties
from tests.lab.serving.conftest import PATIENT, ask, degraded_of, plain, problem_of
from tests.lab.serving.test_decided import POLICY
from tests.signing import cheap_keys


@pytest.fixture
def parties(files: Path, write_config: Any, monkeypatch: pytest.MonkeyPatch) -> Parties:
    monkeypatch.setenv("LIANMO_PASSPHRASE", WORDS)
    cheap_keys(monkeypatch)
    return Parties(files, write_config)


class Service:
    """The bank's endpoint over hosts that were opened once, as services are."""

    def __init__(self, files: Path, decider: Decider | None = None) -> None:
        self.bank = files / "runs/small/nodes/bank"
        self.model, _ = joint_model(self.bank)
        hosts = {party: scoring_endpoint(folder).answer for party, folder in hosts_beside(self.bank).items()}
        self.app: FastAPI = create_guest_app(
            open_shelf(self.bank),
            ThreadedWire(MemoryWire(hosts)),
            rules=PATIENT.model_copy(update={"fallback": "refer"}),
            decider=decider,
            record=bank_record(self.bank, self.model),
        )
        self.rows = pd.read_csv(files / "bank.csv", dtype={"id": str}).set_index("id")

    def score(self, applicant: str) -> Response:
        return self.post("/v1/scores", self.body(applicant))

    def post(self, path: str, body: Any) -> Response:
        content, headers = json.dumps(body, default=float), {"Content-Type": "application/json"}
        return ask(self.app, "POST", path, content=content, headers=headers)

    def body(self, applicant: str) -> dict[str, Any]:
        features = {b.name: plain(self.rows.loc[applicant, b.name]) for b in self.model.inputs}
        return {"application_id": "a-1", "applicant_id": applicant, "features": features}


def both(parties: Parties) -> list[str]:
    """Applicants whom both hosts hold and who consent."""
    return sorted({*parties.tax.willing} & {*parties.court.willing} & {*bank_ids(parties)})


def bank_ids(parties: Parties) -> list[str]:
    return list(pd.read_csv(parties.files / "bank.csv", dtype={"id": str})["id"])


def test_every_party_has_a_score_on_record_under_one_name_before_it_is_told(parties: Parties, files: Path) -> None:
    parties.train()
    answer = Service(files).score(both(parties)[0])
    assert answer.status_code == 200
    score = answer.json()["score_id"]
    for party in NAMES:
        entry = parties.said(party)[-1]
        assert (entry.kind, entry.actor) == ("score_answered", "bank")
        assert entry.references["score"] == score
        assert entry.references["n_rows"] == 1
        assert len(entry.references["applicant"]) == 64
    tax = parties.said("host:tax")[-1].references
    assert tax["policy"] == parties.said("host:tax", "rows_admitted")[0].references["policy"]
    assert tax["sources"]
    assert tax["items"]
    assert tax["consent"]
    assert bank_ids(parties)[0] not in "".join(parties.path(party).read_text("utf-8") for party in NAMES)


def test_the_same_applicant_has_another_digest_at_each_party(parties: Parties, files: Path) -> None:
    parties.train()
    service = Service(files)
    for _ in range(2):
        service.score(both(parties)[0])
    found = [{e.references["applicant"] for e in parties.said(p, "score_answered")} for p in NAMES]
    assert [len(f) for f in found] == [1, 1, 1]
    assert len(set.union(*found)) == 3


@pytest.mark.parametrize("party", list(NAMES))
def test_what_cannot_be_recorded_is_not_told(parties: Parties, files: Path, party: str) -> None:
    parties.train()
    service = Service(files)
    parties.path(party).unlink()
    answer = service.score(both(parties)[0])
    if party == "bank":
        problem_of(answer, 500, "audit_missing")
        assert "default_probability" not in answer.text
    else:
        assert degraded_of(answer, "refer", "internal")["parties"] == [party]


def test_refusals_are_on_record(parties: Parties, files: Path) -> None:
    parties.train()
    service, applicant = Service(files), both(parties)[0]
    parties.tax.revoke(applicant, "loan_score")
    degraded_of(service.score(applicant), "refer", "unknown_applicant")
    assert parties.said("bank")[-1].references["code"] == "unknown_applicant"
    assert parties.said("host:tax")[-1].references["n_refused"] == 1
    parties.tax.book.decide("loans", "suspended", "Wang", datetime.now(UTC))
    degraded_of(service.score(applicant), "refer", "policy")
    refused = parties.said("host:tax")[-1]
    assert (refused.kind, refused.references["code"]) == ("refused", "policy")
    assert refused.references["score"] == parties.said("bank")[-1].references["score"]


def test_a_trace_leads_from_a_score_to_features_sources_consents_keys_and_people(parties: Parties, files: Path) -> None:
    for decision in ("suspend", "approve"):
        officer(parties, "policy", decision, "loans", "--by", "王芳")
    parties.train()
    applicant = both(parties)[0]
    score = Service(files).score(applicant).json()["score_id"]
    officer(parties, "consent", "revoke", f"loan_score-{applicant}")
    tree = trace(score, [parties.path(party) for party in NAMES])
    found = {(b.question, b.name): b for b in branches(tree)}
    session = parties.said("host:tax", "session_opened")[0].references["session"]
    for question in ("score", "model", "run", "keys", "people", "later"):
        assert any(q == question for q, _ in found), question
    assert ("run", session) in found
    assert "王芳 (host:tax)" in found["people", ""].facts
    for party in ("host:tax", "host:court"):
        assert found["features", party].facts["items"]
        facts = found["sources", party].facts
        assert facts["sources"]
        assert facts["policy"]
        assert facts["data"]
        assert facts["n_rows"]
        assert found["consents", party].facts["consent_set"]
    assert found["consents", ""].facts["consent"]
    assert [e.kind for e in next(b for (q, _), b in found.items() if q == "later").entries] == ["consent_revoked"]
    assert not [e for b in branches(tree) for e in b.elsewhere]


def test_each_score_of_a_batch_is_on_record_and_leads_to_what_hosts_were_asked(parties: Parties, files: Path) -> None:
    parties.train()
    service, asked = Service(files), both(parties)[:3]
    body = {"applications": [service.body(applicant) | {"consent_id": "c-7"} for applicant in asked]}
    items = service.post("/v1/scores:batch", body).json()["items"]
    names = [item["score"]["score_id"] for item in items]
    at_bank = parties.said("bank", "score_answered")[-3:]
    assert [entry.references["score"] for entry in at_bank] == names
    assert len({entry.references["applicant"] for entry in at_bank}) == 3
    assert {len(entry.references["consent"]) for entry in at_bank} == {64}
    (at_tax,) = [e for e in parties.said("host:tax", "score_answered") if e.references["n_rows"] == 3]
    assert at_tax.references["score"] == names[0].partition(".")[0]
    found = trace(names[1], [parties.path(party) for party in NAMES])
    assert at_tax.digest in {entry.digest for entry in found.entries}
    assert at_bank[1].digest in {entry.digest for entry in found.entries}
    assert not {at_bank[0].digest, at_bank[2].digest} & {entry.digest for entry in found.entries}


def test_what_was_decided_and_by_which_rules_stands_beside_the_score(parties: Parties, files: Path) -> None:
    parties.train()
    service, asked = Service(files, Decider(POLICY)), both(parties)[:3]
    today = datetime.now(UTC).astimezone(CHINA).date()
    stopped = {"listings": [{"code": "serious_dishonesty", "listed": "2024-05-01"}]}

    def body(applicant: str, **changes: Any) -> dict[str, Any]:
        wanted = json.loads(loan(product="park_limit", listings_checked=today, **changes).model_dump_json())
        return service.body(applicant) | {"consent_id": "c-7", "loan": wanted}

    told = [service.post("/v1/scores", body(asked[0])).json()]
    batch = {"applications": [body(asked[1], **stopped), service.body(asked[1])]}
    declined, undecided = [i["score"] for i in service.post("/v1/scores:batch", batch).json()["items"]]
    parties.tax.revoke(asked[2], "loan_score")
    told += [declined, service.post("/v1/scores", body(asked[2])).json()]
    assert [answer["mode"] for answer in told] == ["joint", "joint", "refer"]
    assert (told[1]["decision"], told[2]["decision"]) == ("decline", "refer")

    said = {e.references["score"]: e for e in parties.said("bank") if "score" in e.references}
    for answer in told:
        references = said[answer["score_id"]].references
        assert references["decision"] == answer["decision"]
        assert references["decided_by"] == [rule["rule"] for rule in answer["decided"]["decided_by"]]
        assert (references["decision_policy"], references["policy_version"]) == (POLICY.digest, POLICY.version)
        assert (references["model_digest"], references["version"]) == (
            answer["model"]["digest"],
            answer["model"]["version"],
        )
        assert len(references["consent"]) == 64
        found = trace(answer["score_id"], [parties.path(party) for party in NAMES]).facts
        assert found["decision_policy"] == [POLICY.digest]
        assert found["decided_by"] == references["decided_by"]
        assert answer["model"]["digest"] in found["model_digest"]
    assert "serious_dishonesty" in said[declined["score_id"]].references["decided_by"]
    assert said[told[2]["score_id"]].kind == "refused"
    assert not {"decision", "decided_by"} & set(said[undecided["score_id"]].references)
    assert not [e for e in parties.said("host:tax") if "decision" in e.references]

    shown = CliRunner().invoke(command_line, ["trace", declined["score_id"], "--node", str(parties.nodes["bank"])])
    assert shown.exit_code == 0, shown.exception
    for word in ("decided by 决定规则", "serious_dishonesty", POLICY.version, POLICY.digest[:16]):
        assert word in shown.output


def officer(parties: Parties, *arguments: str) -> None:
    """What an officer of the tax node types."""
    done = CliRunner().invoke(command_line, ["node", *arguments, "--node", str(parties.nodes["host:tax"])])
    assert done.exit_code == 0, done.exception


def branches(tree: Branch) -> Iterator[Branch]:
    yield tree
    for branch in tree.branches:
        yield from branches(branch)


def test_a_repair_changes_the_next_score_of_a_service_that_runs(parties: Parties, files: Path) -> None:
    applicant = both(parties)[0]
    node, book = parties.tax.folder, RecordBook(parties.tax.engine)
    settings = (node / "node.toml").read_text("utf-8")
    (node / "node.toml").write_text(
        settings.replace("[citations]", '[records]\nitems = ["PEN-01"]\n[citations]'), "utf-8"
    )
    grant_penalties(parties)
    today = date.today()
    published, ends = today - timedelta(days=400), today + timedelta(days=400)
    for k, subject in enumerate(parties.tax.ids):
        if subject in defaulters(parties) or subject == applicant:
            record = {"item": "PEN-01", "severity": "serious", "published": published, "term_ends": ends}
            book.add([Record(record=f"R-{k}", subject=subject, amount=9.0, **record)])
    parties.train()
    service = Service(files)
    before = service.score(applicant).json()["default_probability"]
    (number,) = [r.record for r in book._records(subjects=[applicant])]
    book.change(RecordChange(record=number, change="repair_requested", on=today - timedelta(days=2)))
    book.change(RecordChange(record=number, change="repaired", on=today - timedelta(days=1)))
    after = service.score(applicant).json()["default_probability"]
    assert after < before
    assert after == Service(files).score(applicant).json()["default_probability"]


def defaulters(parties: Parties) -> set[str]:
    frame = pd.read_csv(parties.files / "bank.csv", dtype={"id": str})
    return set(frame.loc[frame["bad"] == 1, "id"])


def grant_penalties(parties: Parties) -> None:
    """Everybody who consents lets penalties be used, too."""
    given = [
        parties.tax.consent(i, p, consent=f"{p}-{i}-pen", scopes=["penalties", "social", "tax"])
        for i in parties.tax.willing
        for p in ("loan_model", "loan_score")
    ]
    parties.tax.ledger.add(given)
