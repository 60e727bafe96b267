"""The blind relay on the hub: parties dial out to it, and it carries frames between the parties of a session.

It knows who may join a session (name and ticket), stamps the authenticated sender on every frame, and
never reads a payload. It tells the parties of a session when one joins or leaves, so that nobody waits for the dead.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, NamedTuple

import grpc

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, TransportError
from federation.transports.frames import (
    CHANNEL_OPTIONS,
    JOIN,
    JOINED,
    LAST,
    LEFT,
    PART,
    PARTY_KEY,
    SERVICE,
    SESSION_KEY,
    TICKET_KEY,
    Tls,
    pack,
    unpack,
)
from federation.transports.mailbox import ClosedError, Mailbox
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="comparison in constant time",
        purpose="tickets of parties",
        purpose_zh="参与方入场票据的比对",
        standard="none",
        library="hmac",
    ),
)

#: Called with (sender, receiver, body) of each frame that passes; for tests that sniff the wire.
Tap = Callable[[PartyId, PartyId, bytes], None]

#: Frames waiting at the relay for one party; beyond it the senders wait.
INBOX_BYTES: Final = 32 * 1024 * 1024


class Traffic(NamedTuple):
    """What one party has sent so far: counts, never content."""

    frames: int
    bytes: int


class _TooLargeError(Exception):
    """A message over the limit."""


@dataclass(slots=True)
class _Seat:
    """One party's place in a session; it can be taken once, so a ticket cannot be used again."""

    ticket: str = field(repr=False)
    inbox: Mailbox
    joined: bool = False
    left: bool = False
    #: gRPC status and text for a party that is cut off.
    fault: tuple[Any, str] | None = None
    sent_frames: int = 0
    sent_bytes: int = 0
    #: Bytes of the unfinished message on the way to each receiver.
    unfinished: dict[PartyId, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Session:
    seats: dict[PartyId, _Seat]
    lock: Lock = field(default_factory=Lock)

    def join(self, party: PartyId) -> bool:
        """Take the seat and tell everybody; False when it was taken before."""
        with self.lock:
            seat = self.seats[party]
            if seat.joined:
                return False
            seat.joined = True
            for name, other in self.seats.items():
                other.inbox.force(pack(JOINED, party))
                if name != party and other.joined:
                    seat.inbox.force(pack(JOINED, name))
                if other.left:
                    seat.inbox.force(pack(LEFT, name))
            return True

    def leave(self, party: PartyId) -> None:
        """Give the seat up and tell everybody; called from whichever end notices first."""
        with self.lock:
            seat = self.seats[party]
            if seat.left:
                return
            seat.left = True
            seat.inbox.close()
            for name, other in self.seats.items():
                if name != party:
                    other.inbox.force(pack(LEFT, party))


class Relay:
    """A blind forwarder. Sessions are opened by the process it runs in, never over the wire.

    Args:
        max_message_bytes: most bytes one message may have; the sender of a larger one is cut off.
        max_parties: most parties joined at the same time, over all sessions.
        tap: sees every payload frame that passes.
    """

    def __init__(
        self, *, max_message_bytes: int = MAX_MESSAGE_BYTES, max_parties: int = 64, tap: Tap | None = None
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_parties = max_parties
        self._tap = tap
        self._sessions: dict[str, _Session] = {}
        self._certified = False
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None

    def serve(self, address: str, tls: Tls | None = None) -> int:
        """Listen on ``address`` ("127.0.0.1:0" lets the system choose) and return the port.

        With ``tls`` every party must show a certificate of the authority whose common name is its name.

        Raises:
            TransportError: the address cannot be listened on.
        """
        self._certified = tls is not None
        # Each party holds two threads: one writes to it, one reads from it.
        self._pool = ThreadPoolExecutor(2 * self._max_parties, thread_name_prefix="relay")
        self._server = grpc.server(self._pool, options=CHANNEL_OPTIONS, maximum_concurrent_rpcs=self._max_parties)
        handler = grpc.stream_stream_rpc_method_handler(self._join)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {JOIN: handler}),))
        try:
            if tls:
                port = self._server.add_secure_port(address, tls.for_server())
            else:
                port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            self.stop()
            raise TransportError(
                "relay",
                "address_taken",
                f"it cannot listen on {address}. Is another process using it? Choose another port.",
                f"无法监听 {address}。是否已被其他进程占用？请更换端口。",
            ) from error
        self._server.start()
        return int(port)

    def open_session(self, session: str, tickets: Mapping[PartyId, str]) -> None:
        """Let the named parties, and nobody else, join ``session``, each with its secret ticket, once."""
        if session in self._sessions or not all(tickets.values()):
            raise LocalProtocolError(
                "bad_session",
                "The relay session is already open, or a party has no ticket.",
                "该中继会话已存在，或有参与方没有票据。",
            )
        seats = {party: _Seat(ticket, Mailbox(INBOX_BYTES)) for party, ticket in tickets.items()}
        self._sessions[session] = _Session(seats)

    def close_session(self, session: str) -> None:
        """End ``session``: its parties are cut off, its tickets are worth nothing. Unknown ones are no error."""
        if found := self._sessions.pop(session, None):
            for seat in found.seats.values():
                seat.inbox.close(discard=True)

    def traffic(self, session: str) -> dict[PartyId, Traffic]:
        """What each party of an open session has sent so far. Raises KeyError when it is not open."""
        seats = self._sessions[session].seats
        return {party: Traffic(seat.sent_frames, seat.sent_bytes) for party, seat in seats.items()}

    def stop(self) -> None:
        """Close every session, stop listening and wait until no thread is left."""
        for session in list(self._sessions):
            self.close_session(session)
        if self._server:
            self._server.stop(grace=1.0).wait()
        if self._pool:
            self._pool.shutdown()

    def _join(self, incoming: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One party's connection: a second thread reads what it sends, this one writes what is sent to it."""
        session, party = self._admit(context)
        assert self._pool
        seat = session.seats[party]
        # Runs whenever the connection ends, even while the reader waits for room in another's inbox.
        if context.add_callback(lambda: session.leave(party)):
            self._pool.submit(self._read, session, party, incoming)
        else:
            session.leave(party)
        yield from seat.inbox
        if seat.fault:
            context.abort(*seat.fault)
        if not seat.left:
            context.abort(grpc.StatusCode.CANCELLED, "the session was closed")

    def _admit(self, context: Any) -> tuple[_Session, PartyId]:
        metadata = dict(context.invocation_metadata())
        session_id, party, ticket = (
            bytes(metadata.get(key, b"")).decode(errors="replace") for key in (SESSION_KEY, PARTY_KEY, TICKET_KEY)
        )
        session = self._sessions.get(session_id)
        if session is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such session")
        assert session  # abort raises
        if party not in session.seats or (self._certified and _certificate_name(context) != party):
            context.abort(grpc.StatusCode.PERMISSION_DENIED, "not a party of this session")
        if not hmac.compare_digest(session.seats[party].ticket.encode(), ticket.encode()):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "wrong ticket")
        if not session.join(party):
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "the party has joined before")
        return session, party

    def _read(self, session: _Session, party: PartyId, incoming: Iterator[bytes]) -> None:
        seat = session.seats[party]
        try:
            for frame in incoming:
                self._forward(session, party, frame)
        except _TooLargeError:
            seat.fault = (grpc.StatusCode.RESOURCE_EXHAUSTED, "the message is too large")
        except ValueError:
            seat.fault = (grpc.StatusCode.INVALID_ARGUMENT, "not a frame this party may send")
        except Exception:  # noqa: S110
            pass  # gRPC raises a bare Exception when the connection broke: the party has left.
        finally:
            session.leave(party)

    def _forward(self, session: _Session, party: PartyId, frame: bytes) -> None:
        """Pass one frame on. Raises ValueError or _TooLargeError for a frame no honest party sends."""
        kind, receiver, body = unpack(frame)
        target = session.seats.get(receiver)
        if kind not in (PART, LAST) or target is None or receiver == party:
            raise ValueError("not a frame a party may send")
        seat = session.seats[party]
        size = seat.unfinished.pop(receiver, 0) + len(body)
        if size > self._max_message_bytes:
            raise _TooLargeError
        if kind == PART:
            seat.unfinished[receiver] = size
        seat.sent_frames += 1
        seat.sent_bytes += len(body)
        if self._tap:
            self._tap(party, receiver, body)
        with suppress(ClosedError):  # The receiver has left; the sender has been told.
            target.inbox.put(pack(kind, party, body))


def _certificate_name(context: Any) -> str:
    names = context.auth_context().get("x509_common_name") or [b""]
    return bytes(names[0]).decode(errors="replace")
