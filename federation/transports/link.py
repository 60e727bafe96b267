"""A party's side of the relay: one outgoing connection, over which it talks to the others."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Collection
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, Self

import grpc

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError, TransportError
from federation.transports.agreement import Seals, not_sealed
from federation.transports.assembly import Assembly, Parcel
from federation.transports.channel import open_channel
from federation.transports.frames import (
    CHUNK_BYTES,
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
from federation.transports.refusals import code_of, left_error, relay_error, stalled_error
from federation.transports.sealing import SealedSession
from models.errors import LianmoError

#: Chunks on their way to the relay; beyond it ``send`` waits.
OUTBOX_BYTES: Final = 8 * CHUNK_BYTES

log = logging.getLogger("lianmo.link")


class Link:
    """The connection of one party to one session; use it as a context manager. One thread at a time sends, one
    receives, any may close.

    Args:
        address: "host:port" of the relay.
        session, party, ticket: as registered at the relay; a ticket opens one connection, once.
        tls: our papers; without, the connection is in clear (one machine only).
        deadline_seconds: longest wait for the relay to let us in, or to take a chunk from us.
        max_message_bytes: longest message sent or accepted. At most this much per sender waits unfinished,
            and at most about this much waits unread.
        seals: what we seal with; then nothing unsealed is read, and nothing is sent before keys are agreed. Without,
            frames are not sealed (one machine only).
        proxy: "http://host:port" of a proxy to go through, "" for none; see ``open_channel``.
    """

    def __init__(
        self,
        address: str,
        session: str,
        party: PartyId,
        ticket: str,
        *,
        tls: Tls | None = None,
        deadline_seconds: float = 30.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        seals: Seals | None = None,
        proxy: str | None = None,
    ) -> None:
        self.party = party
        self._address, self._session = address, session
        self._metadata = (
            (SESSION_KEY, session.encode()),
            (PARTY_KEY, party.encode()),
            (TICKET_KEY, ticket.encode()),
        )
        self._tls, self._proxy = tls, proxy
        self._sealed = SealedSession(seals, session, party) if seals else None
        self._deadline_seconds = deadline_seconds
        self._max_message_bytes = max_message_bytes
        self._outbox = Mailbox(OUTBOX_BYTES)
        self._sent: Counter[PartyId] = Counter()
        # Shared with the reader thread, under _changed.
        self._changed = Condition()
        self._inbox: deque[Parcel] = deque()
        self._unread_bytes = 0
        self._present: set[PartyId] = set()
        self._left: set[PartyId] = set()
        self._fault: LianmoError | None = None
        self._closing = False

    def __enter__(self) -> Self:
        """Connect and be let in.

        Raises:
            TransportError: party "relay"; it cannot be reached, or refused us (the code says why).
        """
        self._channel: Any = open_channel(self._address, self._tls, self._proxy)
        join = self._channel.stream_stream(f"/{SERVICE}/{JOIN}")
        self._call: Any = join(self._outbox, metadata=self._metadata, wait_for_ready=True)
        self._reader = Thread(target=self._read, name="link-reader", daemon=True)
        self._reader.start()
        try:
            # The relay's first word to us is that we have joined.
            self.await_party(self.party, self._deadline_seconds)
        except (TimeoutError, TransportError) as error:
            self.close()
            if isinstance(error, TransportError):
                raise
            self._note(unreachable := relay_error("relay_unreachable"))
            raise unreachable from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, party: PartyId, payload: bytes, number: int | None = None) -> int:
        """Send one message, waiting while the relay is not taking any; returns the message's number.

        Args:
            number: the number of the request this replies to; None gives our own next to ``party``: 1, 2, …

        Raises:
            LocalProtocolError: over max_message_bytes.
            TransportError: party "relay"; the connection has ended or took nothing for deadline_seconds.
            RemoteProtocolError: "not_sealed": no keys agreed with ``party`` within deadline_seconds.
        """
        if len(payload) > self._max_message_bytes:
            raise LocalProtocolError(
                "too_large",
                f"A message of {len(payload)} bytes is over the limit of {self._max_message_bytes}. "
                "Use smaller batches.",
                f"消息长度 {len(payload)} 字节，超过上限 {self._max_message_bytes}。请减小批量。",
            )
        if self._sealed:
            self._await_keys(party)
        if number is None:
            self._sent[party] += 1
            number = self._sent[party]
        head = number.to_bytes(8, "big")
        last = max(0, len(payload) - 1) // CHUNK_BYTES
        try:
            for i in range(last + 1):
                body = head + payload[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
                kind = LAST if i == last else PART
                if self._sealed:
                    body = self._sealed.seal(party, kind, body)
                self._outbox.put(pack(kind, party, body), self._deadline_seconds)
        except TimeoutError:
            raise stalled_error(party) from None
        except ClosedError:
            with self._changed:
                raise self._fault or relay_error("relay_lost") from None
        return number

    @property
    def queued_bytes(self) -> int:
        """What the relay has not taken yet."""
        return self._outbox.held

    def receive(self, timeout: float, watch: Collection[PartyId] = ()) -> Parcel:
        """The next message, of whichever party.

        Args:
            watch: parties we cannot do without: when one has left and nothing is unread, fail at once.

        Raises:
            TimeoutError: nothing within ``timeout`` seconds.
            TransportError: one of ``watch`` has left ("party_left"), or the connection ended (party "relay").
            RemoteProtocolError: a party sent a message over max_message_bytes ("too_large") or in disorder; what came
                in its name does not carry its seal ("not_sealed", "seal_broken", "seal_unknown_key", …).
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._inbox or self._fault or self._gone(watch), timeout):
                raise TimeoutError
            if self._inbox:
                parcel = self._inbox.popleft()
                self._unread_bytes -= len(parcel.payload)
                self._changed.notify_all()
                return parcel
            if self._fault:
                raise self._fault
            raise self._left_by(self._gone(watch)[0])

    def await_party(self, party: PartyId, timeout: float) -> None:
        """Wait until ``party`` has joined, and keys are agreed with it where we seal.

        Raises:
            TimeoutError: it has not joined.
            RemoteProtocolError: it has, but keys were not agreed ("not_sealed"), and as ``receive`` does.
            TransportError: as ``receive`` does.
        """
        sealed = self._sealed if party != self.party else None
        if sealed:
            sealed.check(party)

        def met() -> bool:
            return party in self._present and (sealed is None or sealed.ready(party))

        with self._changed:
            if not self._changed.wait_for(lambda: met() or self._fault or party in self._left, max(0.0, timeout)):
                raise not_sealed(party) if party in self._present else TimeoutError
            if party in self._left:
                raise self._fault or self._left_by(party)
            if self._fault:
                raise self._fault

    def _await_keys(self, party: PartyId) -> None:
        try:
            self.await_party(party, self._deadline_seconds)
        except TimeoutError:
            raise not_sealed(party) from None

    def close(self) -> None:
        """Hand over what was sent, then leave the session; no thread of ours is left."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._outbox.close()
        # The relay ends the stream when it has taken everything; one that does not is cut off.
        self._reader.join(self._deadline_seconds if self._present else 0.0)
        self._call.cancel()
        self._reader.join()
        self._channel.close()

    def _left_by(self, party: PartyId) -> TransportError:
        self._note(left := left_error(party))
        return left

    def _note(self, error: LianmoError) -> None:
        """Names and codes for the log of this end; the other ends write theirs."""
        culprit = getattr(error, "party", "")
        log.warning("%s: session %r: party %r: of %r", error.code, self._session, self.party, culprit)

    def _gone(self, parties: Collection[PartyId]) -> list[PartyId]:
        return sorted(self._left.intersection(parties))

    def _read(self) -> None:
        """The reader thread: reassemble messages until the connection ends."""
        fault: LianmoError = relay_error("relay_lost")
        assembly = Assembly(self._max_message_bytes)
        try:
            for frame in self._call:
                kind, name, body = unpack(frame)
                if kind == JOINED and self._sealed and name != self.party:
                    self._begin(name, self._sealed.arrived(name))
                if kind in (JOINED, LEFT):
                    with self._changed:
                        (self._present if kind == JOINED else self._left).add(name)
                        self._changed.notify_all()
                elif (opened := self._open(name, kind, body)) is not None and (
                    parcel := assembly.add(name, opened, last=kind == LAST)
                ):
                    self._deliver(parcel)
        except grpc.RpcError as error:
            fault = relay_error(code_of(self._call.code().name))
            fault.__cause__ = error
        except ValueError:
            fault = relay_error("relay_broken")
        except RemoteProtocolError as error:
            fault = error
        finally:
            self._call.cancel()
            self._outbox.close(discard=True)
            with self._changed:
                self._fault = fault
                self._changed.notify_all()
            if not self._closing:
                self._note(fault)

    def _begin(self, party: PartyId, clear: bytes | None) -> None:
        if clear is not None:
            self._outbox.force(pack(LAST, party, clear))

    def _open(self, sender: PartyId, kind: int, body: bytes) -> bytes | None:
        """What a frame says; None while keys are being agreed."""
        if not self._sealed:
            return body
        reply, opened = self._sealed.take(sender, kind, body)
        self._begin(sender, reply)
        if opened is None:
            with self._changed:  # keys may be ready
                self._changed.notify_all()
        return opened

    def _deliver(self, parcel: Parcel) -> None:
        with self._changed:
            # Not reading on is the back-pressure: the relay's inbox for us fills, then the senders wait.
            self._changed.wait_for(
                lambda: (
                    self._closing
                    or not self._inbox
                    or self._unread_bytes + len(parcel.payload) <= self._max_message_bytes
                )
            )
            self._inbox.append(parcel)
            self._unread_bytes += len(parcel.payload)
            self._changed.notify_all()
