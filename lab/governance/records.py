"""Records that a data node keeps of its subjects, what became of them, and what may be used of them at a date.

A record counts in a feature as of a date if it was known and usable then, and is still usable on the day of use: what
was repaired since is gone from the past, too.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import BindParameter, Engine, bindparam, insert, select

from lab.errors import GovernanceError
from lab.governance.days import Day
from lab.governance.record_states import (
    Change,
    Event,
    Severity,
    Span,
    State,
    check_term,
    impossible,
    spans,
    state_after,
)
from lab.governance.store import AT_ONCE, in_pieces
from lab.governance.tables import RECORD_EVENTS, RECORDS
from models.losses import Floats

#: Days that a month counts in "months since".
_MONTH: Final = 365.25 / 12

# Written once: to put a statement together takes longer than to run it.
_WANTED: Final[BindParameter[str]] = bindparam("wanted", expanding=True)
_NUMBERED: Final = select(RECORDS).where(RECORDS.c.record.in_(_WANTED))
_OF_SUBJECTS: Final = select(RECORDS).where(RECORDS.c.subject.in_(_WANTED))
_EVENTS: Final = (
    select(RECORD_EVENTS).where(RECORD_EVENTS.c.record.in_(_WANTED)).order_by(RECORD_EVENTS.c.on, RECORD_EVENTS.c.event)
)


class Record(BaseModel):
    """One record as it is imported, one JSON object per line.

    Attributes:
        item: number of its item in the catalogue.
        published: first day of publicity, when it became known.
        term_ends: first day on which it no longer counts.
        amount: such as a fine, in yuan; None: none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    record: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    subject: str = Field(pattern=r"^[^\s\x00-\x1f]{1,64}$")
    item: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    severity: Severity
    published: Day
    term_ends: Day
    amount: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _term(self) -> Self:
        try:
            check_term(self.severity, self.published, self.term_ends)
        except GovernanceError as error:
            raise ValueError(f"{error.english} / {error.chinese}") from None
        return self


class RecordChange(BaseModel):
    """What happened to a record, one JSON object per line. ``amount``: of a correction."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    record: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    change: Change
    on: Day
    amount: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def feature_names(item: str) -> tuple[str, str, str]:
    """What the features made of an item's records are called."""
    return f"{item}_count", f"{item}_months", f"{item}_amount"


class _Usable(NamedTuple):
    """Days on which a record counts that is usable on the day of use."""

    published: date
    span: Span


