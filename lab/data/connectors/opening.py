"""From what ``data`` says to an open source, and from a source to a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lab.data.connectors.csv_file import CsvFile
from lab.data.connectors.location import Location, is_duckdb, is_parquet
from lab.data.connectors.parquet_file import ParquetFile
from lab.data.connectors.source import Source, column_missing, unreadable
from models.errors import DataError

#: From all columns of a source to those to read.
Choice = Callable[[tuple[str, ...]], Sequence[str]]


def read_rows(data: Path | Location, id_column: str, choose: Choice = lambda names: names) -> pd.DataFrame:
    """The chosen rows and columns, ids as text; a table's in the order of its ids.

    Memory is about the frame and its like in Arrow: chunks are joined column by column.

    Raises:
        DataError: ``file_missing``, ``file_empty``, ``table_missing``, ``column_missing``, ``where_type``,
            ``source_address``, ``source_unreachable``, ``file_unreadable``; none holds an address or a value.
    """
    name = reference(data)
    try:
        with _open(data) as source:
            names = source.names()
            if not names:
                raise pd.errors.EmptyDataError
            columns = list(dict.fromkeys([id_column, *choose(names)]))
            filtered = data.where if isinstance(data, Location) else {}
            absent = [c for c in dict.fromkeys([*columns, *filtered]) if c not in names]
            if absent:
                raise column_missing(source.reference, absent)
            columns.sort(key=names.index)
            frame = _frame(source, columns, id_column)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("file_missing", f"{name} does not exist", f"{name} 不存在") from None
    except pd.errors.EmptyDataError:
        raise _empty(name) from None
    except Exception as error:  # drivers raise what they like, with values and accounts in it
        raise unreadable(name, error) from None
    if frame.empty:
        raise _empty(name)
    return frame


def reference(data: Path | Location) -> str:
    """Kind and name of a source for people and logs: never an address, an account or a folder."""
    if isinstance(data, Path):
        return f"file {data.name}"
    if data.file is not None:
        return f"duckdb table {data.table} of {data.file.name}" if data.table else f"file {data.file.name}"
    return f"{(data.address or '').partition(':')[0].partition('+')[0]} table {data.table}"


def _open(data: Path | Location) -> Source:
    where = {} if isinstance(data, Path) else data.where
    path = data if isinstance(data, Path) else data.file
    table = None if isinstance(data, Path) else data.table
    if path is None:
        assert isinstance(data, Location)
        from lab.data.connectors.database import Database

        return Database(data.address or "", table or "", where, read_only_account=data.read_only_account)
    if is_duckdb(path):
        if table is None:
            raise DataError(
                "table_needed",
                f"{path.name} is a DuckDB file: say which table, as {{ file = …, table = … }} or --table",
                f"{path.name} 是 DuckDB 文件，请用 {{ file = …, table = … }} 或 --table 指定表",
            )
        from lab.data.connectors.duckdb_file import DuckDbFile

        return DuckDbFile(path, table, where)
    return ParquetFile(path, where) if is_parquet(path) else CsvFile(path, where)


def _frame(source: Source, columns: list[str], id_column: str) -> pd.DataFrame:
    as_text = {id_column}
    while True:
        parts = list(source.chunks(columns, as_text, id_column))
        mixed = _mixed([part.schema for part in parts], columns) - as_text
        if not mixed:
            break
        as_text |= mixed  # numbers in one chunk, text in another: read as it is written
    if not parts:
        return pd.DataFrame(columns=columns)
    joined = pa.concat_tables([pa.Table.from_batches([p]) for p in parts], promote_options="permissive")
    del parts
    for k, field in enumerate(joined.schema):
        if pa.types.is_boolean(field.type) and joined.column(k).null_count:
            joined = joined.set_column(k, field.name, joined.column(k).cast(pa.int8()).cast(pa.float64()))
    frame: pd.DataFrame = joined.to_pandas(split_blocks=True, self_destruct=True)
    return frame


def _mixed(schemas: list[pa.Schema], columns: list[str]) -> set[str]:
    """Columns that cannot be one kind: read as text they can."""

    def kind(field: pa.DataType) -> str:
        if pa.types.is_boolean(field):
            return "truth"
        return "text" if pa.types.is_large_string(field) else "number"

    kinds = {name: {kind(s.field(name).type) for s in schemas if s.field(name).type != pa.null()} for name in columns}
    return {name for name, found in kinds.items() if len(found) > 1}


def _empty(name: str) -> DataError:
    return DataError(
        "file_empty", f"{name} has no rows; give one per applicant", f"{name} 没有数据行，每个申请人应有一行"
    )
