"""A store opens at its newest version, wherever it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from lab.errors import GovernanceError
from lab.governance.policy import PolicyBook
from lab.governance.store import MIGRATIONS, counting, open_store
from lab.governance.tables import METADATA
from tests.lab.governance.test_policy import terms, use


def test_migrations_end_where_the_tables_are_declared(store: Engine) -> None:
    with store.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_an_open_store_may_be_opened_again(address: str) -> None:
    for _ in range(2):
        engine = open_store(address)
        assert set(METADATA.tables) < set(inspect(engine).get_table_names())
        engine.dispose()


def test_neither_logs_nor_errors_hold_what_is_stored(address: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sqlalchemy.engine")  # where it tells statements; DEBUG would be its rows
    engine = open_store(address)
    with engine.connect() as connection:
        select = text("SELECT CAST(:value AS VARCHAR(50))")
        assert connection.execute(select, {"value": "sentinel-7719"}).scalar() == "sentinel-7719"
        with pytest.raises(SQLAlchemyError) as caught:
            connection.execute(text("SELECT :value FROM no_such_table"), {"value": "sentinel-7719"})
    engine.dispose()
    assert "no_such_table" in caplog.text
    assert "sentinel-7719" not in caplog.text + str(caught.value)


def test_after_counting_commits_wait_for_the_disk_again(store: Engine) -> None:
    ask = "PRAGMA synchronous" if store.dialect.name == "sqlite" else "SHOW synchronous_commit"
    with counting(store) as connection:
        assert connection.exec_driver_sql(ask).scalar_one() in (1, "off")
    with pytest.raises(ZeroDivisionError), counting(store):
        raise ZeroDivisionError
    with store.connect() as connection:
        assert connection.exec_driver_sql(ask).scalar_one() in (2, "on")


def test_what_need_not_be_flushed_does_not_wait_for_the_disk(address: str) -> None:
    engine = open_store(address, flushed=False)
    ask = "PRAGMA synchronous" if engine.dialect.name == "sqlite" else "SHOW synchronous_commit"
    for _ in range(2):  # whatever a transaction does
        with engine.connect() as connection:
            assert connection.exec_driver_sql(ask).scalar_one() in (1, "off")
            connection.rollback()
    engine.dispose()


def test_uses_noted_one_by_one_are_counted_per_consumer_and_day(address: str) -> None:
    engine = create_engine(address)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.execute(
            text("INSERT INTO projects VALUES ('p', 'approved', :terms, 'Li', :at)"),
            {"terms": terms(max_uses=3, max_rows=100, period_days=1).model_dump_json(), "at": "2026-06-01 00:00:00"},
        )
        for at in ("2026-05-31 15:59:00.000000", "2026-05-31 16:00:00.000000", "2026-06-01 03:00:00.000000"):
            connection.execute(
                text(
                    "INSERT INTO uses (project, party, purpose, algorithm, at, n_rows) "
                    "VALUES ('p', 'bank', 'loan_model', 'boosting', :at, 30)"
                ),
                {"at": at},
            )
    engine.dispose()
    engine = open_store(address)
    _, left = PolicyBook(engine).dry_run(use())
    assert left == (1, 40)
    engine.dispose()


@pytest.mark.parametrize("address", ["no address", "oracle://x", "nothing+else://x"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(GovernanceError) as caught:
        open_store(address)
    assert caught.value.code == "store_address"


def test_a_store_that_cannot_be_reached_says_so(tmp_path: Path) -> None:
    for address in (f"sqlite:///{tmp_path}/absent/node.db", "postgresql+psycopg://nobody:secret-word@127.0.0.1:1/x"):
        with pytest.raises(GovernanceError) as caught:
            open_store(address)
        assert caught.value.code == "store_unreachable"
        assert "secret-word" not in str(caught.value)
