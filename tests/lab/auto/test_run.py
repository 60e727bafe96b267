"""A whole search on small tables: nothing held out is looked at, all is summed, and the choice can be repeated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.auto import trials as trials_module
from lab.auto.candidates import candidates_of
from lab.auto.run import auto_run
from lab.auto.search import AutoRules, Budget
from lab.cli import app
from lab.config import Config, load_config
from lab.finish import report_run
from lab.runs import train_run
from models.bundle import JointModel, load
from models.errors import LianmoError
from tests.lab.conftest import Write

SMALL = AutoRules(n_folds=2, budget=Budget(sessions=4))
QUIET = Console(quiet=True)


def scores(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "nodes" / "bank" / "scores.csv", dtype={"id": str})


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, pd.DataFrame, dict[str, Any]]]:
    """Configuration, bank's file and result of every trial."""
    seen: list[tuple[Config, pd.DataFrame, dict[str, Any]]] = []

    def spy(config: Config, console: Console, **task: Any) -> dict[str, Any]:
        frame = pd.read_csv(config.guest.data, dtype={"id": str})
        result = train_run(config, console, **task)
        seen.append((config, frame, result))
        return result

    monkeypatch.setattr(trials_module, "train_run", spy)
    return seen


def test_held_out_rows_are_in_the_last_session_only_and_everything_is_summed(
    write_config: Write, watched: list[tuple[Config, pd.DataFrame, dict[str, Any]]]
) -> None:
    config = load_config(write_config())
    result = auto_run(config, QUIET, SMALL, finish=(report_run,))
    run = config.run.directory
    account = load(run / "auto.json")
    held_out = set(scores(run).query("part == 'holdout'")["id"])
    assert len(watched) == 4
    for _, frame, _ in watched:
        assert not held_out & set(frame["id"])
    assert result["rows"]["valid"] == 0
    assert account["rows"] == {"development": result["rows"]["fit"], "holdout": result["rows"]["holdout"]}
    assert account["sessions"] == 1 + 4 + 1 == result["auto"]["sessions"]
    assert [s["sessions"] for s in account["stages"]] == [1, 2, 2, 1]
    of_trials = sum(d["count"] for _, _, r in watched for d in r["disclosures"] if d["message"] == "goodbye")
    total = sum(d["count"] for d in account["disclosures"] if d["message"] == "goodbye")
    assert total == of_trials + 2 * len(of_trials_parties(account))
    chosen = [d["count"] for d in account["disclosures"] if d["message"] == "alignment.rows_chosen"]
    assert chosen == [5, 5]  # the session that only aligns tells no host of a row
    assert result["disclosures"] == account["disclosures"]
    assert not list(run.parent.glob(".auto-*"))


def of_trials_parties(account: dict[str, Any]) -> list[tuple[str, str]]:
    """Pairs that say goodbye to one another: once each in the aligning session and in the last."""
    return [(d["sender"], d["receiver"]) for d in account["disclosures"] if d["message"] == "goodbye"]


