"""Alembic runs this to bring a store of answers up to date, over the connection that ``open_store`` hands it."""

from __future__ import annotations

from alembic import context

from lab.serving.store import METADATA, VERSIONS

# A table of versions of its own: the store may share a database with a node's.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, version_table=VERSIONS)
with context.begin_transaction():
    context.run_migrations()
