"""What was answered, shared by all workers of a service: sqlite in its folder, or PostgreSQL; no feature's value.

An answer can be read again by its number, and a call with an ``Idempotency-Key`` is done once: whoever claims the key
does it, all others get the reply. Keys and bodies stand there as digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, Self

from sqlalchemy import (
    Column,
    DateTime,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from lab.errors import ServiceError
from lab.governance.store import open_store

MIGRATIONS: Final = Path(__file__).parent / "migrations"
VERSIONS: Final = "serving_version"
METADATA: Final = MetaData()

#: ``body``: of the answer, as it was told. ``loan``: what was asked for, if the answer decided of it. ``reported``:
#: when its report was first made. Times are UTC without a zone.
ANSWERS: Final = Table(
    "answers",
    METADATA,
    Column("score", String(64), primary_key=True),
    Column("caller", String(128), nullable=False),
    Column("at", DateTime, nullable=False),
    Column("body", Text, nullable=False),
    Column("loan", Text),
    Column("reported", DateTime),
    Index("ix_answers_at", "at"),
)

#: ``call``, ``request``: digests of a key and of what was sent with it. ``reply``: null while it is being made.
CALLS: Final = Table(
    "calls",
    METADATA,
    Column("call", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("claimed", DateTime, nullable=False),
    Column("reply", Text),
    Index("ix_calls_claimed", "claimed"),
)

#: A claim of which nothing came in this time is of a worker that died.
_LEASE: Final = timedelta(seconds=60)


class Kept(NamedTuple):
    """An answer, and who may read it again.

    Attributes:
        loan: what was asked for, as JSON; None: nothing was decided.
    """

    score: str
    caller: str
    body: str
    loan: str | None = None


class Replied(NamedTuple):
    """The reply to a claimed call."""

    call: str
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of a call.

    Attributes:
        ours: nobody had it; whoever claimed does it, then ``keep`` or ``release``.
        same: it was claimed for the same request.
        reply: None if it is still being made.
    """

    ours: bool = False
    same: bool = True
    reply: str | None = None


class AnswerStore:
    """Safe from threads, and from processes that share the database.

    Raises:
        ServiceError: ``store_failed`` from every method, if the database does not do what it should.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()  # a database in memory is one connection

    @classmethod
    def open(cls, address: str = "sqlite://") -> Self:
        """Raises ``GovernanceError`` as ``open_store``. The default lives in memory, for one worker."""
        return cls(open_store(address, MIGRATIONS, flushed=False))

    def close(self) -> None:
        self._engine.dispose()

    def keep(self, answers: Sequence[Kept], replies: Sequence[Replied] = (), now: datetime | None = None) -> None:
        """All or nothing; not flushed to the disk, since the audit log is: a power cut may cost the last moments."""
        at = now or _now()
        with self._lock, _named(), self._engine.begin() as connection:
            if answers:
                connection.execute(insert(ANSWERS), [{**a._asdict(), "at": at} for a in answers])
            for reply in replies:
                connection.execute(update(CALLS).where(CALLS.c.call == reply.call).values(reply=reply.body))

    def find(self, score: str, caller: str) -> Kept | None:
        """An answer; None if there is none of that number for this caller."""
        columns = [ANSWERS.c[name] for name in Kept._fields]
        wanted = select(*columns).where(ANSWERS.c.score == score, ANSWERS.c.caller == caller)
        with self._lock, _named(), self._engine.connect() as connection:
            row = connection.execute(wanted).first()
        return Kept(*row) if row else None

    def reported(self, score: str, now: datetime | None = None) -> datetime:
        """When the report of an answer that is kept was first made, UTC: now, if it never was."""
        unmade = ANSWERS.c.score == score, ANSWERS.c.reported.is_(None)
        with self._lock, _named(), self._engine.begin() as connection:
            connection.execute(update(ANSWERS).where(*unmade).values(reported=now or _now()))
            found: datetime = connection.execute(
                select(ANSWERS.c.reported).where(ANSWERS.c.score == score)
            ).scalar_one()
        return found.replace(tzinfo=UTC)

    def claim(self, call: str, request: str, keep_for: timedelta, now: datetime | None = None) -> Claim:
        """Claim a call, unless it was claimed within ``keep_for``."""
        at = now or _now()
        with self._lock, _named():
            try:
                with self._engine.begin() as connection:
                    dead = and_(CALLS.c.claimed < at - _LEASE, CALLS.c.reply.is_(None))
                    over = or_(CALLS.c.claimed < at - keep_for, dead)
                    connection.execute(delete(CALLS).where(CALLS.c.call == call, over))
                    connection.execute(insert(CALLS).values(call=call, request=request, claimed=at))
                return Claim(ours=True)
            except IntegrityError:
                with self._engine.connect() as connection:
                    row = connection.execute(select(CALLS).where(CALLS.c.call == call)).first()
        if row is None:  # released in between: ask again
            return Claim()
        return Claim(same=row.request == request, reply=row.reply)

    def release(self, call: str) -> None:
        """Give up a claim: the call came to nothing and may be made again."""
        with self._lock, _named(), self._engine.begin() as connection:
            connection.execute(delete(CALLS).where(CALLS.c.call == call, CALLS.c.reply.is_(None)))

    def purge(self, keep_answers: timedelta, keep_calls: timedelta, now: datetime | None = None) -> None:
        """Forget what is older."""
        at = now or _now()
        with self._lock, _named(), self._engine.begin() as connection:
            connection.execute(delete(ANSWERS).where(ANSWERS.c.at < at - keep_answers))
            connection.execute(delete(CALLS).where(CALLS.c.claimed < at - keep_calls))

    def works(self) -> bool:
        """Whether the database answers."""
        try:
            with self._lock, self._engine.connect() as connection:
                connection.execute(select(1))
        except SQLAlchemyError:
            return False
        return True


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@contextmanager
def _named() -> Iterator[None]:
    """A failure of the database in our words: its own text repeats what was written."""
    try:
        yield
    except SQLAlchemyError as error:
        raise ServiceError(
            "store_failed",
            f"The store of answers failed ({type(error).__name__}); nothing was told. Is the database up, is there "
            "room on the disk?",
            f"评分结果数据库出错（{type(error).__name__}），未给出任何结果。请检查数据库是否运行、磁盘是否已满。",
        ) from None
