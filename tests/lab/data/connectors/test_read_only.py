"""Nothing can be written through a source, by the very connection it holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine, text

from lab.data.connectors.opening import _open
from tests.lab.data.connectors.places import KINDS, SERVER, written

FRAME = pd.DataFrame({"id": ["a", "b"], "n": [1.0, 2.0]})


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in ("csv", "parquet")])
@pytest.mark.parametrize(
    "statement", ['DELETE FROM "{}"', "CREATE TABLE lianmo_unwanted (a int)", "UPDATE \"{}\" SET id = 'z'"]
)
def test_a_write_through_the_very_connection_fails(kind: str, statement: str, tmp_path: Path) -> None:
    with written(kind, FRAME, tmp_path) as place, _open(place) as source:
        wish = statement.format(place.table)
        with pytest.raises(Exception, match=r"(?i)read.?only"):
            source.connection.execute(wish if kind == "duckdb" else text(wish))


@pytest.mark.skipif(not SERVER, reason="needs LIANMO_TEST_POSTGRES")
def test_a_read_is_one_snapshot(tmp_path: Path) -> None:
    with written("postgresql", FRAME, tmp_path) as place, _open(place) as source:
        source.names()
        other = create_engine(SERVER)
        with other.begin() as connection:
            connection.execute(text(f"INSERT INTO \"{place.table}\" VALUES ('c', 3)"))
        other.dispose()
        rows = [batch.num_rows for batch in source.chunks(["id", "n"], {"id"}, "id")]
    assert rows == [2]
