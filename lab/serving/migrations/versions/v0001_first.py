"""Answers, and keys of calls that must not be done twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("score", sa.String(64), primary_key=True),
        sa.Column("caller", sa.String(128), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_answers_at", "answers", ["at"])
    op.create_table(
        "calls",
        sa.Column("call", sa.String(64), primary_key=True),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("claimed", sa.DateTime, nullable=False),
        sa.Column("reply", sa.Text),
    )
    op.create_index("ix_calls_claimed", "calls", ["claimed"])


def downgrade() -> None:
    op.drop_table("calls")
    op.drop_table("answers")
