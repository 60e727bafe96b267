"""A queue of frames bounded in bytes, which can be closed from either end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Condition


class ClosedError(Exception):
    """The mailbox takes, or holds, no more frames."""


class Mailbox:
    """Frames in order, from any number of threads to one.

    ``put`` waits while the box is full, which is the back-pressure; iterating waits while it is empty and ends
    when the box is closed and drained.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._frames: deque[bytes] = deque()
        self._held = 0
        self._closed = False
        self._changed = Condition()

    @property
    def held(self) -> int:
        """Bytes inside."""
        return self._held

    def put(self, frame: bytes, timeout: float | None = None) -> None:
        """Add ``frame`` as soon as there is room.

        Raises:
            ClosedError: the box was closed, before or while waiting.
            TimeoutError: no room within ``timeout`` seconds.
        """
        with self._changed:
            # An empty box takes a frame of any size, else one over the limit would wait for ever.
            if not self._changed.wait_for(
                lambda: self._closed or not self._frames or self._held + len(frame) <= self._limit, timeout
            ):
                raise TimeoutError
            self._append(frame)

    def force(self, frame: bytes) -> None:
        """Add a small control frame at once, full or not; nothing happens when closed."""
        with self._changed:
            if not self._closed:
                self._append(frame)

    def _append(self, frame: bytes) -> None:
        if self._closed:
            raise ClosedError
        self._frames.append(frame)
        self._held += len(frame)
        self._changed.notify_all()

    def close(self, *, discard: bool = False) -> None:
        """Take no more frames; those inside can still be read, unless ``discard``."""
        with self._changed:
            self._closed = True
            if discard:
                self._frames.clear()
                self._held = 0
            self._changed.notify_all()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._closed)
            if not self._frames:
                raise StopIteration
            frame = self._frames.popleft()
            self._held -= len(frame)
            self._changed.notify_all()
            return frame
