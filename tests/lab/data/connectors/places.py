"""The same rows written to each kind of source."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
from sqlalchemy import BigInteger, Boolean, Date, Float, Text, create_engine, text
from sqlalchemy.types import TypeEngine

from lab.data.connectors.location import Location

#: Such as ``postgresql+psycopg://postgres@127.0.0.1/postgres``; tables are made and dropped there.
SERVER = os.environ.get("LIANMO_TEST_POSTGRES", "")

KINDS = ("csv", "parquet", "duckdb", "sqlite", *(["postgresql"] if SERVER else []))


@contextmanager
def written(kind: str, frame: pd.DataFrame, folder: Path, where: dict | None = None) -> Iterator[Location]:
    """``frame`` as a source of that kind, gone afterwards."""
    table = f"税_{secrets.token_hex(6)}"
    path = folder / f"{table}.{kind}"
    where = where or {}
    if kind in ("csv", "parquet"):
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path, index=False, row_group_size=50)
        yield Location(file=path, where=where)
    elif kind == "duckdb":
        with duckdb.connect(str(path)) as connection:
            connection.register("rows", frame)
            connection.execute(f'CREATE TABLE "{table}" AS SELECT * FROM rows')
        yield Location(file=path, table=table, where=where)
    else:
        address = SERVER if kind == "postgresql" else f"sqlite:///{path}"
        engine = create_engine(address)
        frame.to_sql(table, engine, index=False, dtype={c: sql_type(frame[c]) for c in frame.columns})
        try:
            yield Location(address=address, table=table, where=where)
        finally:
            with engine.begin() as connection:
                connection.execute(text(f'DROP TABLE "{table}"'))
            engine.dispose()


def sql_type(values: pd.Series) -> TypeEngine:
    """As a database's owner would declare it."""
    tests: list[tuple[Callable[[pd.Series], bool], TypeEngine]] = [
        (pd.api.types.is_bool_dtype, Boolean()),
        (pd.api.types.is_integer_dtype, BigInteger()),
        (pd.api.types.is_float_dtype, Float(53)),
        (lambda v: hasattr(v.dropna().iloc[0] if v.notna().any() else None, "isoformat"), Date()),
    ]
    return next((kind for holds, kind in tests if holds(values)), Text())
