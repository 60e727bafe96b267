"""A party's audit log: append-only, chained, signed, safe against crashes and other processes.

Whoever appends holds an exclusive lock on the file, checks the last line before it builds on it, and returns when the
new lines are on the disk. Threads that append at the same time share one write, whose last entry is always signed. See
docs/protocols/audit.md for what this protects against.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Protocol

from federation.ciphers.suites.interface import Suite
from federation.errors import PartyId
from lab.errors import ServiceError
from lab.governance.audit_entry import (
    COVERED,
    KEYED,
    MAX_LINE,
    NOTHING,
    AuditKey,
    Entry,
    Event,
    Pieces,
    is_digested,
    is_signed,
    parse,
    says,
)
from lab.governance.audit_file import (
    LOG,
    damaged,
    last_line,
    lines_aside,
    lines_of,
    lines_up_to,
    locked,
    missing,
    set_aside,
    sync_folder,
    whole_size,
)


class Signer(Protocol):
    """A party's audit key. ``public`` stands in the log, ``key_id`` beside every signature."""

    @property
    def suite(self) -> Suite: ...

    @property
    def key_id(self) -> str: ...

    @property
    def public(self) -> bytes: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Tail:
    """What the next entry follows: size of the file up to it, number, digest, and the key that must sign."""

    size: int
    number: int
    digest: str
    key: str