@pytest.mark.parametrize("kind", ["trees", "scorecard"])
def test_the_chosen_file_gives_the_same_model(write_config: Write, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    config = load_config(write_config())
    only = tuple(c for c in candidates_of(config) if c.kind == kind)[:1]
    monkeypatch.setattr("lab.auto.run.candidates_of", lambda _: only)
    auto_run(config, QUIET, AutoRules(n_folds=2), finish=(report_run,))
    run = config.run.directory
    again = load_config(run / "chosen.toml")
    train_run(again, QUIET)
    assert again.run.directory != run
    first, second = scores(run), scores(again.run.directory)
    pd.testing.assert_frame_equal(first.drop(columns="out_of_fold"), second, check_exact=True)
    if kind == "trees":
        models = [JointModel.from_json(load(d / "nodes" / "bank" / "model.json")) for d in (run, again.run.directory)]
        assert models[0].trees == models[1].trees
        assert again.parameters.early_stopping_rounds == 0
        assert "summed over all its 4 sessions" in (run / "report.html").read_text(encoding="utf-8")
    out = first["out_of_fold"]
    assert out[first["part"] == "fit"].notna().all()
    assert out[first["part"] == "holdout"].isna().all()
    assert load(run / "result.json")["validation"]["calibration"]["source"] == "out_of_fold"


def test_what_knows_the_outcome_is_left_out_and_named(write_config: Write, files: Path) -> None:
    """One of the bank's columns is the label in disguise, one of the tax office's nearly so."""
    rng = np.random.default_rng(0)
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    label = bank.set_index("id")["bad"]
    bank.assign(balance=bank["bad"] * 10 + rng.normal(size=len(bank))).to_csv(files / "bank.csv", index=False)
    tax = pd.read_csv(files / "tax.csv", dtype={"id": str})
    tax["closed"] = label.loc[tax["id"]].to_numpy() * 4 + rng.normal(size=len(tax))
    tax.to_csv(files / "tax.csv", index=False)
    config = load_config(write_config())
    result = auto_run(config, QUIET, AutoRules(n_folds=2, budget=Budget(sessions=4)))
    account = load(config.run.directory / "auto.json")
    assert [leak["feature"] for leak in account["left_out"]["leaks"]] == ["balance"]
    trees = [c for c in account["candidates"] if c["kind"] == "trees"]
    assert {c["dropped"]["code"] for c in trees} == {"host_leak"}
    assert all("host:tax" in c["dropped"]["english"] for c in trees)
    assert result["kind"] == "scorecard"
    assert "balance" not in {f["variable"] for f in result["features"]}
    assert "balance" in load_config(config.run.directory / "chosen.toml").guest.drop
    assert "<b>balance</b>" in (config.run.directory / "auto.html").read_text(encoding="utf-8")


def test_folds_follow_time_and_groups(
    write_config: Write, files: Path, watched: list[tuple[Config, pd.DataFrame, dict[str, Any]]]
) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    rng = np.random.default_rng(1)
    bank.assign(
        month=rng.integers(0, 20, len(bank)),
        owner=bank["id"].str[:-1] + (bank["id"].str[-1] > "7").map(str) + bank["id"].str[-1].clip(upper="7"),
    ).to_csv(files / "bank.csv", index=False)
    text = '[split]\ntime_column = "month"\nholdout_from = 16\ngroup = "owner"\n'
    path = write_config(extra=text)
    path.write_text(path.read_text().replace("[[hosts]]", "[[hosts]]\nmin_rows = 30"))
    config = load_config(path)
    auto_run(config, QUIET, SMALL)
    for trial, frame, _ in watched:
        judged = frame["lianmo_fold"] == 1
        assert frame.loc[~judged, "month"].max() < frame.loc[judged, "month"].min() <= frame["month"].max() < 16
        assert not set(frame.loc[judged, "owner"]) & set(frame.loc[~judged, "owner"])
        assert {"month", "owner", "lianmo_fold"} <= set(trial.guest.drop)
    result = load(config.run.directory / "result.json")
    assert result["validation"]["out_of_time"]


def test_a_host_that_wants_encryption_stops_the_search(write_config: Write) -> None:
    path = write_config()
    allowed = "insecure_allow_plaintext = true"
    path.write_text(path.read_text().replace(f'data = "tax.csv"\n{allowed}', 'data = "tax.csv"'))
    config = load_config(path)
    with pytest.raises(LianmoError) as raised:
        auto_run(config, QUIET, SMALL)
    assert raised.value.code == "not_encrypting"
    assert list(config.run.directory.parent.iterdir()) == []


def test_the_list_runs_from_simple_to_complex_and_takes_up_the_file(write_config: Write) -> None:
    plain = write_config()
    plain.write_text(plain.read_text().replace("max_depth = 3\n", "").replace("min_child_samples = 5\n", ""))
    names = [c.name for c in candidates_of(load_config(plain))]
    assert names[:4] == ["scorecard-strong", "scorecard-usual", "scorecard-fine", "scorecard-free"]
    assert names[4:] == ["trees-2", "trees-3", "trees-4", "trees-5", "trees-5-slow"]
    own = load_config(write_config(extra="[scorecard]\nmax_bins = 3\nnonpositive = true\n"))
    found = candidates_of(own)
    assert "scorecard-file" in [c.name for c in found]
    assert "trees-file" in [c.name for c in found]
    depths = [c.applied(own, 7).parameters.max_depth for c in found if c.kind == "trees"]
    assert depths == sorted(depths)
    card = found[0].applied(own, 7)
    assert card.scorecard
    assert card.scorecard.random_state == 7
    assert all(c.applied(own, 7).parameters.max_bin == 8 for c in found if c.kind == "trees")


def test_the_command_tells_all_in_two_languages(write_config: Write, files: Path) -> None:
    command = ["auto", str(write_config()), "--folds", "2", "--trials", "2", "--no-record"]
    done = CliRunner().invoke(app, command, env={"COLUMNS": "150"})
    assert done.exit_code == 0, done.output
    for text in ("forecast: at most", "预计", "chosen 选用", "超出预算", "次会话", "chosen.toml"):
        assert text in done.output
    page = (files / "runs" / "small" / "auto.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not any(i in page for i in scores(files / "runs" / "small")["id"])
    told = CliRunner().invoke(app, [*command, "--json"])
    assert json.loads(told.stdout)["chosen"] in page
