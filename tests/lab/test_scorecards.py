"""A scorecard run from its file to the folders of the parties."""

from __future__ import annotations

import html
import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.coalitions import keep_value, value_of_run
from lab.config import load_config
from lab.errors import ConfigError
from lab.finish import report_run
from lab.jobs import node_directory
from lab.party_value import MoneyTerms
from lab.reports import SECTIONS, write_report
from lab.runs import train_run
from lab.validation.readings import features_reading
from lab.validation.stored import pack_of_run
from lab.validation.tables import show_pack
from models.bundle import load
from models.errors import DataError
from models.scorecard.card import JointScorecard, ScorecardHalf
from tests.lab.conftest import Write
from tests.lab.test_reports import Page

SECTION = "[scorecard]\nl2 = 1.0\nmin_information_value = 0.0\n"


def test_each_party_keeps_its_own_and_the_bank_sees_numbers_for_names(write_config: Write) -> None:
    config = load_config(write_config(extra=SECTION))
    result = train_run(config, Console(quiet=True))
    run = config.run.directory
    own = JointScorecard.from_json(json.loads((node_directory(run, "bank") / "model.json").read_text()))
    for host in ("host:tax", "host:court"):
        half = ScorecardHalf.from_json(json.loads((node_directory(run, host) / "half.json").read_text()))
        assert own.host_digests[host] == half.digest()
        at_bank = "".join(p.read_text(encoding="utf-8") for p in node_directory(run, "bank").glob("*.json"))
        assert half.features
        assert not any(f'"{feature.name}"' in at_bank for feature in half.features)
    assert {f["party"] for f in result["features"]} == {"bank", "host:tax", "host:court"}
    assert result["auc"]["joint"]["value"] > result["auc"]["bank_only"]["value"]
    assert "validation" in result
    shifts = result["validation"]["features"]
    assert {f["party"] for f in shifts} == {"", "host:tax", "host:court"}
    used = {f["variable"] for f in result["features"] if not f["reason"]}
    assert {f["name"] for f in shifts} == used
    for host in ("host:tax", "host:court"):
        own = json.loads((node_directory(run, host) / "stability.json").read_text(encoding="utf-8"))["features"]
        told = [f["stability"] for f in shifts if f["party"] == host]
        assert [round(f["stability"]["index"], 3) for f in own] == [s["index"] for s in told]
        assert not any(f["name"].startswith("host:") for f in own)  # at home they have their names


def test_a_data_node_may_keep_to_itself_how_its_features_moved(write_config: Write) -> None:
    path = write_config(extra=SECTION)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('party = "host:tax"', 'party = "host:tax"\nshare_stability = false'))
    config = load_config(path)
    result = train_run(config, Console(quiet=True))
    silent = [f for f in result["validation"]["features"] if f["withheld"]]
    assert {f["party"] for f in silent} == {"host:tax"}
    assert not any(f["stability"] for f in silent)
    own = json.loads((node_directory(config.run.directory, "host:tax") / "stability.json").read_text(encoding="utf-8"))
    assert any(f["stability"] for f in own["features"])
    console = Console(record=True, width=120, file=io.StringIO())
    show_pack(console, result["validation"])
    shown = console.export_text()
    assert "withheld 未提供" in shown
    assert "host:court feature 1" in shown
    english, chinese = features_reading(result["validation"])
    assert "1 data nodes tell nothing" in english
    assert "1 个数据方未提供" in chinese


def test_weights_of_the_bank_count_in_the_regression_only(write_config: Write, files: Path) -> None:
    path = write_config(extra=SECTION)
    plain = train_run(load_config(path), Console(quiet=True))
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    bank.assign(w=bank["bad"] * 3 + 1).to_csv(files / "bank.csv", index=False)
    text = path.read_text(encoding="utf-8").replace('label = "bad"', 'label = "bad"\nweight = "w"')
    path.write_text(text, encoding="utf-8")
    weighted = train_run(load_config(path), Console(quiet=True))
    assert weighted["binning"]["bank"] == plain["binning"]["bank"]
    moved = weighted["coefficients"][0]["value"] - plain["coefficients"][0]["value"]
    assert moved == pytest.approx(np.log(4), abs=0.35)


def test_the_model_does_not_depend_on_how_parties_meet(write_config: Write) -> None:
    config = load_config(write_config(extra=SECTION))
    scores = []
    for transport in ("memory", "relay"):
        run = config.run.model_copy(update={"transport": transport})
        train_run(config.model_copy(update={"run": run}), Console(quiet=True))
        scores.append(pd.read_csv(node_directory(run.directory, "bank") / "scores.csv"))
    pd.testing.assert_frame_equal(*scores, check_exact=True)


def test_the_command_shows_features_and_coefficients(write_config: Write) -> None:
    done = CliRunner().invoke(app, ["train", str(write_config(extra=SECTION)), "--no-record"], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    assert "host:tax feature 1" in done.output
    assert "intercept" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [("method = 'round'", "scorecard.method"), ("max_bin = 3", "did you mean max_bins?"), ("l2 = -1", "scorecard.l2")],
)
def test_what_is_wrong_is_named(write_config: Write, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write_config(extra=f"[scorecard]\n{text}\n"))
    assert said in caught.value.english


