"""Who sits in a session at the relay: one seat per party, taken once, with an inbox and what the party may send."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Final, NamedTuple

from federation.errors import PartyId
from federation.transports.frames import (
    BODY_EXTRA_BYTES,
    CHUNK_BYTES,
    FRAME_BYTES,
    JOINED,
    LAST,
    LEFT,
    PART,
    pack,
    unpack,
)
from federation.transports.limits import Allowance, Limits
from federation.transports.mailbox import ClosedError, Mailbox

#: Frames waiting at the relay for one party; beyond it the senders wait.
INBOX_BYTES: Final = 32 * 1024 * 1024


class Traffic(NamedTuple):
    """What one party has sent so far: counts, never content."""

    frames: int
    bytes: int


class TooLargeError(Exception):
    """A message over the limit."""


@dataclass(slots=True)
class Seat:
    """One party's place in a session; it can be taken once, so a ticket cannot be used again.

    Attributes:
        fault: code of ``refusals`` for a party that is cut off.
        gone: set when the party has left, also by being cut off.
        unfinished: bytes of the unfinished message on the way to each receiver.
    """

    ticket: str = field(repr=False)
    limits: Limits
    inbox: Mailbox = field(default_factory=lambda: Mailbox(INBOX_BYTES))
    joined: bool = False
    left: bool = False
    fault: str = ""
    sent_frames: int = 0
    sent_bytes: int = 0
    gone: Event = field(default_factory=Event)
    unfinished: dict[PartyId, int] = field(default_factory=dict)
    bytes_allowed: Allowance = field(init=False)
    frames_allowed: Allowance = field(init=False)

    def __post_init__(self) -> None:
        self.bytes_allowed = Allowance(self.limits.bytes_per_second)
        self.frames_allowed = Allowance(self.limits.frames_per_second)

    def over_rate(self, n_bytes: int) -> float:
        """Seconds to wait before the next frame is taken from this party."""
        return max(self.bytes_allowed.take(n_bytes), self.frames_allowed.take(1))


class Seating:
    """The seats of one session.

    Args:
        tickets: party → its secret ticket.
        max_message_bytes: most bytes of one message, without what frames add.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        tickets: Mapping[PartyId, str],
        limits: Limits,
        max_message_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seats = {party: Seat(ticket, limits) for party, ticket in tickets.items()}
        self._most = max_message_bytes + BODY_EXTRA_BYTES * (max_message_bytes // CHUNK_BYTES + 1)
        self._clock = clock
        self._lock = Lock()
        self._last = clock()

    def join(self, party: PartyId) -> bool:
        """Take the seat and tell everybody; False when it was taken before."""
        with self._lock:
            seat = self.seats[party]
            if seat.joined:
                return False
            seat.joined = True
            self._last = self._clock()
            for name, other in self.seats.items():
                other.inbox.force(pack(JOINED, party))
                if name != party and other.joined:
                    seat.inbox.force(pack(JOINED, name))
                if other.left:
                    seat.inbox.force(pack(LEFT, name))
            return True

    def leave(self, party: PartyId, first: Callable[[], None]) -> None:
        """Give the seat up and tell everybody; the end that notices first calls ``first`` before anybody is told."""
        with self._lock:
            seat = self.seats[party]
            if seat.left:
                return
            seat.left = True
            seat.gone.set()
            seat.inbox.close()
            first()
            for name, other in self.seats.items():
                if name != party:
                    other.inbox.force(pack(LEFT, party))

    def close(self, code: str) -> None:
        """Cut everybody off."""
        for seat in self.seats.values():
            seat.fault = seat.fault or code
            seat.inbox.close(discard=True)

    def accept(self, party: PartyId, frame: bytes) -> tuple[int, PartyId, bytes]:
        """Kind, receiver and body of a frame of ``party``, counted.

        Raises:
            ValueError, TooLargeError: for a frame no honest party sends.
        """
        if len(frame) > FRAME_BYTES:
            raise TooLargeError
        kind, receiver, body = unpack(frame)
        if kind not in (PART, LAST) or receiver not in self.seats or receiver == party:
            raise ValueError("not a frame a party may send")
        seat = self.seats[party]
        size = seat.unfinished.pop(receiver, 0) + len(body)
        if size > self._most:
            raise TooLargeError
        if kind == PART:
            seat.unfinished[receiver] = size
        seat.sent_frames += 1
        seat.sent_bytes += len(body)
        self._last = self._clock()
        return kind, receiver, body

    def deliver(self, sender: PartyId, kind: int, receiver: PartyId, body: bytes) -> None:
        """Put a frame into the receiver's inbox, waiting while that is full."""
        with suppress(ClosedError):  # The receiver has left; the sender has been told.
            self.seats[receiver].inbox.put(pack(kind, sender, body))

    def idle_seconds(self) -> float:
        """For how long nobody has joined and nothing has passed."""
        return self._clock() - self._last

    def traffic(self) -> dict[PartyId, Traffic]:
        """What each party has sent so far."""
        return {party: Traffic(seat.sent_frames, seat.sent_bytes) for party, seat in self.seats.items()}

    @property
    def n_present(self) -> int:
        return sum(seat.joined and not seat.left for seat in self.seats.values())

    @property
    def queued_bytes(self) -> int:
        return sum(seat.inbox.held for seat in self.seats.values())
