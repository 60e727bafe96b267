"""A whole run on the synthetic city through its nodes: credit centre, tax and guarantor as hosts, a bank as guest.

What may be used is worked out here anew, from the city's files with pandas, and not by the code under test. Each check
of the node is also taken away once, to see that its absence shows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi import FastAPI
from rich.console import Console
from typer.testing import CliRunner

import lab.governance.gate as gate_module
import lab.node
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.host import TrainingHost
from lab.cli import app as command_line
from lab.config import load_config
from lab.data.synthetic.nodes import FROZEN, write_nodes
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.errors import GovernanceError
from lab.governance.catalogue import Cited
from lab.governance.consents import ConsentLedger
from lab.governance.protection import PASSPHRASE
from lab.governance.record_states import Span, spans
from lab.governance.settings import store_of
from lab.runs import train_run
from lab.serving.guest_api import create_guest_app
from lab.serving.nodes import bank_record, hosts_beside, joint_model, scoring_endpoint
from lab.serving.publishing.shelf import open_shelf
from models.errors import LianmoError
from models.table import Table
from tests.lab.serving.conftest import PATIENT, ask, plain
from tests.signing import cheap_keys

WORDS = "correct horse battery staple"
HOSTS = ("credit", "tax", "guarantee")
NODES = {"bank": "bank", **{f"host:{name}": f"host-{name}" for name in HOSTS}}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    city = tmp_path_factory.mktemp("city") / "city"
    write_population(city, Settings(n_enterprises=2500, seed=1, default_rate=0.045))
    with pytest.MonkeyPatch.context() as patch:
        cheap_keys(patch)
        write_nodes(city, passphrase=WORDS)
    path = city / "governed.toml"
    path.write_text(path.read_text("utf-8").replace("n_estimators = 80", "n_estimators = 3"), "utf-8")
    path.write_text(path.read_text("utf-8").replace("[run]\n", '[run]\ntransport = "memory"\n', 1), "utf-8")
    return city


@pytest.fixture
def city(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to harm."""
    monkeypatch.setenv(PASSPHRASE, WORDS)
    cheap_keys(monkeypatch)
    return Path(shutil.copytree(drawn, tmp_path / "city"))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Table]:
    """The tables that hosts of the next runs align and train on: all that can reach a ciphertext."""
    tables: dict[str, Table] = {}

    def host(party: str, table: Table, *more: Any, **named: Any) -> TrainingHost:
        tables[party] = table
        return TrainingHost(party, table, *more, **named)

    monkeypatch.setattr(lab.node, "TrainingHost", host)
    return tables


def train(city: Path) -> dict[str, Any]:
    return train_run(load_config(city / "governed.toml"), Console(quiet=True))


# -- what may be used, from the files ---------------------------------------------------------------------------------


def willing(city: Path, host: str, purpose: str) -> set[str]:
    """Subjects whose consent to the purpose, in force today, names the host and all it is asked for."""
    c = pd.read_parquet(city / "ledger/synthetic-consents.parquet")
    today = pd.Timestamp.now("Asia/Shanghai").tz_localize(None).normalize()
    holds = (pd.to_datetime(c["starts_on"]) <= today) & (pd.to_datetime(c["ends_on"]) >= today)
    holds &= ~(pd.to_datetime(c["revoked_on"]) <= today)
    scopes = {"tax": ["all_catalogue_items"], "guarantee": ["all_catalogue_items", "no_written_consent_items"]}
    scopes["credit"] = scopes["guarantee"]
    holds &= c["purpose"].eq(purpose) & c["scope"].isin(scopes[host])
    holds &= c["parties"].str.split(";").map(lambda named: f"host:{host}" in named)
    return set(c.loc[holds, "subject"])


