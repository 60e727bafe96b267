"""Alembic runs this to bring a store up to date, over the connection that ``store.open_store`` hands it."""

from __future__ import annotations

from alembic import context

from lab.governance.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