@dataclass(frozen=True, slots=True)
class RecordBook:
    """Over the node's store."""

    engine: Engine

    def add(self, records: Sequence[Record]) -> int:
        """Add records, all or none; those that are there already, equal in all, are passed over. Returns how many were
        new.

        Raises:
            GovernanceError: ``record_exists`` if one is there with other content; ``record_repeated``.
        """
        if len({r.record for r in records}) < len(records):
            raise GovernanceError(
                "record_repeated",
                "A record number occurs twice in the import. Nothing was added.",
                "导入的记录编号有重复，未作任何添加。",
            )
        known = {r.record: r for r in self._records(numbers=[r.record for r in records])}
        for r in records:
            if r.record in known and known[r.record] != r:
                raise GovernanceError(
                    "record_exists",
                    f"Record {r.record} is there with other content. Record a correction instead. Nothing was added.",
                    f"记录 {r.record} 已存在且内容不同，请改为登记更正。未作任何添加。",
                )
        new = [r.model_dump() for r in records if r.record not in known]
        with self.engine.begin() as connection:
            for k in range(0, len(new), AT_ONCE):
                connection.execute(insert(RECORDS), new[k : k + AT_ONCE])
        return len(new)

    def change(self, change: RecordChange) -> str:
        """``change_all`` of one."""
        return self.change_all([change])[0]

    def change_all(self, changes: Sequence[RecordChange]) -> list[str]:
        """Note what happened to records, all or nothing; returns their subjects, in order, whose scores are to be made
        anew.

        Raises:
            GovernanceError: ``record_unknown``; ``record_change`` for what cannot happen to a record where it then
                stands.
        """
        numbers = sorted({c.record for c in changes})
        known = {r.record: r for r in self._records(numbers=numbers)}
        events = self._events(numbers)
        for c in changes:
            if c.record not in known:
                raise GovernanceError(
                    "record_unknown", f"There is no record {c.record}.", f"不存在编号为 {c.record} 的记录。"
                )
            if c.on < known[c.record].published:
                raise impossible("unpublished", c.change)
            past = events.setdefault(c.record, [])
            past.append(Event(c.change, c.on, c.amount))
            state_after(past)
        rows = [{"record": c.record, "kind": c.change, "on": c.on, "amount": c.amount} for c in changes]
        if rows:
            with self.engine.begin() as connection:
                connection.execute(insert(RECORD_EVENTS), rows)
        return [known[c.record].subject for c in changes]

    def state(self, record: str, at: date) -> State:
        """Where a record stands on a day. Raises ``GovernanceError`` (``record_unknown``), also before it is known."""
        found = [r for r in self._records(numbers=[record]) if r.published <= at]
        if not found:
            raise GovernanceError("record_unknown", f"There is no record {record}.", f"不存在编号为 {record} 的记录。")
        state = state_after(e for e in self._events([record]).get(record, []) if e.on <= at)
        return "expired" if at >= found[0].term_ends and state not in ("repaired", "withdrawn") else state

    def changed(self, since: date, until: date) -> list[str]:
        """Subjects of records that changed, or whose term ended, from ``since`` to ``until``, both included."""
        e, r = RECORD_EVENTS.c, RECORDS.c
        happened = select(r.subject).join(RECORD_EVENTS, e.record == r.record).where(e.on.between(since, until))
        ended = select(r.subject).where(r.term_ends.between(since, until))
        with self.engine.connect() as connection:
            return sorted({*connection.scalars(happened), *connection.scalars(ended)})

    def recorded(self, subjects: Sequence[str]) -> list[str]:
        """Subjects of whom there is, or was, any record."""
        return sorted({r.subject for r in self._records(subjects=subjects)})

    def features(
        self, subjects: Sequence[str], as_of: Sequence[date], used_on: date, items: Sequence[str]
    ) -> dict[str, Floats]:
        """Point-in-time features, one row per subject and date.

        Args:
            as_of: what was known then counts, such as the day of application.
            used_on: the day of use; a record that is no longer usable then does not count.

        Returns:
            Per item, as ``feature_names``: how many; months since the latest one was published, NaN without any;
            amount of all together, in yuan.
        """
        n = len(subjects)
        usable = self._usable(sorted(set(subjects)), used_on, frozenset(items))
        columns: dict[str, Floats] = {}
        for item in items:
            count, months, amount = (np.zeros(n), np.full(n, np.nan), np.zeros(n))
            for row, (subject, day) in enumerate(zip(subjects, as_of, strict=True)):
                counted = [u for u in usable.get((subject, item), ()) if u.span.start <= day < u.span.end]
                if counted:
                    count[row] = len(counted)
                    months[row] = (day - max(u.published for u in counted)).days / _MONTH
                    amount[row] = math.fsum(u.span.amount or 0.0 for u in counted)
            columns |= zip(feature_names(item), (count, months, amount), strict=True)
        return columns

    def _usable(
        self, subjects: Sequence[str], used_on: date, items: Collection[str]
    ) -> dict[tuple[str, str], list[_Usable]]:
        """Subject and item → spans of all their records that are usable on that day."""
        records = [r for r in self._records(subjects=subjects) if r.item in items]
        events = self._events([r.record for r in records])
        found: dict[tuple[str, str], list[_Usable]] = {}
        for r in records:
            own: list[Span] = spans(r.published, r.term_ends, r.amount, events.get(r.record, []))
            if any(s.start <= used_on < s.end for s in own):
                found.setdefault((r.subject, r.item), []).extend(_Usable(r.published, s) for s in own)
        return found

    def _records(
        self, *, numbers: Sequence[str] | None = None, subjects: Sequence[str] | None = None
    ) -> Iterator[Record]:
        query, wanted = (_NUMBERED, numbers) if numbers is not None else (_OF_SUBJECTS, subjects or [])
        with self.engine.connect() as connection:
            for piece in in_pieces(wanted):
                for row in connection.execute(query, {"wanted": piece}).mappings():
                    yield Record.model_construct(**row)

    def _events(self, records: Sequence[str]) -> dict[str, list[Event]]:
        found: dict[str, list[Event]] = {}
        if not records:
            return found
        with self.engine.connect() as connection:
            for piece in in_pieces(records):
                for row in connection.execute(_EVENTS, {"wanted": piece}).mappings():
                    event: Any = Event(row["kind"], row["on"], row["amount"])
                    found.setdefault(row["record"], []).append(event)
        return found
