"""A store opens at its newest version, wherever it is."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from lab.errors import GovernanceError
from lab.governance.store import open_store
from lab.governance.tables import METADATA


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
