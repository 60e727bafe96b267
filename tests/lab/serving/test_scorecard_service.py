"""A scorecard behind the same services as trees: each party's folder, files and HTTP, to the last bit of its run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from federation.script import Wire, run
from federation.transports.async_http import AsyncHttpWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.scoring.guest import score
from lab.config import load_config
from lab.data.sources import applicants_table, read_frame
from lab.estimators.scorecard import JointScorecard as Estimator
from lab.jobs import node_directory
from lab.runs import train_run
from lab.serving.answers import Answer
from lab.serving.batch import answers_frame, score_table
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.hosts import Hosts
from lab.serving.nodes import hosts_beside, joint_model, own_words, scoring_endpoint, scoring_wire
from lab.serving.publishing.shelf import open_shelf
from lab.serving.server import running
from models.joint import Joint
from models.losses import default_probability
from models.scale import band
from models.table import Table
from tests.lab.conftest import Write
from tests.lab.serving.conftest import PATIENT, degraded_of

SECTION = "[scorecard]\nl2 = 1.0\nmin_information_value = 0.0\n"
WORDS = '\n[hosts.reasons]\ncases = ["Court cases", "涉诉案件"]\n'


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run of a scorecard; ``table`` holds the bank's applicants in the order of ``scores``."""

    directory: Path
    model: Joint
    table: Table
    scores: pd.DataFrame

    @property
    def bank(self) -> Path:
        return node_directory(self.directory, "bank")


def trained(write_config: Write, section: str = SECTION, round_parts: str = "round_parts = 0") -> Run:
    """Hosts tell their parts as they are, unless ``round_parts`` says otherwise."""
    path = write_config(
        tax=f'tax.csv"\n{round_parts}\nid = "id', court=f'court.csv"\n{round_parts}\nid = "id', extra=WORDS + section
    )
    text = path.read_text(encoding="utf-8").replace(
        'label = "bad"', 'label = "bad"\nreasons = { amount = ["A", "甲"] }'
    )
    path.write_text(text, encoding="utf-8")
    config = load_config(path)
    train_run(config, Console(quiet=True))
    bank = node_directory(config.run.directory, "bank")
    model, _ = joint_model(bank)
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    frame = read_frame(config.guest.data, "id").set_index("id", drop=False).loc[scores["id"]]
    return Run(config.run.directory, model, applicants_table(frame, "id", model.inputs), scores)


@pytest.fixture
def card(write_config: Write) -> Run:
    return trained(write_config)


@pytest.fixture
def wire(card: Run) -> Iterator[Wire]:
    with scoring_wire(card.bank, card.model, Hosts(), local=True) as opened:
        yield opened


def test_a_file_is_scored_as_the_run_scored_it_to_the_last_bit(card: Run, wire: Wire) -> None:
    scored = run(score(card.model, card.table), wire)
    assert scored.margin.tolist() == card.scores["joint"].tolist()
    frame = answers_frame(card.table, score_table(card.model, card.table, wire))
    probability = default_probability(card.scores["joint"].to_numpy())
    assert frame["default_probability"].tolist() == probability.tolist()
    assert frame["band"].tolist() == [band(p) for p in probability.tolist()]
    assert frame["points"].dtype == "Int64"
    assert scored.points is not None
    assert frame["points"].tolist() == scored.points.tolist()


def test_a_notebooks_scorecard_is_the_same(files: Path, card: Run, wire: Wire) -> None:
    """``JointScorecard`` over the fitted rows: bins, coefficients and scores of the run."""
    fit = card.scores["part"] == "fit"
    tables = {p: pd.read_csv(files / f"{p}.csv", dtype={"id": str}).set_index("id") for p in ("bank", "tax", "court")}
    x = tables["bank"].loc[card.scores["id"], ["amount", "sector"]]
    hosts = {f"host:{p}": tables[p] for p in ("tax", "court")}
    estimator = Estimator(hosts, min_information_value=0.0, max_single_auc=0.9, l2=1.0, cipher="plain")
    fitted = estimator.fit(x[fit.to_numpy()], tables["bank"].loc[card.scores["id"][fit], "bad"])
    scored = run(score(card.model, card.table), wire)
    np.testing.assert_allclose(fitted.decision_function(x), scored.margin, atol=1e-9)
    assert fitted.points(x).tolist() == (scored.points.tolist() if scored.points is not None else None)


