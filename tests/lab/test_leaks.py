"""Features that know the outcome are named, in runs of trees too."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from rich.console import Console

from lab import run_views
from lab.config import load_config
from lab.finish import report_run
from lab.runs import train_run
from tests.lab.conftest import Write


def test_a_column_of_the_bank_that_knows_the_outcome_is_named(write_config: Write, files: Path) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    bank.assign(months_paid=bank["amount"] - 80 * bank["bad"]).to_csv(files / "bank.csv", index=False)
    result = train_run(load_config(write_config()), Console(quiet=True), finish=(report_run,))
    [leak] = result["leaks"]
    assert (leak["party"], leak["feature"]) == ("bank", "months_paid")
    assert leak["auc"] > 0.95
    console = Console(record=True, width=160, quiet=False)
    run_views.trees(console, result)
    assert "months_paid: may know the outcome" in console.export_text()
    assert "疑似包含结果信息" in (files / "runs/small/report.html").read_text("utf-8")


def test_a_host_whose_feature_knows_the_outcome_is_named(write_config: Write, files: Path) -> None:
    bank, tax = (pd.read_csv(files / f"{name}.csv", dtype={"id": str}) for name in ("bank", "tax"))
    bad = dict(zip(bank["id"], bank["bad"], strict=True))
    tax.assign(written_off=[bad.get(i, 0) for i in tax["id"]]).to_csv(files / "tax.csv", index=False)
    result = train_run(load_config(write_config()), Console(quiet=True))
    [leak] = result["leaks"]
    assert leak["party"] == "host:tax"
    assert leak["feature"].startswith("host:tax feature ")
    assert "written_off" not in str(leak)


def test_honest_columns_are_not_named(write_config: Write) -> None:
    assert train_run(load_config(write_config()), Console(quiet=True))["leaks"] == []
