"""Random numbers that do not depend on the data, made ahead by processes that only use what others leave idle.

While the guest waits for hosts, its cores make the obfuscators of the next gradients. Nobody ever waits for the
reserve: what is not ready when it is needed is made in the ordinary way.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult, Pool
from typing import Final

#: Numbers made at a time: some 20 ms of work, so that what is wanted soon is ready soon.
_CHUNK: Final = 256
#: Most numbers kept: 32 MiB at 2,048 bits.
_MOST: Final = 65_536


class Reserve:
    """A stock of byte strings, each handed out once.

    Args:
        make: picklable; ``make(count)`` → ``count`` fresh strings of ``size`` bytes each, end to end.
        n_processes: processes of lowest priority that work on it; they start with the first ``fill``.
    """

    def __init__(self, make: Callable[[int], bytes], size: int, n_processes: int) -> None:
        self._make, self._size, self._n_processes = make, size, n_processes
        self._pool: Pool | None = None
        self._coming: deque[AsyncResult[bytes]] = deque()
        self._ready: deque[bytes] = deque()

    def fill(self, count: int) -> None:
        """Have about ``count`` numbers made or on their way, at most 65,536; 0: stop and forget all."""
        if count == 0:
            self._stop()
            return
        if self._pool is None:
            self._pool = get_context("spawn").Pool(self._n_processes, initializer=os.nice, initargs=(19,))
            weakref.finalize(self, self._pool.terminate)
        missing = min(count, _MOST) - len(self._ready) - len(self._coming) * _CHUNK
        for _ in range(-(-missing // _CHUNK)):
            self._coming.append(self._pool.apply_async(self._make, (_CHUNK,)))

    def take(self, count: int) -> list[bytes]:
        """At most ``count`` numbers that are ready now."""
        while self._coming and self._coming[0].ready() and len(self._ready) < count:
            made = self._coming.popleft().get()
            self._ready.extend(made[i : i + self._size] for i in range(0, len(made), self._size))
        return [self._ready.popleft() for _ in range(min(count, len(self._ready)))]

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            self._pool = None
        self._coming.clear()
        self._ready.clear()
