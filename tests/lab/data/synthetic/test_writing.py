"""Files of a population: the same bytes every time, marked in every file, as the dictionary says, ready to train."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from lab.config import load_config
from lab.data.sources import read_labelled, read_table
from lab.data.synthetic import population, writing
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.errors import ConfigError
from models.bundle import load
from models.errors import ModelError


def digest(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, form: writing.Format) -> None:
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_population(tmp_path / folder / "city", Settings(n_enterprises=500, seed=seed), form)
    first, again, other = (digest(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) == len(population.TABLES) + 4
    assert all(first[name] != other[name] for name in first if name.endswith(form))


def test_csv_and_parquet_say_the_same(city: Path, tmp_path: Path) -> None:
    write_population(tmp_path / "csv", Settings(n_enterprises=3000, seed=7), "csv")
    for path in city.rglob("*.parquet"):
        read = pd.read_csv((tmp_path / "csv" / path.relative_to(city)).with_suffix(".csv"), low_memory=False)
        written = pd.read_parquet(path)
        assert list(read) == list(written)
        assert (read.isna() == written.isna()).all(axis=None)
        for name in written.select_dtypes("number"):
            assert (read[name].dropna() == written[name].dropna()).all()


def test_every_file_says_that_it_is_synthetic(city: Path) -> None:
    for path in city.rglob("*.parquet"):
        assert path.name.startswith("synthetic-")
        assert "no real enterprise" in pq.read_schema(path).metadata[b"synthetic"].decode("utf-8")
        assert pq.read_table(path, columns=["synthetic"])["synthetic"].unique().to_pylist() == [True]
    for path in city.glob("*.json"):
        assert load(path)["synthetic"] is True
    for path in city.glob("*.toml"):
        assert path.read_text(encoding="utf-8").startswith("# Synthetic: ")
    assert sum(p.is_file() for p in city.rglob("*")) == len(population.TABLES) + 4


def test_schemas_are_what_the_dictionary_says(city: Path) -> None:
    columns = load(city / "synthetic-dictionary.json")["columns"]
    for path in city.rglob("*.parquet"):
        told = [
            c
            for c in columns
            if (c["party"].replace(":", "-"), f"synthetic-{c['table']}") == (path.parent.name, path.stem)
        ]
        schema = pq.read_schema(path)
        assert [(c["name"], c["type"]) for c in told] == [(f.name, str(f.type)) for f in schema]
        read = pd.read_parquet(path)
        for column in told:
            if column["levels"]:
                assert set(read[column["name"]].dropna()) <= set(column["levels"])
    assert len({c["catalogue_item"] for c in columns}) == len(columns)
    for c in columns:
        assert c["name"].isascii()
        assert any("\u4e00" <= letter <= "\u9fff" for letter in c["name_zh"])
        assert c["meaning"]
        assert c["access"] in {"public", "authorised", "written", "internal"}
        assert c["source"].startswith("A")


def test_subjects_are_those_of_the_register(tables: dict[str, pd.DataFrame]) -> None:
    register = tables["host-credit/enterprises"]["subject"]
    assert register.is_unique
    assert set(tables["host-credit/enterprises"]["group_head"]) <= set(register)
    for frame in tables.values():
        assert set(frame["subject"]) <= set(register)
    for name in ("bank", "host-credit", "host-tax", "host-guarantee", "host-utility"):
        assert tables[f"{name}/features"]["subject"].is_unique


def test_blocks_share_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (population, writing):
        monkeypatch.setattr(module, "BLOCK", 300)
    told: list[int] = []
    summary = write_population(
        tmp_path / "x", Settings(n_enterprises=700, seed=1), report=lambda done, _: told.append(done)
    )
    assert told == [300, 600, 700]
    for name, number in (
        ("host-credit/synthetic-enterprises", "subject"),
        ("host-credit/synthetic-records", "record_id"),
        ("bank/synthetic-applications", "application_id"),
        ("host-guarantee/synthetic-guarantees", "guarantee_id"),
        ("ledger/synthetic-consents", "consent_id"),
    ):
        frame = pd.read_parquet(tmp_path / "x" / f"{name}.parquet")
        assert frame[number].is_unique
        assert len(frame) == summary["files"][f"{name}.parquet"]
    assert summary["files"]["host-credit/synthetic-enterprises.parquet"] == 700


@pytest.mark.parametrize("name", ["run.toml", "scorecard.toml"])
@pytest.mark.parametrize(("seed", "form"), [(0, "parquet"), (1, "parquet"), (2, "csv")])
def test_the_configurations_fit_the_files(tmp_path: Path, name: str, seed: int, form: writing.Format) -> None:
    """Even of a tiny city, whose rare columns may hold one value only."""
    write_population(tmp_path / "city", Settings(n_enterprises=500, seed=seed), form)
    config = load_config(tmp_path / "city" / name)
    assert [host.party for host in config.hosts] == ["host:credit", "host:tax", "host:guarantee"]
    assert (config.scorecard is None) == (name == "run.toml")
    bank, label, time, _ = read_labelled(config.guest, config.split.time_column)
    assert not {"as_of", "synthetic", "default"} & set(bank.columns)
    assert label.sum() > 0
    assert config.split.holdout_from is not None
    late = time >= config.split.holdout_from
    assert 0.1 < late.mean() < 0.6
    common = set(bank.ids)
    for host in config.hosts:
        table = read_table(host)
        assert not {"as_of", "synthetic"} & set(table.columns)
        assert set(table.ids) - set(bank.ids)  # strangers
        assert set(bank.ids) - set(table.ids)  # applicants it does not know or may not show
        common &= set(table.ids)
    assert len(common) > 40


def test_an_earlier_population_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(n_enterprises=200, seed=1)
    write_population(tmp_path / "city", settings)
    write_population(tmp_path / "city", Settings(n_enterprises=300, seed=1))
    assert load(tmp_path / "city" / "synthetic.json")["enterprises"] == 300
    other = tmp_path / "letters"
    other.mkdir()
    (other / "kept.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="Nothing was touched") as raised:
        write_population(other, settings)
    assert raised.value.code == "directory_in_use"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert [p.name for p in other.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("wrong", [{"n_enterprises": 99}, {"seed": -1}, {"default_rate": 0.5}])
def test_settings_out_of_range_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=next(iter(wrong))):
        Settings(**{"n_enterprises": 500, "seed": 1, **wrong})  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_large_city_is_drawn_fast_and_to_measure(tmp_path: Path) -> None:
    """200,000 take a fifth of a million's minute on two cores, in seconds of the processor."""
    started = time.process_time()
    summary = write_population(tmp_path / "city", Settings(n_enterprises=200_000, seed=5, default_rate=0.05))
    assert time.process_time() - started < 24
    assert abs(summary["default_rate_12m"] - 0.05) < 0.006
    assert json.loads((tmp_path / "city" / "synthetic.json").read_text(encoding="utf-8")) == summary
