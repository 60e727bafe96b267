"""Tables of a data node's own store. Times are UTC without a zone; what changes them is ``migrations``."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: What a subject allowed: one row per party and scope that a consent names.
GRANTS: Final = Table(
    "grants",
    METADATA,
    Column("consent", String(64), primary_key=True),
    Column("party", String(64), primary_key=True),
    Column("scope", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("starts", DateTime, nullable=False),
    Column("ends", DateTime, nullable=False),
    Column("revoked", DateTime),
    Column("evidence", String(64), nullable=False),
    Column("signature", Text, nullable=False),
    Column("key_id", String(64), nullable=False),
    Index(None, "party", "purpose", "scope", "subject"),
    Index(None, "subject"),
)

#: Credit records of subjects as they were made known; never changed.
RECORDS: Final = Table(
    "records",
    METADATA,
    Column("record", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("item", String(64), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("published", Date, nullable=False),
    Column("term_ends", Date, nullable=False),
    Column("amount", Float),
    Index(None, "subject"),
    Index(None, "item", "published"),
)

#: What happened to records afterwards; only added to.
RECORD_EVENTS: Final = Table(
    "record_events",
    METADATA,
    Column("event", Integer, primary_key=True, autoincrement=True),
    Column("record", String(64), ForeignKey("records.record"), nullable=False),
    Column("kind", String(24), nullable=False),
    Column("on", Date, nullable=False),
    Column("amount", Float),
    Index(None, "record"),
)

#: What a node allows: one row per project; its terms as JSON (``policy.Terms``).
PROJECTS: Final = Table(
    "projects",
    METADATA,
    Column("project", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("terms", Text, nullable=False),
    Column("decided_by", String(100), nullable=False),
    Column("decided", DateTime, nullable=False),
)

#: What was asked and allowed: sessions or scoring calls, and their rows, of each consumer on each day in China.
USES: Final = Table(
    "uses",
    METADATA,
    Column("project", String(64), ForeignKey("projects.project"), primary_key=True),
    Column("party", String(64), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("n_uses", Integer, nullable=False),
    Column("n_rows", BigInteger, nullable=False),
)

#: Counts that were released with noise: epsilon per feature, and how many features; only added to.
NOISE_SPENT: Final = Table(
    "noise_spent",
    METADATA,
    Column("release", Integer, primary_key=True, autoincrement=True),
    Column("project", String(64), ForeignKey("projects.project"), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("epsilon", Float, nullable=False),
    Column("n_features", Integer, nullable=False),
    Index(None, "project", "at"),
)
