"""A data node's own database: sqlite in its folder, or PostgreSQL; brought up to date whenever it is opened."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from lab.errors import GovernanceError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Identifiers asked for in one statement, under the limits of both databases.
AT_ONCE: Final = 10_000


def open_store(address: str, migrations: Path = MIGRATIONS, *, flushed: bool = True) -> Engine:
    """The store at an SQLAlchemy address such as ``sqlite:///node.db`` or ``postgresql+psycopg://user@host/name``;
    ``sqlite://`` lives in memory, on one connection.

    Args:
        migrations: what makes its tables.
        flushed: what is committed is on the disk. If not, it stands at once for all who ask and survives the end of the
            process; a power cut may take the last moments with it.

    Raises:
        GovernanceError: ``store_address`` for what is no such address; ``store_unreachable``.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        in_memory = {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        more = in_memory if address == "sqlite://" else {}
        engine = create_engine(address, hide_parameters=True, **more)  # hidden in logs and errors alike
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise GovernanceError(
            "store_address",
            f"The address of the store cannot be used ({type(error).__name__}). Use sqlite:///FILE or "
            "postgresql+psycopg://USER@HOST/NAME.",
            f"数据库地址无法使用（{type(error).__name__}）。请使用 sqlite:///文件 或 postgresql+psycopg://用户@主机/库名。",
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _careful if flushed else _hasty)
    elif not flushed:
        event.listen(engine, "connect", _unflushed)
    config = Config()
    config.set_main_option("script_location", str(migrations))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        engine.dispose()
        raise GovernanceError(
            "store_unreachable",
            f"The node's store cannot be opened ({type(error).__name__}): is the server up, does the account exist, is "
            "the folder writable?",
            f"无法打开节点数据库（{type(error).__name__}）：请检查服务是否运行、账号是否存在、目录是否可写。",
        ) from None
    return engine


@contextmanager
def counting(engine: Engine) -> Iterator[Connection]:
    """A transaction not flushed (``open_store``), for counts of what the audit log holds one by one."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
            try:
                yield connection
                connection.commit()
            finally:
                connection.rollback()
                connection.exec_driver_sql("PRAGMA synchronous=FULL")
        else:
            connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield connection
            connection.commit()


def in_pieces(subjects: Sequence[str]) -> list[list[str]]:
    """Identifiers in runs that one statement can hold."""
    return [list(subjects[k : k + AT_ONCE]) for k in range(0, len(subjects), AT_ONCE)]


def _careful(connection: object, _record: object, synchronous: str = "FULL") -> None:
    """sqlite: writers wait for each other, and what is committed is on the disk."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _hasty(connection: object, record: object) -> None:
    _careful(connection, record, "NORMAL")


def _unflushed(connection: object, _record: object) -> None:
    """PostgreSQL."""
    connection.execute("SET synchronous_commit TO off")  # type: ignore[attr-defined]
    connection.commit()  # type: ignore[attr-defined]