def test_a_wished_trend_must_exist(write_config: Write) -> None:
    path = write_config(extra=SECTION)
    text = path.read_text(encoding="utf-8").replace('label = "bad"', 'label = "bad"\ntrends = { nothing = "peak" }')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        train_run(load_config(path), Console(quiet=True))
    assert caught.value.code == "trend_unknown"


@pytest.fixture
def finished(write_config: Write) -> Path:
    """A run of a scorecard on a scale of its own, with its document."""
    config = load_config(write_config(extra=SECTION + "base_points = 500\n"))
    train_run(config, Console(quiet=True), finish=(report_run,))
    return config.run.directory


def test_the_document_names_the_banks_features_and_numbers_the_hosts(finished: Path) -> None:
    text = (finished / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (page.wrong, page.open) == ([], [])
    assert page.links == set(SECTIONS) - {"groups", "leakage", "value"}
    result = load(finished / "result.json")
    for c in result["coefficients"]:
        assert f"{c['value']:+.4f}" in text
    for feature in result["points"]["features"]:
        table = next(t for t in result["binning"]["bank"] if t["variable"] == feature["name"])
        assert all(html.escape(row["bin"]) in text for row in table["rows"])
    assert "host:tax feature 1" in text
    assert "500 points at 20 goods to one bad" in text
    assert text.count("background: rgba") == len(result["correlation"]) ** 2
    assert not [name for name in ("tax, 元", "seized", ">late<", ">cases<") if name in text]
    ids = pd.read_csv(finished / "nodes" / "bank" / "scores.csv", dtype={"id": str})["id"]
    assert not any(i in text for i in ids)
    write_report(finished, result)
    assert (finished / "report.html").read_text(encoding="utf-8") == text


def test_every_host_measures_the_stability_of_its_own_features_at_home(finished: Path) -> None:
    for host in ("host-tax", "host-court"):
        half = load(finished / "nodes" / host / "half.json")
        kept = load(finished / "nodes" / host / "stability.json")["features"]
        assert [f["name"] for f in kept] == list(half["prebins"]["features"])
        assert all(f["stability"]["index"] >= 0 for f in kept)


def test_a_finished_scorecard_is_measured_again_and_by_group(finished: Path) -> None:
    result = load(finished / "result.json")
    assert pack_of_run(finished, result).to_json() == result["validation"]
    groups = pack_of_run(finished, result, "sector").to_json()["groups"]
    assert [g["name"] for g in groups] == ["craft", "farm", "trade"]
    told = [f["name"] for f in result["validation"]["features"]]
    assert told[:2] == ["amount", "sector"]
    assert all(name.startswith(("host:tax feature ", "host:court feature ")) for name in told[2:])
    assert len(told) == 6


def test_points_in_the_document_are_on_the_scale_of_the_card(finished: Path) -> None:
    deciles = load(finished / "result.json")["validation"]["deciles"]
    text = (finished / "report.html").read_text(encoding="utf-8")
    for d in deciles:
        points = round(500 - 20 / math.log(2) * (d["highest"] + math.log(20)))
        assert f'<td class="n">{d["number"]}</td><td class="n">{points}</td>' in text


def test_each_data_node_of_a_scorecard_has_its_worth(finished: Path, write_config: Write) -> None:
    config = load_config(write_config(extra=SECTION + "base_points = 500\n"))
    money = MoneyTerms(approval_rate=0.7, amount=1.0, loss_given_default=0.5)
    worth = value_of_run(config, Console(quiet=True), money, n_resamples=20).to_json()
    assert keep_value(config, worth)
    total = sum(worth["shapley"][host]["auc"]["value"] for host in worth["hosts"])
    assert total == pytest.approx(load(finished / "result.json")["gain"]["auc"]["value"])
    assert 'id="value"' in (finished / "report.html").read_text(encoding="utf-8")
    other = load_config(write_config(extra=SECTION))
    assert not keep_value(other, worth)


def test_the_commands_take_a_scorecard(finished: Path) -> None:
    bank, applicants = finished / "nodes" / "bank", finished.parents[1] / "bank.csv"
    scored = CliRunner().invoke(app, ["score", str(bank), str(applicants), "--local", "--reasons", "2"])
    assert scored.exit_code == 0, scored.output
    frame = pd.read_csv(io.StringIO(scored.stdout), dtype={"id": str})
    assert len(frame) == len(pd.read_csv(applicants))
    assert frame["reason_2_text_zh"].notna().any()
    shown = CliRunner().invoke(app, ["report", str(finished)], env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    assert "host:tax feature 1" in shown.output


def test_words_for_what_is_no_feature_are_an_error(write_config: Write) -> None:
    config = load_config(write_config(extra='[hosts.reasons]\ncasse = ["Court cases", "涉诉案件"]\n' + SECTION))
    with pytest.raises(DataError) as caught:
        train_run(config, Console(quiet=True))
    assert caught.value.code == "reason_unknown"
