"""How often a caller may ask; all workers on a machine count together.

The generic cell rate algorithm (ITU-T I.371, Annex A, virtual scheduling), a token bucket that is one number: the time
at which the bucket will be full again. That number lies in eight bytes of a file that the workers share.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

log = logging.getLogger("lianmo.serving")

_NUMBER: Final = struct.Struct("d")
#: Asked for in one call at most, as rows of a batch; a bucket further behind than this was left by another clock.
MOST_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Attributes:
    per_second: calls or rows in the long run, above 0.
    burst: so many at once after a rest, at least 1.
    """

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter says.

    Attributes:
        wait: seconds until the next would be let through; 0: this one was.
        left: so many could follow at once.
        full_in: seconds until the whole burst is there again.
    """

    wait: float
    left: int
    full_in: float


class Meter:
    """One caller's bucket.

    Args:
        file: eight bytes, made if absent; every process that opens it counts with the others. Where it cannot be had,
            this process counts alone and says so in the log: a full disk must not shut the service.
        clock: seconds that all processes read alike.
    """

    def __init__(self, file: Path, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._each, self._clock = 1 / rate.per_second, clock
        self._tolerance = (rate.burst - 1) * self._each
        self._within = threading.Lock()
        self._file: IO[bytes] | None = None
        try:
            self._file = os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b", buffering=0)
            self._file.truncate(_NUMBER.size)
            self._memory = mmap.mmap(self._file.fileno(), _NUMBER.size)
        except OSError as error:
            log.error("limits are counted by this process alone: %s", os.strerror(error.errno or 0))
            self._memory = mmap.mmap(-1, _NUMBER.size)

    def take(self, n: int = 1) -> Reading:
        """Let ``n`` through if there is room for one; what they take beyond the burst is waited for afterwards."""
        with self._alone():
            (full_at,) = _NUMBER.unpack_from(self._memory)
            now = self._clock()
            owed = full_at - now
            if not 0 < owed <= self._tolerance + MOST_AT_ONCE * self._each:  # at rest, or of another clock
                owed = 0.0
            wait = owed - self._tolerance
            if wait > 1e-9:
                return Reading(wait, 0, owed)
            owed += min(n, MOST_AT_ONCE) * self._each
            _NUMBER.pack_into(self._memory, 0, now + owed)
        left = max(0, int((self._tolerance - owed) / self._each + 1 + 1e-9))
        return Reading(0.0, left, owed)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """A lock between threads and, as POSIX has it, between processes; held for some microseconds."""
        with self._within:
            if self._file is None:
                yield
                return
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
