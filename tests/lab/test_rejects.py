"""Rejected applicants beside a run: scored by all parties, measured in the document, and as rows to train with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from lab.cli import app
from lab.config import load_config, parse_config
from lab.finish import report_run
from lab.rejects import HELD_OUT, WEIGHT, augmented, report_rejected, score_rejected
from lab.runs import train_run
from lab.serving.hosts import Hosts
from models.bundle import load
from models.errors import LianmoError
from tests.lab.conftest import Write


@pytest.fixture
def run(write_config: Write, files: Path) -> Path:
    """A run of the first 300 of the bank's applicants; the others were rejected, half of them known to no host."""
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str}).sort_values("id", ignore_index=True)
    rejected = bank.iloc[300:].drop(columns="bad")
    strangers = rejected.head(20).assign(id=[f"x{k}" for k in range(20)])
    pd.concat([rejected, strangers]).to_csv(files / "rejected.csv", index=False)
    bank.head(300).to_csv(files / "bank.csv", index=False)
    path = write_config()
    path.write_text(path.read_text(encoding="utf-8").replace("[[hosts]]", "[[hosts]]\nmin_rows = 30"), encoding="utf-8")
    train_run(load_config(path), Console(quiet=True), finish=(report_run,))
    return files / "runs" / "small"


def test_the_command_scores_measures_and_keeps_it_all(run: Path, files: Path) -> None:
    command = ["rejects", str(run), str(files / "rejected.csv"), "--local", "--factor", "2", "--factor", "1"]
    done = CliRunner().invoke(app, [*command, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert load(run / "result.json")["validation"]["rejects"] == told
    assert [a["factor"] for a in told["assumptions"]] == [1.0, 2.0]
    scored = CliRunner().invoke(app, ["score", str(run / "nodes" / "bank"), str(files / "rejected.csv"), "--local"])
    answers = pd.read_csv(pd.io.common.StringIO(scored.stdout), dtype={"id": str})
    known = answers["default_probability"].dropna()
    assert (told["n_rejected"], told["n_unscored"]) == (len(known), len(answers) - len(known))
    scores = pd.read_csv(run / "nodes" / "bank" / "scores.csv")
    rate = (scores["label"].sum() + known.sum()) / (len(scores) + len(known))
    assert told["assumptions"][0]["fuzzy_rate"] == pytest.approx(rate, abs=1e-6)  # this run has no calibrator
    assert "纳入被拒申请人" in (run / "report.html").read_text(encoding="utf-8")
    shown = CliRunner().invoke(app, command, env={"COLUMNS": "150"})
    assert "parcelling 分组赋值" in shown.output
    again = CliRunner().invoke(app, ["validate", str(run), "--json"])
    assert json.loads(again.stdout)["rejects"] == told


def test_the_augmented_file_trains_and_is_judged_by_the_same_real_outcomes(run: Path, files: Path) -> None:
    result = load(run / "result.json")
    rejected = score_rejected(run, result, files / "rejected.csv", Hosts(), local=True)
    rows = augmented(run, result, rejected, factor=1.5, rejected_weight=2.0)
    n_bank, n_new = 300, len(rejected.frame)
    assert len(rows) == n_bank + n_new
    assert not rows["id"].duplicated().any()
    assert set(rows["bad"]) == {0, 1}
    assert (rows[WEIGHT].to_numpy() == np.repeat([1.0, 2.0], [n_bank, n_new])).all()
    assert rows[HELD_OUT].iloc[n_bank:].sum() == 0
    rows.to_csv(files / "augmented.csv", index=False)
    plain = {"insecure_allow_plaintext": True, "min_rows": 30}
    config = parse_config(
        {
            "run": {"directory": "runs/augmented", "transport": "memory"},
            "boosting": {"n_estimators": 3, "max_depth": 3, "max_bin": 8, "min_child_samples": 5},
            "cipher": {"name": "plain", "insecure_allow_plaintext": True},
            "split": {"holdout_column": HELD_OUT},
            "guest": {"party": "bank", "data": "augmented.csv", "label": "bad", "weight": WEIGHT},
            "hosts": [
                {"party": "host:tax", "data": "tax.csv", **plain},
                {"party": "host:court", "data": "court.csv", **plain},
            ],
        },
        files,
    )
    second = train_run(config, Console(quiet=True))
    assert second["rows"]["holdout"] == result["rows"]["holdout"]
    assert second["rows"]["fit"] == result["rows"]["fit"] + n_new
    assert second["bad_rate"]["holdout"] == result["bad_rate"]["holdout"]
    assert not second["validation"]["out_of_time"]
    assert {HELD_OUT, WEIGHT}.isdisjoint(f["name"] for f in second["validation"]["features"])


@pytest.mark.parametrize("what", ["accepted", "strangers", "column"])
def test_what_is_no_file_of_rejected_applicants_is_refused(run: Path, files: Path, what: str) -> None:
    frame = pd.read_csv(files / "rejected.csv", dtype={"id": str})
    bad: dict[str, tuple[Any, str]] = {
        "accepted": (pd.read_csv(files / "bank.csv", dtype={"id": str}), "rejected_accepted"),
        "strangers": (frame[frame["id"].str.startswith("x")], "nobody_scored"),
        "column": (frame.drop(columns="amount"), "column_missing"),
    }
    wrong, code = bad[what]
    wrong.to_csv(files / "wrong.csv", index=False)
    with pytest.raises(LianmoError) as caught:
        score_rejected(run, load(run / "result.json"), files / "wrong.csv", Hosts(), local=True)
    assert caught.value.code == code


def test_a_report_is_the_same_every_time(run: Path, files: Path) -> None:
    result = load(run / "result.json")
    rejected = score_rejected(run, result, files / "rejected.csv", Hosts(), local=True)
    assert report_rejected(run, result, rejected) == report_rejected(run, result, rejected)
    assert augmented(run, result, rejected, 1.5).equals(augmented(run, result, rejected, 1.5))
