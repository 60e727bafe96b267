"""Group commit: calls of an event loop that are to be written wait for one write they share, in a thread of its own.

What a turn of the loop brings is handed over together, and while one write is under way the next gathers. There is no
timer: one call alone waits for itself only, a thousand share a flush of the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Final, Generic, TypeVar

T = TypeVar("T")

#: Most turns of the loop in one write.
_MOST: Final = 512


class _Turn(Generic[T]):
    """What came in one turn of a loop; all of it is done at once. Each call waits for a future of its own, so that one
    that is given up does not end the others."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.items: list[T] = []
        self.waiting: list[asyncio.Future[None]] = []

    def add(self, item: T) -> asyncio.Future[None]:
        self.items.append(item)
        self.waiting.append(self.loop.create_future())
        return self.waiting[-1]


class GroupCommit(Generic[T]):
    """Of one event loop at a time.

    Args:
        write: writes all items or raises; then every waiting call gets the error.
    """

    def __init__(self, write: Callable[[Sequence[T]], None]) -> None:
        self._write = write
        self._queue: SimpleQueue[_Turn[T] | None] = SimpleQueue()
        self._turn: _Turn[T] | None = None
        self._starting = Lock()
        self._thread: Thread | None = None

    async def commit(self, item: T) -> None:
        """Returns once the item is written. Raises what ``write`` raised."""
        loop, turn = asyncio.get_running_loop(), self._turn
        if turn is None or turn.loop is not loop:
            turn = self._turn = _Turn(loop)
            loop.call_soon(self._hand_over, turn)
        await turn.add(item)

    def close(self) -> None:
        """Write what waits and end the thread; the next commit begins another."""
        with self._starting:
            thread, self._thread = self._thread, None
        if thread:
            self._queue.put(None)
            thread.join()

    def _hand_over(self, turn: _Turn[T]) -> None:
        if self._turn is turn:
            self._turn = None
        self._queue.put(turn)
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="lianmo-commits", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            turns, last = self._gathered()
            if turns:
                self._commit(turns)
            if last:
                return

    def _gathered(self) -> tuple[list[_Turn[T]], bool]:
        """What waits, at least one turn; and whether nothing comes after."""
        first = self._queue.get()
        if first is None:
            return [], True
        turns = [first]
        while len(turns) < _MOST:
            try:
                turn = self._queue.get_nowait()
            except Empty:
                break
            if turn is None:
                return turns, True
            turns.append(turn)
        return turns, False

    def _commit(self, turns: Sequence[_Turn[T]]) -> None:
        error: Exception | None = None
        try:
            self._write([item for turn in turns for item in turn.items])
        except Exception as caught:  # handed to every call of the batch
            error = caught
        for loop in {turn.loop for turn in turns}:
            if not loop.is_closed():
                waiting = [done for turn in turns if turn.loop is loop for done in turn.waiting]
                loop.call_soon_threadsafe(_settle, waiting, error)


def _settle(waiting: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for done in waiting:
        if done.done():  # given up
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