def spent(city: Path) -> set[str]:
    """Subjects who had a penalty that counted on the day of their features, and all of whose penalties are repaired,
    withdrawn or over today: none may be seen."""
    r = pd.read_parquet(city / "host-credit/synthetic-records.parquet")
    r = r[r["kind"] != "honour"]
    f = pd.read_parquet(city / "host-credit/synthetic-features.parquet")
    as_of = pd.to_datetime(f.set_index("subject")["as_of"].astype(str))
    r = r[r["subject"].isin(as_of.index)]
    day = r["subject"].map(as_of)
    then = (pd.to_datetime(r["reported_on"]) <= day) & (pd.to_datetime(r["publicity_end"]) > day)
    gone = r["repaired_on"].notna() | r["withdrawn_on"].notna()
    gone |= pd.to_datetime(r["publicity_end"]) < pd.Timestamp.now() - pd.DateOffset(months=40)
    return set(r.loc[then & gone, "subject"]) - set(r.loc[~gone, "subject"])


def leaks(city: Path, tables: dict[str, Table]) -> set[str]:
    """What reached hosts' alignment and training, and should not have."""
    found = set()
    for host in HOSTS:
        table = tables[f"host:{host}"]
        found |= {"consent"} if set(table.ids) - willing(city, host, "joint_modelling") else set()
        found |= {"column"} if {*FROZEN, "faith", "as_of"} & set(table.columns) else set()
    credit = tables["host:credit"]
    counts = dict(zip(credit.ids, credit.columns["PEN-01_count"].tolist(), strict=True))
    found |= {"record"} if any(counts.get(subject, 0) for subject in spent(city)) else set()
    return found


# -- the run ----------------------------------------------------------------------------------------------------------


def test_nothing_that_is_denied_reaches_alignment_or_training(city: Path, seen: dict[str, Table]) -> None:
    result = train(city)
    assert "paillier" in json.dumps(result["cipher"])
    assert leaks(city, seen) == set()
    common: set[str] = set.intersection(*(willing(city, host, "joint_modelling") for host in HOSTS))
    used = set(pd.read_csv(city.parent / "city-runs/governed/nodes/bank/scores.csv", dtype={"id": str})["id"])
    assert len(used) > 100
    assert used <= common
    for host in HOSTS:
        held = set(pd.read_parquet(city / f"host-{host}/synthetic-features.parquet")["subject"])
        assert set(seen[f"host:{host}"].ids) == held & willing(city, host, "joint_modelling")
        assert result["hosts"][f"host:{host}"]["audit"] == "countersigned"
    assert len(set(seen["host:credit"].ids) & spent(city)) > 2  # there was something to forget
    assert sum(seen["host:credit"].columns["PEN-01_count"]) > 2  # and something that counts


def everybody_consents(monkeypatch: pytest.MonkeyPatch) -> None:
    def allowed(_: ConsentLedger, subjects: Sequence[str], **__: Any) -> np.ndarray:
        return np.ones(len(subjects), dtype=bool)

    monkeypatch.setattr(ConsentLedger, "allowed", allowed)


def nothing_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(published: Any, ends: Any, amount: Any, _: Any) -> list[Span]:
        return [Span(s.start, datetime.max.date(), s.amount) for s in spans(published, ends, amount, [])]

    monkeypatch.setattr("lab.governance.records.spans", whole)


def any_column_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = gate_module.cite

    def lenient(table: Table, citations: Any, catalogue: Any) -> Cited:
        return real(table.select(tuple(n for n in table.columns if n in citations or "PEN" in n)), citations, catalogue)

    monkeypatch.setattr(gate_module, "cite", lenient)


@pytest.mark.parametrize(
    ("removed", "leak"),
    [(everybody_consents, "consent"), (nothing_is_repaired, "record"), (any_column_will_do, "column")],
)
def test_each_check_that_is_taken_away_is_missed(
    city: Path, seen: dict[str, Table], monkeypatch: pytest.MonkeyPatch, removed: Callable[..., None], leak: str
) -> None:
    if leak == "column":
        add_faith(city)
    removed(monkeypatch)
    with suppress(LianmoError):  # what comes after the check may notice, but too late
        train(city)
    assert leak in leaks(city, seen)


def add_faith(city: Path) -> None:
    """A column that nobody may use, in the file of the tax bureau."""
    path = city / "host-tax/synthetic-features.parquet"
    frame = pd.read_parquet(path)
    frame.assign(faith=np.arange(len(frame)) % 3).to_parquet(path)


