"""The leakage report of a whole run: the run's own transcript, told in the document; verdicts that can differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.leakage.feature_inference import feature_inference, order_recovery
from lab.leakage.report import leakage_of_run
from lab.leakage.transcript import seen_again
from models.bundle import load
from tests.lab.conftest import Write
from tests.lab.leakage.test_rowsets import DEEP, N_FIT, train
from tests.lab.test_cli import is_bilingual

RUN = "num_leaves = 6"


@pytest.mark.parametrize("own", [False, True])
def test_a_transcript_told_again_is_the_one_that_passed(own: bool) -> None:
    from dataclasses import replace

    p = replace(DEEP, own_cuts_only=own)
    fitted, hosts, tables = train(p)
    routes = {"bank": fitted.model.own.routes(tables[0])[:, :N_FIT]}
    for k, (party, host) in enumerate(hosts.items(), 1):
        routes[party] = host.responder.half.routes(tables[k])[:, :N_FIT]  # type: ignore[attr-defined]
    for party, host in hosts.items():
        again = seen_again(fitted.model.trees, routes, party, p)
        told = {t: {s.tobytes() for s in sets} for t, sets in again.trees.items()}
        assert told == {t: {s.tobytes() for s in sets} for t, sets in host.seen.trees.items()}


def test_the_command_puts_a_section_into_the_document(write_config: Write, files: Path) -> None:
    assert CliRunner().invoke(app, ["train", str(write_config(boosting=RUN))]).exit_code == 0
    run = files / "runs/small"
    assert "What could be inferred" not in (run / "report.html").read_text("utf-8")
    shown = CliRunner().invoke(app, ["leakage", str(run)])
    assert shown.exit_code == 0, shown.exception
    assert is_bilingual(shown.output)
    found = load(run / "leakage.json")
    assert set(found["verdicts"]) == {"bank", *(load(run / "nodes/bank/model.json")["host_digests"])}
    page = (run / "report.html").read_text("utf-8")
    assert "What could be inferred" in page
    assert "泄露评估" in page
    identifiers = pd.read_csv(files / "bank.csv", dtype={"id": str})["id"]
    assert not [i for i in identifiers if i in json.dumps(found)]


def test_a_scorecard_shows_hosts_no_row_sets(write_config: Write, files: Path) -> None:
    assert CliRunner().invoke(app, ["train", str(write_config(extra="[scorecard]\n"))]).exit_code == 0
    run = files / "runs/small"
    found = leakage_of_run(run, load(run / "result.json"), n_resamples=20)
    assert found["labels"] == []
    assert {v for p, v in found["verdicts"].items() if p != "bank"} == {"nothing_shown"}


def test_what_tells_a_feature_is_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    value = rng.normal(size=600)
    own = rng.normal(size=(600, 2))
    target = {"x": (value > 0).astype(np.float64)}
    telling = feature_inference("host:tax", "parts", target, value[:, None] + 0.2 * own[:, :1], own, 0, 50)
    noise = feature_inference("host:tax", "parts", target, rng.normal(size=(600, 1)), own, 0, 50)
    assert telling is not None
    assert noise is not None
    assert (telling.beyond, noise.beyond) == (True, False)
    known = order_recovery("host:tax", [(value, np.floor(value * 2))], 0)
    lost = order_recovery("host:tax", [(value, rng.normal(size=600))], 0)
    assert known is not None
    assert lost is not None
    assert known.tells
    assert known.correlation > 0.9
    assert lost.correlation < 0.2
