"""How a source is named: what the TOML may say, no password anywhere, one clear error for each mistake."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lab.config import load_config, parse_config
from lab.config_party import Party
from lab.config_text import config_text
from lab.data.connectors.location import Location, named
from lab.data.sources import read_table, source_reference
from lab.errors import ConfigError
from lab.jobs import jobs_of, load_job, save_job
from models.errors import DataError
from tests.lab.data.connectors.places import SERVER, written

SECRET = "hunter2secret"


def raw(data: object) -> dict:
    return {"guest": {"party": "bank", "data": "b.csv", "label": "y"}, "hosts": [{"party": "host:tax", "data": data}]}


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql+psycopg://me:{SECRET}@h/db",
        f"postgresql+psycopg://me@h/db?password={SECRET}",
        f"postgresql+psycopg://me@h/db?options={SECRET}",
        f"postgresql//me:{SECRET}@h",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(raw({"address": address, "table": "tax"}), Path("/"))
    assert SECRET not in repr(raised.value) + raised.value.english + raised.value.chinese
    if "://" in address:
        with pytest.raises(ConfigError) as raised:
            named(address, "tax", Path("/"))
        assert SECRET not in raised.value.english + raised.value.chinese


@pytest.mark.parametrize(
    "data",
    [
        {"table": "t"},
        {"file": "a.duckdb"},
        {"file": "a.csv", "table": "t"},
        {"address": "sqlite:///a.db"},
        {"file": "a.csv", "address": "sqlite:///a.db", "table": "t"},
        {"file": "a.csv", "where": {"a": []}},
        {"file": "a.csv", "where": {"a": {}}},
        {"file": "a.csv", "whree": {}},
        3,
    ],
)
def test_a_wrong_location_is_a_wrong_configuration(data: object) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(raw(data), Path("/"))
    assert raised.value.code == "config_wrong"


@pytest.mark.parametrize(
    "data",
    [
        "tax.parquet",
        {"file": "city.duckdb", "table": "税", "where": {"year": 2025, "城": ["甲", "b"], "v": {"min": 0.5}}},
        {"address": "postgresql+psycopg://me@db/city", "table": "tax"},
        {"address": "sqlite:///city.db", "table": "tax", "where": {"open": True, "day": {"max": "2025-01-02"}}},
    ],
)
def test_a_location_survives_toml_and_job(data: object, tmp_path: Path) -> None:
    config = parse_config(raw(data), tmp_path)
    path = tmp_path / "again.toml"
    path.write_text(config_text(config, tmp_path), encoding="utf-8")
    assert load_config(path).hosts == config.hosts
    _, (job,) = jobs_of(config, "m", tmp_path / "run")
    assert load_job(save_job(job)).party.data == config.hosts[0].data


def test_a_relative_sqlite_address_is_taken_from_the_file(tmp_path: Path) -> None:
    data = parse_config(raw({"address": "sqlite:///city.db", "table": "t"}), tmp_path).hosts[0].data
    assert str(tmp_path / "city.db") in data.address


def test_a_reference_names_kind_and_table_only() -> None:
    data = Location(address="postgresql+psycopg://me@internal-host/city", table="tax")
    assert source_reference(Party(party="host:tax", data=data)) == "postgresql table tax"
    assert "internal-host" not in repr(data)
    party = Party(party="host:tax", data=Location(file=Path("/secret/city.duckdb"), table="tax"))
    assert source_reference(party) == "duckdb table tax of city.duckdb"


DOWN = "postgresql+psycopg://me@127.0.0.1:1/db"


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("source_unreachable", Location(address=DOWN, table="tax")),
        ("source_unreachable", Location(address="sqlite:////nowhere/city.db", table="tax")),
        ("source_address", Location(address="mysql://me@h/db", table="tax")),
        ("source_driver", Location(address="postgresql+nodriver://me@h/db", table="tax")),
        ("source_driver", Location(address="nosuch://me@h/db", table="tax", read_only_account=True)),
        ("file_missing", Location(file=Path("/nowhere/city.duckdb"), table="tax")),
        ("file_missing", Location(file=Path("/nowhere/city.parquet"))),
        ("table_needed", Path("/nowhere/city.duckdb")),
    ],
)
def test_what_cannot_be_opened_is_told_in_two_languages(
    code: str, data: Location | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    with pytest.raises(DataError) as raised:
        read_table(Party(party="host:tax", data=data))
    assert raised.value.code == code
    assert raised.value.english.startswith("host:tax: ")
    assert raised.value.chinese.startswith("host:tax：")
    for private in (SECRET, "127.0.0.1", "nowhere", "me@"):
        assert private not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("kind", ["duckdb", "sqlite", *(["postgresql"] if SERVER else [])])
def test_an_absent_table_or_column_is_named(kind: str, tmp_path: Path) -> None:
    with written(kind, pd.DataFrame({"id": ["a", "b"], "n": [1, 2]}), tmp_path) as place:
        for code, data, columns in (
            ("table_missing", place.model_copy(update={"table": "gone"}), None),
            ("column_missing", place, ("gone",)),
        ):
            with pytest.raises(DataError, match="gone") as raised:
                read_table(Party(party="host:tax", data=data, columns=columns))
            assert raised.value.code == code


@pytest.mark.parametrize("name", ["a.duckdb", "a.parquet", "a.db"])
def test_a_spoilt_file_is_unreadable(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(SECRET.encode() * 500)
    data = named(f"sqlite:///{path}" if name == "a.db" else str(path), None if "parquet" in name else "t", tmp_path)
    with pytest.raises(DataError) as raised:
        read_table(Party(party="host:tax", data=data))
    assert raised.value.code in ("file_unreadable", "source_unreachable")
    assert SECRET not in str(raised.value)


def test_a_duckdb_file_is_no_more_than_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "city.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'a' AS id, 1 AS n UNION ALL SELECT 'b', 2")
    assert len(read_table(Party(party="host:tax", data=named(str(path), "t", tmp_path)))) == 2
