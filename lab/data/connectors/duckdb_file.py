"""Rows of a table or view in a DuckDB file, opened read only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from sqlalchemy import Select, false, select, table, text
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql import quoted_name

from lab.data.connectors.filters import Where, python_type, sql_query
from lab.data.connectors.plain import plain
from lab.data.connectors.source import CHUNK, table_missing

_DIALECT = DefaultDialect(paramstyle="qmark")


class DuckDbFile:
    def __init__(self, path: Path, table: str, where: Where) -> None:
        self.reference = f"duckdb table {table} of {path.name}"
        self._table = table
        self._where = where
        path.stat()
        self.connection = duckdb.connect(str(path), read_only=True)

    def __enter__(self) -> DuckDbFile:
        self.connection.begin()  # names and rows of one snapshot
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def names(self) -> tuple[str, ...]:
        return tuple(self._schema().names)

    def chunks(self, columns: Sequence[str], as_text: Collection[str], order: str) -> Iterator[pa.RecordBatch]:
        kinds = {field.name: python_type(field.type) for field in self._schema()}
        query = sql_query(self._table, columns, self._where, kinds, order)
        for batch in self._reader(query):
            yield plain(batch, as_text)

    def _schema(self) -> pa.Schema:
        nothing = select(text("*")).select_from(table(quoted_name(self._table, True))).where(false())
        try:
            return self._reader(nothing).schema
        except duckdb.CatalogException:
            raise table_missing(self.reference) from None

    def _reader(self, query: Select[Any]) -> pa.RecordBatchReader:
        compiled = query.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        values = [compiled.params[name] for name in compiled.positiontup or ()]
        return self.connection.sql(str(compiled), params=values).to_arrow_reader(CHUNK)
