"""What a report of a decision needs beside the answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("answers", sa.Column("loan", sa.Text))
    op.add_column("answers", sa.Column("reported", sa.DateTime))


def downgrade() -> None:
    op.drop_column("answers", "reported")
    op.drop_column("answers", "loan")
