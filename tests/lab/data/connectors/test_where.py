"""Filters keep the same rows everywhere and are handed to the source, with values that cannot become SQL."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest

from lab.config_party import Party
from lab.data.connectors.filters import sql_query
from lab.data.sources import read_table
from models.errors import DataError
from tests.lab.data.connectors.places import KINDS, written

SECRET = "918273645"
FRAME = pd.DataFrame(
    {
        "id": [f"e{k:03}" for k in range(120)],
        "year": [2020 + k // 20 for k in range(120)],
        "城": ["甲", "乙", "x' OR 1=1 --"] * 40,
        "day": [datetime.date(2025, 1, 1) + datetime.timedelta(days=k) for k in range(120)],
        "open": [k % 2 == 0 for k in range(120)],
        "n": [float(k) for k in range(120)],
    }
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ({"year": 2025}, FRAME["year"] == 2025),
        ({"城": ["甲", "乙"]}, FRAME["城"].isin(["甲", "乙"])),
        ({"城": "x' OR 1=1 --"}, FRAME["城"] == "x' OR 1=1 --"),
        ({"year": {"min": 2021, "max": 2023}}, FRAME["year"].between(2021, 2023)),
        ({"day": {"min": datetime.date(2025, 4, 1)}}, FRAME["day"] >= datetime.date(2025, 4, 1)),
        ({"open": True, "year": {"max": 2021}}, FRAME["open"] & (FRAME["year"] <= 2021)),
    ],
)
def test_a_filter_keeps_the_same_rows_everywhere(kind: str, where: dict, kept: pd.Series, tmp_path: Path) -> None:
    with written(kind, FRAME, tmp_path, where) as place:
        table = read_table(Party(party="host:tax", data=place, columns=("n",)))
    assert sorted(table.ids) == list(FRAME.loc[kept, "id"])
    assert list(table.columns) == ["n"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("where", "code"),
    [({"none": 1}, "column_missing"), ({"year": SECRET}, "where_type"), ({"year": 1}, "file_empty")],
)
def test_a_filter_that_cannot_be_used_is_told_without_its_value(
    kind: str, where: dict, code: str, tmp_path: Path
) -> None:
    with written(kind, FRAME, tmp_path, where) as place, pytest.raises(DataError) as raised:
        read_table(Party(party="host:tax", data=place))
    assert raised.value.code == code
    assert raised.value.english.startswith("host:tax: ")
    assert SECRET not in str(raised.value)


def test_values_are_bound_and_names_quoted() -> None:
    query = str(sql_query('t"; DROP', ["id"], {"a b": (SECRET,)}, {"a b": str}, "id"))
    assert SECRET not in query
    assert '"t""; DROP"' in query
    assert '"a b"' in query


def test_row_groups_ruled_out_by_their_statistics_are_not_read(tmp_path: Path) -> None:
    """The bytes of the other groups are spoilt: whoever reads them fails."""
    import pyarrow.parquet as pq

    with written("parquet", FRAME, tmp_path, {"year": {"max": 2021}}) as place:
        group = pq.ParquetFile(place.file).metadata.row_group(2)
        content = bytearray(place.file.read_bytes())
        for k in range(group.num_columns):
            start = group.column(k).dictionary_page_offset or group.column(k).data_page_offset
            content[start : start + group.column(k).total_compressed_size] = (
                b"\xff" * group.column(k).total_compressed_size
            )
        place.file.write_bytes(content)
        assert len(read_table(Party(party="host:tax", data=place))) == 40
        with pytest.raises(DataError):
            read_table(Party(party="host:tax", data=place.file))


def test_only_wanted_columns_are_asked_for() -> None:
    query = str(sql_query("t", ["id", "n"], {"year": 1}, {"year": int}, "id"))
    assert query.split("FROM")[0].count(",") == 1
