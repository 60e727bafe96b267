"""A run whose parties keep their rows in tables is the run on files; no address reaches its record."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from lab.config import load_config
from lab.config_party import Party
from lab.data.extract import extract
from lab.data.sources import read_table
from lab.runs import train_run
from tests.lab.conftest import Write
from tests.lab.data.connectors.places import SERVER, written


@pytest.mark.skipif(not SERVER, reason="needs LIANMO_TEST_POSTGRES")
def test_a_run_on_tables_is_the_run_on_files(write_config: Write, files: Path) -> None:
    config = load_config(write_config("memory"))
    first = train_run(config, Console(quiet=True))
    frames = {name: pd.read_csv(files / f"{name}.csv", dtype={"id": str}) for name in ("bank", "tax")}
    with written("duckdb", frames["bank"], files) as bank, written("postgresql", frames["tax"], files) as tax:
        hosts = (config.hosts[0].model_copy(update={"data": tax}), *config.hosts[1:])
        guest = config.guest.model_copy(update={"data": bank})
        changed = config.model_copy(update={"guest": guest, "hosts": hosts})
        second = train_run(changed, Console(quiet=True))
    assert second["auc"] == first["auc"]
    assert second["data_digest"] != first["data_digest"]  # of rows, not of bytes
    assert "postgresql+psycopg" not in str(second)


def test_an_extract_of_a_table_is_a_file_with_the_same_values(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["01", "02", "03"], "n": [1.0, 2.5, None], "k": ["a", None, "b"]})
    with written("sqlite", frame, tmp_path) as place:
        party = Party(party="host:tax", data=place)
        copy = extract(party, pd.Series(["02", "03"]), tmp_path / "some")
        whole = read_table(party)
    assert read_table(copy, varied=False).ids == ("02", "03")
    assert list(read_table(copy, varied=False).columns["k"]) == list(whole.columns["k"][1:])
