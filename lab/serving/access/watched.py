"""A file that others write: read again whenever it was replaced, so that all workers see a change at the next call."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from models.errors import LianmoError

log = logging.getLogger("lianmo.serving")

T = TypeVar("T")


class Watched(Generic[T]):
    """What is in a file now. One that cannot be read changes nothing and is an error in the log, once.

    Args:
        read: file → content. Raises ``LianmoError``, which is passed on the first time only.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path, self._read = path, read
        self._stamp = self._look()
        self._content = read(path)

    def content(self) -> T:
        """The file's, or what it last was. Costs one ``stat``, some two microseconds, when nothing changed."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._content = self._read(self._path)
                log.info("read again: %s", self._path.name)
            except LianmoError as error:
                log.error("%s: %s What it was before stays in force.", error.code, error)
        return self._content

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
