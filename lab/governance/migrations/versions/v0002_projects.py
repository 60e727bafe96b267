"""Projects that a node allows, and what was used under them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("project", sa.String(64), primary_key=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("decided_by", sa.String(100), nullable=False),
        sa.Column("decided", sa.DateTime, nullable=False),
    )
    op.create_table(
        "uses",
        sa.Column("use", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.project"), nullable=False),
        sa.Column("party", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(64), nullable=False),
        sa.Column("algorithm", sa.String(32), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("n_rows", sa.Integer, nullable=False),
    )
    op.create_index("ix_uses_project_at", "uses", ["project", "at"])


def downgrade() -> None:
    op.drop_table("uses")
    op.drop_table("projects")
