"""Nothing can be written through a source, by the very connection it holds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import ConnectArgsType

from lab.data.connectors.location import Location
from lab.data.connectors.opening import _open
from models.errors import DataError
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


class OtherDialect(SQLiteDialect_pysqlite):
    """A database that SQLAlchemy reads and we know nothing of; it notes how it was asked to connect."""

    name = "otherdb"
    supports_statement_cache = True
    asked: ClassVar[list[tuple[str | None, str | None]]] = []

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        self.asked.append((url.username, url.password))
        return [url.database], {}


registry.register("otherdb", __name__, "OtherDialect")


def test_any_other_database_is_read_by_an_account_its_operator_vouches_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with written("sqlite", FRAME, tmp_path) as place:
        here = Path(str(make_url(place.address or "").database))
        address = f"otherdb://reader@/{here}"
        with pytest.raises(DataError) as refused:
            _open(Location(address=address, table=place.table))
        assert refused.value.code == "source_address"
        monkeypatch.setenv("LIANMO_SOURCE_PASSWORD", "sentinel-5521")
        with _open(Location(address=address, table=place.table, read_only_account=True)) as source:
            assert "sentinel-5521" not in repr(source.connection.engine)
            [batch] = source.chunks(["id", "n"], {"id"}, "id")
    assert batch.to_pydict() == {"id": ["a", "b"], "n": [1.0, 2.0]}
    assert OtherDialect.asked[-1] == ("reader", "sentinel-5521")


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