@dataclass(slots=True)
class _Commit:
    """Events of one caller, waiting to be written with those of others."""

    events: Sequence[Event]
    lines: Sequence[bytes] = ()
    error: Exception | None = None
    done: bool = False


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class AuditLog:
    """Attributes:
    folder: of the log and of lines set aside; the party's own.
    signer: the key in force.
    suites: by name, those the log may hold: the signer's, and earlier ones if it changed.
    clock: aware UTC times.
    """

    folder: Path
    party: PartyId
    signer: Signer
    suites: Mapping[str, Suite]
    clock: Callable[[], datetime] = utc_now
    _tail: _Tail | None = field(default=None, init=False, repr=False)
    _waiting: list[_Commit] = field(default_factory=list, init=False, repr=False)
    _queue: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _writer: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def path(self) -> Path:
        return self.folder / LOG

    def begin(self, operator: str = "") -> Entry:
        """Open a new log; its first entry introduces the audit key.

        Raises:
            ServiceError: ``audit_exists``: there is a log already; it is never replaced.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        sync_folder(self.folder.parent)
        sync_folder(self.folder)
        opening = Event("log_opened", _introduced(self.signer), "", operator)
        with self._writer, locked(self.path, writing=True) as file:
            if os.fstat(file.fileno()).st_size:
                raise ServiceError(
                    "audit_exists",
                    f"{self.path} holds an audit log already; append to it.",
                    f"{self.path} 已有审计日志，请续写。",
                )
            return parse(self._write(file, _Tail(0, 0, NOTHING, self.signer.key_id), [opening])[0])

    def append(self, *events: Event) -> tuple[Entry, ...]:
        """As ``write``; what was written."""
        return tuple(map(parse, self.write(events)))

    def write(self, events: Sequence[Event]) -> Sequence[bytes]:
        """Write the events, in this order, and return their lines once they are on the disk. Safe from threads and
        processes.

        Raises:
            ServiceError: ``audit_missing``, ``audit_damaged`` (the log's end is not as it was written),
            ``audit_key`` (another key is in force) or ``audit_not_written``; then none of the events stands there.
        """
        if any(event.kind in KEYED for event in events):
            raise ValueError("keys are introduced by begin and rotate")
        mine = _Commit(events)
        with self._queue:
            self._waiting.append(mine)
        with self._writer:
            if not mine.done:  # else another thread wrote ours along with its own
                self._commit()
        if mine.error:
            raise mine.error
        return mine.lines

    def rotate(self, signer: Signer, operator: str = "") -> Entry:
        """Change the audit key: an entry under the old key introduces the new one, which signs from then on."""
        references = {**_introduced(signer), "replaced": self.signer.key_id}
        event = Event("audit_key_rotated", references, "", operator)
        with self._writer, locked(self.path, writing=True) as file:
            line = self._extend(file, [event])[-1]
            self.signer = signer
        return parse(line)

    def last(self) -> Entry:
        """The last entry of a finished write. Raises ``ServiceError``."""
        with locked(self.path) as file:
            return self._last(file, whole_size(file))

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Finished entries, oldest first; of these kinds only. Raises ``ServiceError`` (``audit_damaged``)."""
        return self._chosen(lines_of(self.path), kinds)

    def keys(self) -> dict[str, AuditKey]:
        """Every audit key the log introduced: id → key."""
        return keys_of(self.entries(*KEYED))

    def _chosen(self, lines: Iterator[bytes], kinds: Sequence[str]) -> Iterator[Entry]:
        for number, line in enumerate(lines, 1):
            if kinds and not says(line, kinds):
                continue
            try:
                yield parse(line)
            except ValueError:
                raise damaged(self.path, number) from None

    # -- under the writer's lock -----------------------------------------------------------------------------------

    def _commit(self) -> None:
        """Write all that waits with one lock, one check, one flush."""
        with self._queue:
            batch, self._waiting = self._waiting, []
        error: Exception | None = None
        written: Sequence[bytes] = ()
        try:
            with locked(self.path, writing=True) as file:
                written = self._extend(file, [event for commit in batch for event in commit.events])
        except Exception as caught:  # handed to every caller of the batch
            error = caught
        for commit in reversed(batch):
            commit.error, commit.done = error, True
            n = len(commit.events)
            commit.lines, written = written[len(written) - n :], written[: len(written) - n]

    def _extend(self, file: FileIO, events: Sequence[Event]) -> list[bytes]:
        """Events after whatever the log holds; what a crash left is set aside first."""
        size = os.fstat(file.fileno()).st_size
        recovered: list[Event] = []
        if self._tail is None or self._tail.size != size:  # another process wrote, or this one did not yet
            whole = whole_size(file)
            if whole < size:
                set_aside(self.folder, file, whole, self.signer.suite)
            recovered = self._recovered(whole)
            self._tail = self._checked_tail(file, whole)
        return self._write(file, self._tail, [*recovered, *events])

    def _write(self, file: FileIO, tail: _Tail, events: Sequence[Event]) -> list[bytes]:
        if tail.key != self.signer.key_id:
            raise ServiceError(
                "audit_key",
                f"The audit log of {self.party} is signed with another key now; start again with that key.",
                f"{self.party} 的审计日志已改用其他密钥签名，请使用该密钥重新启动。",
            )
        if not events:
            return []
        lines: list[bytes] = []
        digest = tail.digest
        for k, event in enumerate(events, 1):
            signed = k == len(events) or event.kind not in COVERED
            line, digest = self._sealed(event, tail.number + k, digest, signed=signed)
            lines.append(line)
        last = _readable(lines[-1])  # all are made alike
        written = b"\n".join((*lines, b""))
        self._tail = None  # until the disk has it
        try:
            done = 0
            while done < len(written):
                done += os.pwrite(file.fileno(), written[done:], tail.size + done)
            os.fsync(file.fileno())
        except OSError as error:
            os.ftruncate(file.fileno(), tail.size)
            raise ServiceError(
                "audit_not_written",
                f"The audit log of {self.party} could not be written ({error.strerror}); nothing was recorded, so "
                "nothing may be done.",
                f"{self.party} 的审计日志无法写入（{error.strerror}）；未留记录，操作不得继续。",
            ) from error
        self._tail = _Tail(tail.size + len(written), last.number, last.digest, _key_after(last))
        return lines

    def _sealed(self, event: Event, number: int, previous: str, *, signed: bool) -> tuple[bytes, str]:
        """The line of an event, and its digest."""
        bare = Entry(
            party=self.party,
            number=number,
            time=f"{self.clock().astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
            kind=event.kind,
            actor=event.actor or self.party,
            operator=event.operator,
            references=event.references,
            previous=previous,
            suite=self.signer.suite.name,
            key=self.signer.key_id,
        )
        pieces = Pieces.of(bare.line())
        signature = self.signer.sign(pieces.signed()).hex() if signed else ""
        digest = self.signer.suite.digest(pieces.digested(signature)).hex()
        line = pieces.line(digest, signature)
        if len(line) > MAX_LINE:
            raise _unfit(line)
        return line, digest

    def _checked_tail(self, file: FileIO, whole: int) -> _Tail:
        """The last line, checked before anything is built on it."""
        last = self._last(file, whole)
        key: AuditKey | None = AuditKey(self.signer.suite.name, self.signer.public)
        if last.key != self.signer.key_id:
            key = keys_of(self._chosen(lines_up_to(self.path, whole), KEYED)).get(last.key)
        if not is_signed(self.suites, key, last.signed_bytes(), bytes.fromhex(last.signature)):
            raise damaged(self.path, last.number)
        return _Tail(whole, last.number, last.digest, _key_after(last))

    def _last(self, file: FileIO, whole: int) -> Entry:
        if not whole:
            raise missing(self.path)
        try:
            entry = parse(last_line(file, whole)[1])
        except ValueError:
            raise damaged(self.path, None) from None
        if not is_digested(self.suites, entry) or entry.party != self.party:
            raise damaged(self.path, entry.number)
        return entry

    def _recovered(self, whole: int) -> list[Event]:
        """An event for each line that was set aside and has no entry yet: a crash may have come in between."""
        aside = lines_aside(self.folder)
        if not aside:
            return []
        entries = self._chosen(lines_up_to(self.path, whole), ["tail_recovered"])
        recorded = {(e.references["offset"], e.references["torn"]) for e in entries}
        return [
            Event("tail_recovered", {"torn": torn, "offset": offset, "n_bytes": n_bytes})
            for (offset, torn), n_bytes in aside.items()
            if (offset, torn) not in recorded
        ]


def _readable(line: bytes) -> Entry:
    """What a line says that is about to be written."""
    try:
        return parse(line)
    except ValueError:
        raise _unfit(line) from None


def _unfit(line: bytes) -> ServiceError:
    return ServiceError(
        "audit_entry",
        f"An entry of {len(line):,} bytes cannot stand in an audit log (limit {MAX_LINE:,}).",
        f"条目大小 {len(line):,} 字节，无法写入审计日志（上限 {MAX_LINE:,}）。",
    )


def keys_of(introducing: Iterable[Entry]) -> dict[str, AuditKey]:
    """Id → key of every entry that introduces one."""
    return {
        e.references["key"]: AuditKey(e.references["suite"], bytes.fromhex(e.references["public"])) for e in introducing
    }


def _introduced(signer: Signer) -> dict[str, str]:
    return {"key": signer.key_id, "suite": signer.suite.name, "public": signer.public.hex()}


def _key_after(entry: Entry) -> str:
    """Id of the key that must sign the next entry."""
    return str(entry.references["key"]) if entry.kind in KEYED else entry.key
