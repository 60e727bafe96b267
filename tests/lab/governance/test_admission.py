"""A whole run of hosts with data nodes: what is not allowed reaches neither alignment nor training nor a score."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from federation.alignment.host import AlignmentHost
from federation.alignment.messages import RowsChosen, TokensWanted
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.vertical.host import TrainingHost
from lab.cli import app
from lab.config import load_config
from lab.data.sources import read_table
from lab.errors import ConfigError, GovernanceError, ReportedError
from lab.governance.admission import admitted
from lab.governance.catalogue import SAMPLE
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.policy import PolicyBook, Terms
from lab.governance.settings import load_settings
from lab.governance.store import open_store
from lab.runs import train_run
from models.errors import LianmoError
from models.table import Table
from tests.lab.conftest import Write

START = datetime(2020, 1, 1, tzinfo=UTC)
CITATIONS = {"tax, 元": "TAX-03", "late": "SOC-01"}


class Node:
    """The data node of a bureau, in a folder: nine of ten subjects consent to a model, and to scores."""

    def __init__(self, files: Path, citations: dict[str, str], name: str = "tax") -> None:
        self.folder = files / f"node-{name}"
        self.folder.mkdir()
        (self.folder / "catalogue.toml").write_text(SAMPLE.read_text("utf-8"), "utf-8")
        told = "".join(f"{json.dumps(column, ensure_ascii=False)} = '{item}'\n" for column, item in citations.items())
        (self.folder / "node.toml").write_text(f'party = "host:{name}"\n[citations]\n{told}', "utf-8")
        self.engine = open_store(load_settings(self.folder).store)
        self.book, self.ledger = PolicyBook(self.engine), ConsentLedger(self.engine)
        terms = Terms(
            parties=["bank"],
            purposes=["loan_model", "loan_score"],
            algorithms=["boosting", "scoring"],
            min_rows_per_bin=12,
        )
        self.book.propose("loans", terms, "Li", START)
        self.book.decide("loans", "approved", "Wang", START)
        self.ids = sorted(pd.read_csv(files / f"{name}.csv", dtype={"id": str})["id"])
        self.willing = self.ids[: len(self.ids) * 9 // 10]
        self.ledger.add([self.consent(i, p) for i in self.willing for p in ("loan_model", "loan_score")])

    def consent(self, subject: str, purpose: str, **changes: Any) -> Consent:
        told = {
            "consent": f"{purpose}-{subject}",
            "subject": subject,
            "purpose": purpose,
            "parties": ["bank"],
            "scopes": ["social", "tax"],
            "starts": START,
            "ends": START + timedelta(days=36_500),
            "evidence": "0" * 64,
        }
        return Consent(**{**told, **changes})

    def revoke(self, subject: str, purpose: str) -> None:
        self.ledger.revoke(f"{purpose}-{subject}", datetime.now(UTC))


@pytest.fixture
def node(files: Path) -> Node:
    return Node(files, CITATIONS)


def governed(write_config: Write, **changes: Any) -> Path:
    path = write_config(**changes)
    text = path.read_text("utf-8")
    path.write_text(text.replace('data = "tax.csv"', 'data = "tax.csv"\nnode = "node-tax"\nproject = "loans"'), "utf-8")
    return path


def train(path: Path) -> dict[str, Any]:
    return train_run(load_config(path), Console(quiet=True))


def test_nobody_without_consent_is_in_a_run(node: Node, write_config: Write, files: Path) -> None:
    result = train(governed(write_config))
    assert result["hosts"]["host:tax"]["n_rows"] == len(node.willing)
    used = set(pd.read_csv(files / "runs/small/nodes/bank/scores.csv", dtype={"id": str})["id"])
    assert used <= set(node.willing)
    assert result["rows"]["common"] == len(used) > 250


def test_a_consent_that_ended_counts_no_more(node: Node, write_config: Write, files: Path) -> None:
    for subject in node.willing[:100]:
        node.revoke(subject, "loan_model")
    train(governed(write_config))
    used = set(pd.read_csv(files / "runs/small/nodes/bank/scores.csv", dtype={"id": str})["id"])
    assert not used & set(node.willing[:100])


@pytest.mark.parametrize("transport", ["memory", "relay"])
def test_a_column_without_a_legal_basis_stops_the_run_before_anything_is_sent(
    transport: str, files: Path, write_config: Write
) -> None:
    Node(files, {"late": "SOC-01"})
    with pytest.raises((GovernanceError, ReportedError)) as caught:
        train(governed(write_config, transport=transport))
    assert caught.value.code == "uncatalogued"
    assert "tax, 元" in caught.value.english
    assert not (files / "runs").exists() or not any((files / "runs").iterdir())


def test_a_project_that_was_stopped_stops_runs_and_scores(node: Node, write_config: Write, files: Path) -> None:
    path = governed(write_config)
    train(path)
    node.book.decide("loans", "stopped", "Wang", datetime.now(UTC))
    with pytest.raises(GovernanceError) as caught:
        train(path)
    assert caught.value.code == "project_not_approved"
    bank = files / "runs/small/nodes/bank"
    found = CliRunner().invoke(app, ["score", str(bank), str(files / "bank.csv"), "--local"])
    assert isinstance(found.exception, LianmoError)
    assert found.exception.code == "policy"


def test_a_scorecard_that_was_not_approved_is_not_made(node: Node, write_config: Write) -> None:
    with pytest.raises(GovernanceError) as caught:
        train(governed(write_config, extra="[scorecard]\n"))
    assert caught.value.code == "algorithm_not_allowed"


def scored(files: Path, subjects: Sequence[str]) -> list[str]:
    """Who does not hold each applicant, as the second score says."""
    frame = pd.read_csv(files / "bank.csv", dtype={"id": str}).set_index("id").loc[list(subjects)].reset_index()
    frame.to_csv(files / "applicants.csv", index=False)
    out = files / "scored.csv"
    arguments = ["score", str(files / "runs/small/nodes/bank"), str(files / "applicants.csv"), "--local"]
    found = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert found.exit_code == 0, found.exception
    told = pd.read_csv(out, dtype={"unknown_at": str})
    assert (told["unknown_at"].notna() == told["default_probability"].isna()).all()
    return told["unknown_at"].fillna("").tolist()


def test_one_consent_revoked_between_two_scores_changes_the_second(
    node: Node, write_config: Write, files: Path
) -> None:
    train(governed(write_config))
    both = set(pd.read_csv(files / "court.csv", dtype={"id": str})["id"]) & set(node.willing)
    one, other = sorted(both)[:2]
    assert scored(files, [one, other]) == ["", ""]
    node.revoke(one, "loan_score")
    assert scored(files, [one, other]) == ["host:tax", ""]


def test_scores_use_up_the_budget_too(node: Node, write_config: Write) -> None:
    train(governed(write_config))
    _, left = node.book.dry_run(_use())
    assert left.uses == 99


def _use() -> Any:
    from lab.governance.policy import Use

    at = datetime.now(UTC)
    return Use(project="loans", party="bank", purpose="loan_model", algorithm="boosting", n_rows=1, at=at)


def test_the_stricter_floor_holds(node: Node, write_config: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[HostPolicy] = []
    init = TrainingHost.__post_init__
    monkeypatch.setattr(TrainingHost, "__post_init__", lambda self: (seen.append(self.policy), init(self))[1])
    train(governed(write_config))
    assert {p.min_rows_per_bin for p in seen} == {12, 10}


@pytest.mark.parametrize("line", ['node = "node-tax"', 'project = "loans"'])
def test_a_node_is_asked_under_a_project(write_config: Write, line: str) -> None:
    path = write_config()
    path.write_text(path.read_text("utf-8").replace('data = "tax.csv"', f'data = "tax.csv"\n{line}'), "utf-8")
    with pytest.raises(ConfigError, match="node and project go together"):
        load_config(path)


def test_a_bank_may_have_a_node_and_needs_no_project(write_config: Write, files: Path) -> None:
    path = write_config()
    text = path.read_text("utf-8")
    path.write_text(text.replace('data = "bank.csv"', 'data = "bank.csv"\nnode = "node-bank"'), "utf-8")
    assert load_config(path).guest.node == files / "node-bank"
    path.write_text(text.replace('data = "bank.csv"', 'data = "bank.csv"\nproject = "loans"'), "utf-8")
    with pytest.raises(ConfigError, match="a guest has no project"):
        load_config(path)


# -- the moments at which a host asks again ----------------------------------------------------------------------

TABLE = Table(tuple(f"S{k}" for k in range(200)), {"x": np.arange(200.0)})


class Fickle:
    """Consents until told otherwise."""

    withdrawn: frozenset[str] = frozenset()

    def __call__(self, subjects: Sequence[str]) -> np.ndarray:
        return np.array([s not in self.withdrawn for s in subjects], dtype=bool)


def test_rows_whose_consent_ended_meanwhile_are_not_chosen() -> None:
    permit = Fickle()
    host = AlignmentHost(TABLE.ids, HostPolicy(permit=permit))
    host.answer(TokensWanted())
    permit.withdrawn = frozenset({"S7"})
    every = RowsChosen(positions=np.arange(200, dtype=np.uint32).tobytes())
    with pytest.raises(LocalProtocolError) as caught:
        host.answer(every)
    assert caught.value.code == "no_consent"
    assert len(host.state.rows) == 0
    assert "S7" not in str(caught.value)
    permit.withdrawn = frozenset()
    host.answer(every)


@pytest.mark.parametrize("part", ["_new_boosting", "_new_scorecard"])
def test_training_does_not_begin_over_rows_whose_consent_ended(part: str) -> None:
    permit = Fickle()
    host = TrainingHost("host:tax", TABLE, HostPolicy(permit=permit))
    host.alignment.answer(TokensWanted())
    host.alignment.answer(RowsChosen(positions=np.arange(200, dtype=np.uint32).tobytes()))
    getattr(host, part)()
    permit.withdrawn = frozenset({"S7"})
    with pytest.raises(LocalProtocolError) as caught:
        getattr(host, part)()
    assert caught.value.code == "no_consent"


def test_a_model_that_was_not_admitted_is_not_begun() -> None:
    host = TrainingHost("host:tax", TABLE, replace(HostPolicy(), algorithms=("boosting",)))
    host.alignment.answer(TokensWanted())
    host.alignment.answer(RowsChosen(positions=np.arange(200, dtype=np.uint32).tobytes()))
    host._new_boosting()
    with pytest.raises(LocalProtocolError) as caught:
        host._new_scorecard()
    assert caught.value.code == "policy"


@pytest.mark.parametrize("decision", ["suspended", "stopped"])
def test_a_run_under_way_ends_at_the_next_message_once_its_project_may_not_go_on(
    node: Node, write_config: Write, monkeypatch: pytest.MonkeyPatch, decision: Any
) -> None:
    answered: list[str] = []
    real = TrainingHost.answer

    def answer(host: TrainingHost, request: Message) -> Message:
        if host.party == "host:tax":
            answered.append(request.kind)
            if len(answered) == 8:
                node.book.decide("loans", decision, "Wang", datetime.now(UTC))
        return real(host, request)

    monkeypatch.setattr(TrainingHost, "answer", answer)
    with pytest.raises(LianmoError) as caught:
        train(governed(write_config))
    assert caught.value.code == "policy"
    assert len(answered) == 8
    assert any(kind.startswith("boosting") for kind in answered)


def test_the_project_may_keep_levels_of_categories_from_the_bank(node: Node, write_config: Write) -> None:
    party = replace_in(load_config(governed(write_config)), "host:tax")
    assert admitted(party, read_table(party), "bank", "boosting").policy.share_levels
    terms = node.book.terms("loans").model_copy(update={"share_levels": False})
    node.book.propose("quiet", terms, "Li", START)
    node.book.decide("quiet", "approved", "Wang", START)
    quiet = party.model_copy(update={"project": "quiet"})
    assert not admitted(quiet, read_table(party), "bank", "boosting").policy.share_levels


def replace_in(config: Any, party: str) -> Any:
    return next(host for host in config.hosts if host.party == party)
