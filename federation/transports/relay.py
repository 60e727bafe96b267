"""The blind relay on the hub: parties dial out to it, and it carries frames between the parties of a session.

It knows who may join a session (name and ticket), stamps the authenticated sender on every frame, and never reads a
payload; parties with seals (``sealing``) need not take its word for that. It tells the parties of a session when one
joins or leaves, so that nobody waits for the dead. Its log holds names and codes.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock, Thread
from typing import Any, Final, NoReturn

import grpc

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, TransportError
from federation.transports.frames import (
    CHANNEL_OPTIONS,
    JOIN,
    PARTY_KEY,
    SERVICE,
    SESSION_KEY,
    TICKET_KEY,
    Tls,
)
from federation.transports.limits import Limits
from federation.transports.metrics import RelayMetrics
from federation.transports.refusals import answer_to
from federation.transports.seats import Seating, TooLargeError, Traffic
from models.declared import Declared

log = logging.getLogger("lianmo.relay")

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

#: Longest piece of a name from outside that is written to the log.
_SHOWN: Final = 64
#: A connection that breaks can look for a moment as if its party had ended it in good order.
_AFTERMATH_SECONDS: Final = 0.05


class Relay:
    """A blind forwarder. Sessions are opened by the process it runs in, never over the wire.

    Args:
        max_message_bytes: most bytes one message may have; the sender of a larger one is cut off.
        max_parties: most parties joined at the same time, over all sessions.
        tap: sees every payload frame that passes.
        limits: rates, sessions and deadlines.
        in_force: whether a party's certificate (PEM) still counts; one that was replaced does not.

    Attributes:
        metrics: what it counts, to be exposed (``RelayMetrics.app``).
    """

    def __init__(
        self,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_parties: int = 64,
        tap: Tap | None = None,
        limits: Limits | None = None,
        in_force: Callable[[PartyId, bytes], bool] = lambda *_: True,
    ) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_parties = max_parties
        self._tap = tap
        self._limits = limits or Limits()
        self._in_force = in_force
        self._sessions: dict[str, Seating] = {}
        self._opening = Lock()
        self._certified = False
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._stopped = Event()
        self._watchman: Thread | None = None
        self.metrics = RelayMetrics()
        self.metrics.watch(
            lambda: len(self._sessions),
            lambda: sum(session.n_present for session in list(self._sessions.values())),
            lambda: sum(session.queued_bytes for session in list(self._sessions.values())),
        )

    def serve(self, address: str, tls: Tls | None = None) -> int:
        """Listen on ``address`` ("127.0.0.1:0" lets the system choose) and return the port.

        With ``tls`` every party must show a certificate of the authority whose common name is its name.

        Raises:
            TransportError: the address cannot be listened on.
        """
        self._certified = tls is not None
        # Each party holds two threads: one writes to it, one reads from it.
        self._pool = ThreadPoolExecutor(2 * self._max_parties, thread_name_prefix="relay")
        patience = int(self._limits.join_seconds * 1000)
        options = (
            *CHANNEL_OPTIONS,
            ("grpc.server_handshake_timeout_ms", patience),  # TCP, TLS and HTTP/2's first words
            ("grpc.max_connection_idle_ms", patience),  # then no call
        )
        self._server = grpc.server(self._pool, options=options, maximum_concurrent_rpcs=self._max_parties)
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
        self._watchman = Thread(target=self._watch, name="relay-watch", daemon=True)
        self._watchman.start()
        return int(port)

    def open_session(self, session: str, tickets: Mapping[PartyId, str]) -> None:
        """Let the named parties, and nobody else, join ``session``, each with its secret ticket, once.

        Raises:
            LocalProtocolError: "bad_session": open already, or a party without ticket; "too_many_sessions".
        """
        if not all(tickets.values()):
            raise _bad_session()
        seating = Seating(tickets, self._limits, self._max_message_bytes)
        with self._opening:
            if session in self._sessions:
                raise _bad_session()
            if len(self._sessions) >= self._limits.most_sessions:
                raise LocalProtocolError(
                    "too_many_sessions",
                    f"The relay has {self._limits.most_sessions} sessions open already. Wait for one to end, or raise "
                    "its limit.",
                    f"中继已有 {self._limits.most_sessions} 个会话。请等待其一结束，或提高上限。",
                )
            self._sessions[session] = seating

    def close_session(self, session: str) -> None:
        """End ``session``: its parties are cut off, its tickets are worth nothing. Unknown ones are no error."""
        self._end(session, "session_closed")

    def traffic(self, session: str) -> dict[PartyId, Traffic]:
        """What each party of an open session has sent so far. Raises KeyError when it is not open."""
        return self._sessions[session].traffic()

    def is_whole(self, session: str) -> bool:
        """Whether all parties of the session are in it."""
        found = self._sessions.get(session)
        return found is not None and found.n_present == len(found.seats)

    def came(self, session: str) -> set[PartyId]:
        """Parties that have joined an open session, also those that have left it; none of one that is not open."""
        found = self._sessions.get(session)
        return {party for party, seat in found.seats.items() if seat.joined} if found else set()

    def gone(self, session: str) -> set[PartyId]:
        """Those of them that have left, however."""
        found = self._sessions.get(session)
        return {party for party, seat in found.seats.items() if seat.left} if found else set()

    def stop(self) -> None:
        """Close every session, stop listening and wait until no thread is left."""
        self._stopped.set()
        for session in list(self._sessions):
            self.close_session(session)
        if self._watchman:
            self._watchman.join()
        if self._server:
            self._server.stop(grace=1.0).wait()
        if self._pool:
            self._pool.shutdown()

    def _end(self, session: str, code: str) -> None:
        if found := self._sessions.pop(session, None):
            found.close(code)

    def _watch(self) -> None:
        """Close sessions in which nothing passes."""
        while not self._stopped.wait(min(1.0, self._limits.idle_seconds / 4)):
            for name, session in list(self._sessions.items()):
                if session.idle_seconds() > self._limits.idle_seconds:
                    self._note("session_idle", name, "")
                    self._end(name, "session_idle")

    def _join(self, incoming: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One party's connection: a second thread reads what it sends, this one writes what is sent to it."""
        name, session, party = self._admit(context)
        assert self._pool
        seat = session.seats[party]
        # Runs whenever the connection ends, even while the reader waits for room in another's inbox.
        if context.add_callback(lambda: self._leave(name, session, party, orderly=False)):
            self._pool.submit(self._read, name, session, party, incoming)
        else:
            self._leave(name, session, party, orderly=False)
        yield from seat.inbox
        if seat.fault:
            context.abort(*answer_to(seat.fault))

    def _admit(self, context: Any) -> tuple[str, Seating, PartyId]:
        metadata = dict(context.invocation_metadata())
        name, party, ticket = (
            bytes(metadata.get(key, b"")).decode(errors="replace") for key in (SESSION_KEY, PARTY_KEY, TICKET_KEY)
        )

        def refuse(code: str) -> NoReturn:
            self._note(code, name, party)
            context.abort(*answer_to(code))
            raise AssertionError  # abort raises

        session = self._sessions.get(name)
        if session is None:
            refuse("session_unknown")
        if party not in session.seats or (self._certified and not self._is(party, context)):
            refuse("not_a_party")
        if not hmac.compare_digest(session.seats[party].ticket.encode(), ticket.encode()):
            refuse("wrong_ticket")
        if not session.join(party):
            refuse("joined_twice")
        return name, session, party

    def _is(self, party: PartyId, context: Any) -> bool:
        """Whether the caller's certificate is that party's, and in force as far as we are told."""
        shown = context.auth_context()
        names, certificates = shown.get("x509_common_name", ()), shown.get("x509_pem_cert", ())
        return [bytes(name) for name in names] == [party.encode()] and all(
            self._in_force(party, bytes(certificate)) for certificate in certificates
        )

    def _read(self, name: str, session: Seating, party: PartyId, incoming: Iterator[bytes]) -> None:
        seat = session.seats[party]
        orderly = False
        try:
            for frame in incoming:
                self._pass_on(session, party, frame)
            orderly = not seat.gone.wait(_AFTERMATH_SECONDS)
        except (TooLargeError, ValueError) as error:
            seat.fault = "too_large" if isinstance(error, TooLargeError) else "not_a_frame"
            self._note(seat.fault, name, party)
        except Exception:  # noqa: S110
            pass  # gRPC raises a bare Exception when the connection broke: the party has left.
        finally:
            self._leave(name, session, party, orderly)

    def _leave(self, name: str, session: Seating, party: PartyId, orderly: bool) -> None:
        def note() -> None:
            if not orderly and not session.seats[party].fault:
                self._note("connection_broken", name, party)

        session.leave(party, note)

    def _pass_on(self, session: Seating, party: PartyId, frame: bytes) -> None:
        kind, receiver, body = session.accept(party, frame)
        self.metrics.passed(party, len(body))
        if self._tap:
            self._tap(party, receiver, body)
        session.deliver(party, kind, receiver, body)
        # Not reading on is the back-pressure: gRPC's window fills, then the party waits.
        if wait := session.seats[party].over_rate(len(body)):
            self.metrics.delayed(party, wait)
            session.seats[party].gone.wait(wait)

    def _note(self, code: str, session: str, party: PartyId) -> None:
        """Count and log what was refused; what came from outside is cut short, and on one line."""
        self.metrics.refused(code)
        log.warning("%s: session %r: party %r", code, session[:_SHOWN], party[:_SHOWN])


def _bad_session() -> LocalProtocolError:
    return LocalProtocolError(
        "bad_session",
        "The relay session is already open, or a party has no ticket.",
        "该中继会话已存在，或有参与方没有票据。",
    )
