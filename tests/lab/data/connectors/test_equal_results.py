"""The same rows give the same table and digest, whatever they are kept in."""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.config_party import Party
from lab.data.connectors import source
from lab.data.connectors.location import Location
from lab.data.sources import data_digest, read_table
from models.errors import DataError
from models.table import Table
from tests.lab.data.connectors.places import KINDS, written

#: A word cannot be taken for a number, a truth value or one of pandas' words for missing.
WORDS = st.text("税务局甲乙 ,'\"x%:", min_size=1, max_size=6).map(lambda t: f"字{t}字")
COLUMNS = {
    "额": st.floats(allow_nan=False, allow_infinity=False, width=64).map(lambda v: v + 0.0),
    "count": st.integers(-(2**52), 2**52),
    'Kind of; "quoted"': st.none() | WORDS,
    "日期": st.none() | st.dates(datetime.date(1990, 1, 1), datetime.date(2030, 1, 1)),
    "flag": st.booleans(),
    "maybe": st.none() | st.booleans(),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    ids = draw(st.lists(st.integers(10**17, 2**63 - 1), min_size=2, max_size=12, unique=True))
    n = len(ids)
    columns = {name: draw(st.lists(values, min_size=n, max_size=n)) for name, values in COLUMNS.items()}
    for values in columns.values():  # a column must hold something
        values[0] = next((v for v in values if v is not None), None)
    frame = pd.DataFrame({"编号": ids, **columns})
    frame["maybe"] = frame["maybe"].astype("boolean")
    frame.loc[1:, "额"] = frame.loc[1:, "额"].where(frame["flag"])
    return frame.drop(columns=[c for c in frame if frame[c].isna().all()])


def by_id(table: Table) -> Table:
    return table.take(np.argsort(np.array(table.ids)))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(frames())
def test_all_kinds_of_source_give_one_table_and_one_digest(frame: pd.DataFrame) -> None:
    tables, digests = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            with written(kind, frame, Path(folder)) as place:
                party = Party(party="host:tax", data=place, id="编号")
                tables[kind] = by_id(read_table(party, varied=False))
                digests[kind] = data_digest(party)
    expected = tables.pop("csv")
    assert set(expected.ids) == set(frame["编号"].astype(str))
    for kind, table in tables.items():
        assert table.ids == expected.ids, kind
        assert list(table.columns) == list(expected.columns), kind
        for name, values in expected.columns.items():
            assert table.columns[name].dtype == values.dtype, (kind, name)
            np.testing.assert_array_equal(table.columns[name], values, err_msg=f"{kind} {name}")
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_ids_are_refused_alike(kind: str, tmp_path: Path) -> None:
    with (
        written(kind, pd.DataFrame({"id": ["x", "x", "y"], "n": [1, 2, 3]}), tmp_path) as place,
        pytest.raises(DataError) as raised,
    ):
        read_table(Party(party="host:tax", data=place))
    assert raised.value.code == "duplicate_ids"


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_make_no_difference_also_where_a_later_one_has_text(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame(
        {"id": [f"{k:04}" for k in range(200)], "n": range(200), "code": [f"0{k}" for k in range(200)]}
    )
    frame.loc[150, "code"] = "无"
    for module in ("csv_file", "parquet_file", "duckdb_file", "database"):
        monkeypatch.setattr(f"lab.data.connectors.{module}.CHUNK", 7)
    assert source.CHUNK > 7
    with written(kind, frame, tmp_path) as place:
        table = by_id(read_table(Party(party="host:tax", data=place)))
    assert list(table.ids) == list(frame["id"])
    assert table.columns["n"].tolist() == list(range(200))
    assert list(table.columns["code"]) == list(frame["code"])  # leading zeros too


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("csv", "parquet")])
def test_a_digest_is_of_content_not_of_order(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b", "c"], "n": [1.5, 2.0, 3.0]})
    digests = []
    for rows in (frame, frame[::-1], frame.assign(n=[1.5, 2.0, 4.0])):
        with written(kind, rows, tmp_path) as place:
            digests.append(data_digest(Party(party="host:tax", data=place)))
    assert digests[0] == digests[1] != digests[2]


def test_a_whole_file_keeps_the_digest_of_its_bytes(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "a.csv"
    path.write_bytes(b"id,n\na,1\n")
    assert data_digest(Party(party="host:tax", data=path)) == hashlib.sha256(b"id,n\na,1\n").hexdigest()
    assert data_digest(Party(party="host:tax", data=Location(file=path))) != data_digest(
        Party(party="host:tax", data=path)
    )
