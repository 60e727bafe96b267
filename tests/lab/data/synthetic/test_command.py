"""``lianmo synthetic`` as people and machines meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lab.cli import app
from models.bundle import load
from tests.lab.test_cli import is_bilingual, lianmo


def test_people_see_tables_and_machines_json(tmp_path: Path) -> None:
    shown = lianmo("synthetic", tmp_path / "city", "--enterprises", 500, "--seed", 3)
    assert shown.returncode == 0, shown.stderr
    assert is_bilingual(shown.stdout)
    assert "synthetic-enterprises.parquet" in shown.stdout
    assert "lianmo train" in shown.stdout
    arguments = ["synthetic", str(tmp_path / "csv"), "--enterprises", "500", "--seed", "3", "--format", "csv", "--json"]
    told = CliRunner().invoke(app, arguments)
    assert json.loads(told.stdout) == load(tmp_path / "csv" / "synthetic.json")
    assert json.loads(told.stdout)["default_rate_12m"] == load(tmp_path / "city" / "synthetic.json")["default_rate_12m"]


def test_an_unknown_format_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    failed = lianmo("synthetic", tmp_path / "city", "--format", "xlsx")
    assert failed.returncode == 2
    assert is_bilingual(failed.stderr)
    assert "parquet or csv" in failed.stderr
    assert not (tmp_path / "city").exists()


@pytest.mark.slow
def test_a_small_city_trains_as_it_is(tmp_path: Path) -> None:
    assert lianmo("synthetic", tmp_path / "city", "--enterprises", 3000, "--seed", 1).returncode == 0
    config = tmp_path / "city" / "scorecard.toml"
    done = lianmo("train", config, "--transport", "memory", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"]["holdout"] > 50
