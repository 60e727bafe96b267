"""The file of an audit log: one line per entry, locked while it is written, no line lost without a trace.

``FOLDER/log.jsonl`` holds the lines. A last line without its end, and whole lines that no signature covers yet, are
what a crash leaves of a write: they are moved to ``FOLDER/torn-OFFSET-DIGEST``, never thrown away.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Final

from federation.ciphers.suites.interface import Suite
from lab.errors import ServiceError
from lab.governance.audit_entry import is_covered

log = logging.getLogger("lianmo.audit")

LOG: Final = "log.jsonl"
_FIRST_READ: Final = 4096  # of a file's end: room for the last lines, as a rule


def lines_of(path: Path) -> Iterator[bytes]:
    """Finished lines as they stand now, without their ends; what is appended meanwhile is left out. Not checked.

    Raises:
        ServiceError: ``audit_missing``.
    """
    with locked(path) as file:
        whole = whole_size(file)
    return lines_up_to(path, whole)


def lines_up_to(path: Path, whole: int) -> Iterator[bytes]:
    """The same for whoever holds the lock, and knows where the last finished line ends."""
    with path.open("rb") as file:
        while file.tell() < whole:
            yield file.readline()[:-1]


def torn_bytes(path: Path) -> int:
    """How many bytes follow the last finished line."""
    with locked(path) as file:
        return os.fstat(file.fileno()).st_size - whole_size(file)


@contextmanager
def locked(path: Path, *, writing: bool = False) -> Iterator[FileIO]:
    """The file, shared with readers or alone: an own open file each time, so that threads exclude each other too."""
    try:
        file = FileIO(path, "r+" if writing else "r")  # unbuffered: what failed to be written is not tried again
    except FileNotFoundError:
        raise missing(path) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX if writing else fcntl.LOCK_SH)
        yield file


def whole_size(file: FileIO) -> int:
    """Size up to the end of the last finished line: a whole one that has a signature. What follows nobody was told."""
    end = file.seek(0, os.SEEK_END)
    while True:
        end, line = last_line(file, end)
        if not is_covered(line):
            return end
        end -= 1  # before the newline, so that the line before is next


def last_line(file: FileIO, end: int) -> tuple[int, bytes]:
    """Where the last whole line up to ``end`` ends, and the line without its newline; ``(0, b"")`` if there is none."""
    n = _FIRST_READ
    while True:
        start = max(0, end - n)
        file.seek(start)
        read = file.read(end - start)
        newline = read.rfind(b"\n")
        before = read.rfind(b"\n", 0, max(newline, 0))
        if newline >= 0 and (before >= 0 or not start):
            return start + newline + 1, read[before + 1 : newline]
        if not start:
            return 0, b""
        n *= 2


def set_aside(folder: Path, file: FileIO, whole: int, suite: Suite) -> None:
    """Move what follows the last finished line to a file of its own; on the disk there before it is gone here."""
    file.seek(whole)
    torn = file.read()
    path = folder / f"torn-{whole}-{suite.digest(torn).hex()}"
    with path.open("wb") as aside:
        aside.write(torn)
        aside.flush()
        os.fsync(aside.fileno())
    sync_folder(folder)
    os.ftruncate(file.fileno(), whole)
    log.warning("%d bytes of a write that was never finished were moved to %s", len(torn), path.name)


def lines_aside(folder: Path) -> dict[tuple[int, str], int]:
    """Offset and digest of each line that was set aside → its bytes."""
    aside = {}
    for path in sorted(folder.glob("torn-*")):
        _, offset, torn = path.name.split("-")
        aside[int(offset), torn] = path.stat().st_size
    return aside


def sync_folder(folder: Path) -> None:
    """A new file survives a power cut only once its folder is on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def missing(path: Path) -> ServiceError:
    return ServiceError(
        "audit_missing",
        f"There is no audit log at {path}. If there was one, restore it from a copy; a first log is opened once, with "
        "`lianmo audit begin`.",
        f"{path} 没有审计日志。若曾有日志，请从备份恢复；首个日志只开立一次（lianmo audit begin）。",
    )


def damaged(path: Path, number: int | None) -> ServiceError:
    where = ("its end", "末尾") if number is None else (f"entry {number:,}", f"第 {number:,} 条")
    return ServiceError(
        "audit_damaged",
        f"{path} was changed after it was written ({where[0]}); nothing is added to it. Run `lianmo audit verify`.",
        f"{path} 在写入后被改动（{where[1]}），不再续写。请运行 lianmo audit verify。",
    )
