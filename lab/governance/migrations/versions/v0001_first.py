"""Consents, records and what happened to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "grants",
        sa.Column("consent", sa.String(64), primary_key=True),
        sa.Column("party", sa.String(64), primary_key=True),
        sa.Column("scope", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("starts", sa.DateTime, nullable=False),
        sa.Column("ends", sa.DateTime, nullable=False),
        sa.Column("revoked", sa.DateTime),
        sa.Column("evidence", sa.String(64), nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
    )
    op.create_index("ix_grants_party_purpose_scope_subject", "grants", ["party", "purpose", "scope", "subject"])
    op.create_index("ix_grants_subject", "grants", ["subject"])
    op.create_table(
        "records",
        sa.Column("record", sa.String(64), primary_key=True),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("item", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("published", sa.Date, nullable=False),
        sa.Column("term_ends", sa.Date, nullable=False),
        sa.Column("amount", sa.Float),
    )
    op.create_index("ix_records_subject", "records", ["subject"])
    op.create_index("ix_records_item_published", "records", ["item", "published"])
    op.create_table(
        "record_events",
        sa.Column("event", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("record", sa.String(64), sa.ForeignKey("records.record"), nullable=False),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("on", sa.Date, nullable=False),
        sa.Column("amount", sa.Float),
    )
    op.create_index("ix_record_events_record", "record_events", ["record"])


def downgrade() -> None:
    op.drop_table("record_events")
    op.drop_table("records")
    op.drop_table("grants")
