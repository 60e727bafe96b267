"""What noise on released counts has spent, per project."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "noise_spent",
        sa.Column("release", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.project"), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("epsilon", sa.Float, nullable=False),
        sa.Column("n_features", sa.Integer, nullable=False),
    )
    op.create_index("ix_noise_spent_project_at", "noise_spent", ["project", "at"])


def downgrade() -> None:
    op.drop_table("noise_spent")
