"""A scorecard run from its file to the folders of the parties."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.config import load_config
from lab.errors import ConfigError
from lab.jobs import node_directory
from lab.runs import train_run
from lab.validation.readings import features_reading
from lab.validation.tables import show_pack
from models.errors import DataError
from models.scorecard.card import JointScorecard, ScorecardHalf
from tests.lab.conftest import Write

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
    done = CliRunner().invoke(app, ["train", str(write_config(extra=SECTION))], env={"COLUMNS": "120"})
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
