"""Group commit: calls of an event loop that are to be written wait for one write they share, in a thread of its own.

While one write is under way the next gathers, so there is no timer: one call alone waits for itself only, a thousand
share a flush of the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Most items of one write.
_MOST: Final = 512


class GroupCommit(Generic[T]):
    """Args:
    write: writes all items or raises; then every waiting call gets the error.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._queue: SimpleQueue[tuple[T, asyncio.Future[None]] | None] = SimpleQueue()
        self._starting = Lock()
        self._thread: Thread | None = None

    async def commit(self, item: T) -> None:
        """Returns once the item is written. Raises what ``write`` raised."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((item, done))
        if self._thread is None:
            self._start()
        await done

    def close(self) -> None:
        """Write what waits and end the thread; the next commit begins another."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread:
            self._queue.put(None)
            thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="lianmo-commits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            batch, last = self._gathered()
            if batch:
                self._commit(batch)
            if last:
                return

    def _gathered(self) -> tuple[list[tuple[T, asyncio.Future[None]]], bool]:
        """What waits, at least one; and whether nothing comes after."""
        first = self._queue.get()
        if first is None:
            return [], True
        batch = [first]
        while len(batch) < _MOST:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _commit(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        error: Exception | None = None
        try:
            self._write([item for item, _ in batch])
        except Exception as caught:  # handed to every call of the batch
            error = caught
        for loop in {done.get_loop() for _, done in batch}:
            waiting = [done for _, done in batch if done.get_loop() is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, waiting, error)


def _settle(waiting: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for done in waiting:
        if done.done():  # whoever waited has gone
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
