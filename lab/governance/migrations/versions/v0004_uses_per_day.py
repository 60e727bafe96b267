"""Uses are counted per consumer and day: a budget is read in one glance, however many calls it pays for."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, timedelta, timezone

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_CHINA = timezone(timedelta(hours=8))


def upgrade() -> None:
    connection = op.get_bind()
    columns = [sa.column("project"), sa.column("party"), sa.column("n_rows"), sa.column("at", sa.DateTime)]
    counted: dict[tuple[object, ...], list[int]] = defaultdict(lambda: [0, 0])
    for use in connection.execute(sa.select(*columns).select_from(sa.table("uses", *columns))):
        spent = counted[use.project, use.party, use.at.replace(tzinfo=UTC).astimezone(_CHINA).date()]
        spent[0], spent[1] = spent[0] + 1, spent[1] + use.n_rows
    op.drop_table("uses")
    made = op.create_table(
        "uses",
        sa.Column("project", sa.String(64), sa.ForeignKey("projects.project"), primary_key=True),
        sa.Column("party", sa.String(64), primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("n_uses", sa.Integer, nullable=False),
        sa.Column("n_rows", sa.BigInteger, nullable=False),
    )
    rows = [
        {"project": project, "party": party, "day": day, "n_uses": n_uses, "n_rows": n_rows}
        for (project, party, day), (n_uses, n_rows) in counted.items()
    ]
    if rows:
        op.bulk_insert(made, rows)


def downgrade() -> None:
    raise NotImplementedError("single uses are not kept any more")
