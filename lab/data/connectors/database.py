"""Rows of a table or view of a database, in one read-only transaction with a cursor at the server."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from sqlalchemy import URL, Connection, Engine, create_engine, inspect, make_url
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from lab.data.connectors.filters import Where, sql_query
from lab.data.connectors.plain import plain, written
from lab.data.connectors.source import CHUNK, table_missing
from models.errors import DataError

#: The variable of the environment with the password of an account vouched for.
PASSWORD: Final = "LIANMO_SOURCE_PASSWORD"  # noqa: S105 - its name, not its value

_ARROW = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), Decimal: pa.float64()}


class Database:
    """A table or view, as a ``source.Source``.

    Args:
        read_only_account: see ``Location``.
    """

    def __init__(self, address: str, table: str, where: Where, *, read_only_account: bool = False) -> None:
        self.reference = f"{make_url(address).get_backend_name()} table {table}"
        self._table = table
        self._where = where
        self._engine = _engine(address, read_only_account=read_only_account)

    def __enter__(self) -> Database:
        try:
            self.connection: Connection = self._engine.connect()
            if self._engine.dialect.name == "postgresql":
                self.connection = self.connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            self.connection.begin()
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise DataError(
                "source_unreachable",
                f"the database of {self.reference} cannot be opened ({type(error).__name__}); is the server up, does "
                "the account exist, is its password in PGPASSWORD or the password file",
                f"无法打开 {self.reference} 所在的数据库（{type(error).__name__}），请检查服务是否运行、账号是否存在、"
                "口令是否已由 PGPASSWORD 或 pgpass 文件提供",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self._engine.dispose()

    def names(self) -> tuple[str, ...]:
        return tuple(self._kinds())

    def chunks(self, columns: Sequence[str], as_text: Collection[str], order: str) -> Iterator[pa.RecordBatch]:
        kinds = self._kinds()
        query = sql_query(self._table, columns, self._where, kinds, order)
        rows = self.connection.execution_options(yield_per=CHUNK).execute(query)
        for part in rows.partitions():
            arrays = [
                _array(values, str if name in as_text else kinds[name])
                for name, values in zip(columns, zip(*part, strict=True), strict=True)
            ]
            yield plain(pa.RecordBatch.from_arrays(arrays, names=list(columns)), as_text)

    def _kinds(self) -> dict[str, type]:
        """Column → Python's type of its values, as the database declares it."""
        try:
            return {c["name"]: _python_type(c["type"]) for c in inspect(self.connection).get_columns(self._table)}
        except NoSuchTableError:
            raise table_missing(self.reference) from None


def _engine(address: str, *, read_only_account: bool) -> Engine:
    url = make_url(address)
    match url.get_backend_name():
        case "sqlite":
            where = Path(url.database or "").resolve().as_uri()
            return create_engine(
                "sqlite://", creator=lambda: sqlite3.connect(f"{where}?mode=ro", uri=True), poolclass=NullPool
            )
        case "postgresql":
            return _driven(url)
    if read_only_account:
        password = os.environ.get(PASSWORD)
        return _driven(url if password is None else url.set(password=password))
    raise DataError(
        "source_address",
        "a database of this kind cannot be held to reading from here; use postgresql+psycopg:// or sqlite:///, or an "
        "account that cannot write, and say so with read_only_account = true",
        "无法从本方确保以只读方式连接此类数据库。请使用 postgresql+psycopg:// 或 sqlite:///；"
        "或使用没有写权限的账号，并注明 read_only_account = true",
    )


def _driven(url: URL) -> Engine:
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True)
    except (SQLAlchemyError, ImportError):
        raise DataError(
            "source_driver",
            f"there is no driver for {url.get_backend_name()} here, or it has another name; install it and name it "
            "in the address, such as mysql+pymysql://",
            f"本机没有 {url.get_backend_name()} 的驱动，或驱动名称有误；请安装并在地址中注明，例如 mysql+pymysql://",
        ) from None


def _python_type(kind: object) -> type:
    try:
        return kind.python_type  # type: ignore[attr-defined, no-any-return]
    except NotImplementedError:
        return str


def _array(values: Sequence[object], kind: type) -> pa.Array:
    if kind in _ARROW:
        as_kind: Callable[[Any], object] = float if kind is Decimal else kind  # sqlite's truth values are 0 and 1
        if kind in (bool, Decimal):
            values = [None if v is None else as_kind(v) for v in values]
        return pa.array(values, _ARROW[kind])
    return pa.array([written(v) for v in values], pa.large_string())