def test_a_denied_column_stops_the_run_before_anything_is_sent(city: Path, seen: dict[str, Table]) -> None:
    add_faith(city)
    with pytest.raises(GovernanceError) as caught:
        train(city)
    assert caught.value.code in ("uncatalogued", "forbidden_kind")
    assert "faith" in caught.value.english
    assert "host:tax" not in seen


def test_scores_ask_again_and_a_revocation_changes_the_second(city: Path) -> None:
    train(city)
    app, rows = service(city)
    may = set.intersection(*(willing(city, host, "loan_approval") for host in HOSTS))
    known = [s for s in rows.index if s in may and all(s in held(city, host) for host in HOSTS)]
    others = [s for s in rows.index if s not in may][:5]
    assert known
    assert others
    for subject in others:
        assert code_of(app, rows, subject) == "unknown_applicant"
    assert code_of(app, rows, known[0]) == ""
    ledger = ConsentLedger(store_of(city / "host-tax/node"))
    (number,) = ledger.used([known[0]], party="bank", purpose="loan_score", scopes=["tax"], at=datetime.now(UTC))
    done = CliRunner().invoke(
        command_line, ["node", "consent", "revoke", number, "--node", str(city / "host-tax/node")]
    )
    assert done.exit_code == 0
    assert code_of(app, rows, known[0]) == "unknown_applicant"


def held(city: Path, host: str) -> set[str]:
    return set(pd.read_parquet(city / f"host-{host}/synthetic-features.parquet")["subject"])


def service(city: Path) -> tuple[FastAPI, pd.DataFrame]:
    bank = city.parent / "city-runs/governed/nodes/bank"
    model, _ = joint_model(bank)
    wire = MemoryWire({party: scoring_endpoint(folder).answer for party, folder in hosts_beside(bank).items()})
    app = create_guest_app(open_shelf(bank), ThreadedWire(wire), rules=PATIENT, record=bank_record(bank, model))
    app.state.model = model
    return app, pd.read_parquet(city / "bank/synthetic-features.parquet").set_index("subject")


def code_of(app: FastAPI, rows: pd.DataFrame, subject: str) -> str:
    """Of the answer; "" if there is a score."""
    features = {b.name: plain(rows.loc[subject, b.name]) for b in app.state.model.inputs}
    body = {"application_id": "a-1", "applicant_id": subject, "features": features}
    headers = {"Content-Type": "application/json"}
    answer = ask(app, "POST", "/v1/scores", content=json.dumps(body, default=float), headers=headers).json()
    return "" if answer["degraded_reason"] is None else str(answer["degraded_reason"]["code"])


# -- what was done to a log afterwards --------------------------------------------------------------------------------


def edit(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"n_rows":', b'"n_rows":1', 1) if b"rows_admitted" in line else line for line in lines]


def drop(lines: list[bytes]) -> list[bytes]:
    return lines[:1] + lines[2:]


def reorder(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def truncate(lines: list[bytes]) -> list[bytes]:
    return lines[:2]


def test_tampering_is_found_and_laid_at_the_right_party(city: Path) -> None:
    train(city)
    logs = {party: city / folder / "node/audit/log.jsonl" for party, folder in NODES.items()}
    whole = {party: path.read_bytes() for party, path in logs.items()}
    assert {grave(logs, party) for party in NODES} == {frozenset()}
    for party in NODES:
        for harm in (edit, drop, reorder, truncate):
            if harm is edit and party == "bank":
                continue  # admits no rows
            logs[party].write_bytes(b"".join(line + b"\n" for line in harm(whole[party].splitlines())))
            assert grave(logs, party) == {party}, (party, harm.__name__)
            logs[party].write_bytes(whole[party])
    logs["host:tax"].write_bytes(whole["host:credit"])
    assert "host:tax" in grave(logs, "host:tax")


def grave(logs: dict[str, Path], party: str) -> frozenset[str]:
    """Who is blamed when this party's log is verified against all others."""
    against = [part for other, path in logs.items() if other != party for part in ("--against", str(path.parents[1]))]
    told = CliRunner().invoke(
        command_line, ["audit", "verify", str(logs[party].parents[1]), *against, "--party", party, "--json"]
    )
    return frozenset(f["about"] for f in json.loads(told.output)["findings"] if f["grave"])