def test_points_that_are_not_rounded_stay_so(write_config: Write) -> None:
    exact = trained(write_config, SECTION + "rounding = false\nbase_points = 500\n")
    with scoring_wire(exact.bank, exact.model, Hosts(), local=True) as opened:
        frame = answers_frame(exact.table, score_table(exact.model, exact.table, opened))
    expected = 500 + 20 / np.log(2) * (-exact.scores["joint"].to_numpy() - np.log(20))
    np.testing.assert_allclose(frame["points"].to_numpy(dtype=float), expected, atol=1e-9)


def test_unless_it_is_told_otherwise_a_host_tells_whole_points(write_config: Write) -> None:
    """The card's points stay what they are; margins move by half a point of each host at most."""
    card = trained(write_config, round_parts="")
    with scoring_wire(card.bank, card.model, Hosts(), local=True) as opened:
        scored = run(score(card.model, card.table), opened)
    exact = trained(write_config)
    with scoring_wire(exact.bank, exact.model, Hosts(), local=True) as opened:
        assert scored.points.tolist() == run(score(exact.model, exact.table), opened).points.tolist()
    moved = np.abs(scored.margin - card.scores["joint"].to_numpy()).max()
    assert 0 < moved <= len(card.model.needed_hosts) * 0.5 / (20 / np.log(2)) + 1e-9


def test_calls_equal_the_file_and_say_what_is_served(card: Run, wire: Wire) -> None:
    words = own_words(card.bank)
    expected = score_table(card.model, card.table.take(np.arange(20)), wire, 9, words)
    with ExitStack() as stack:
        nodes = hosts_beside(card.bank)
        urls = {h: stack.enter_context(running(create_host_app(scoring_endpoint(nodes[h])))) for h in nodes}
        app = create_guest_app(open_shelf(card.bank), AsyncHttpWire(urls), rules=PATIENT)
        caller = stack.enter_context(httpx.Client(base_url=stack.enter_context(running(app)), trust_env=False))
        current = caller.get("/v1/models/current").json()
        assert (current["kind"], current["n_trees"]) == ("scorecard", None)
        assert current["digest"] == card.model.digest()
        assert {f["name"]: f["type"] for f in current["features"]} == {"amount": "number", "sector": "text"}
        said = set()
        for row, answer in enumerate(expected):
            assert isinstance(answer, Answer)
            given = caller.post("/v1/scores", json=body(card, row)).json()
            assert type(given["points"]) is int
            assert (given["default_probability"], given["points"], given["band"]) == (
                answer.default_probability,
                answer.points,
                answer.band,
            )
            assert [r["code"] for r in given["reasons"]] == [r.code for r in answer.reasons]
            said |= {(r["text"], r["text_zh"]) for r in given["reasons"]}
        assert {
            ("A", "甲"),
            ("Court cases", "涉诉案件"),
            ("host:tax, all its features together", "host:tax 的全部特征"),
        } <= said
        unknown = caller.post("/v1/scores", json=body(card, 0) | {"applicant_id": "nobody"})
        assert degraded_of(unknown, "bank_only", "unknown_applicant")["parties"] == ["host:tax", "host:court"]


def body(card: Run, row: int) -> dict[str, Any]:
    values = {name: column[row] for name, column in card.table.columns.items()}
    return {
        "application_id": f"a-{row}",
        "applicant_id": card.table.ids[row],
        "features": {"amount": float(values["amount"]), "sector": values["sector"]},
        "reasons": 9,
    }


def test_halves_of_two_runs_do_not_go_together(card: Run) -> None:
    path = node_directory(card.directory, "host:tax") / "half.json"
    half = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(half | {"salt": "00" * 16}), encoding="utf-8")
    (path.parent / "selftest.json").unlink()  # else the node itself would refuse to serve it
    with scoring_wire(card.bank, card.model, Hosts(), local=True) as opened:
        app = create_guest_app(open_shelf(card.bank), ThreadedWire(opened), rules=PATIENT)
        with running(app) as url:
            why = degraded_of(httpx.post(f"{url}/v1/scores", json=body(card, 0)), "bank_only", "unknown_model")
    assert why["parties"] == ["host:tax"]
