"""A party's side of the relay: one outgoing connection, over which it talks to the others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import grpc

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError, TransportError
from federation.transports.frames import (
    CHANNEL_OPTIONS,
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
from models.errors import LianmoError

#: Chunks on their way to the relay; beyond it ``send`` waits.
OUTBOX_BYTES: Final = 8 * CHUNK_BYTES

_REFUSALS: Final = {
    "NOT_FOUND": ("session_unknown", "it does not know this session", "它不认识该会话"),
    "PERMISSION_DENIED": ("not_a_party", "we are not a party of this session", "本方不是该会话的参与方"),
    "UNAUTHENTICATED": ("wrong_ticket", "it refused our ticket", "它拒绝了本方的票据"),
    "ALREADY_EXISTS": ("joined_twice", "a party of our name has already joined", "已有同名参与方加入"),
    "RESOURCE_EXHAUSTED": (
        "too_large",
        "it has no room for us, or our message is too large",
        "它已满员，或本方消息过大",
    ),
    "CANCELLED": ("session_closed", "the session was closed", "会话已被关闭"),
}


class Parcel(NamedTuple):
    """One whole message as it arrived."""

    sender: PartyId
    number: int
    payload: bytes


class Link:
    """The connection of one party to one session; use it as a context manager, from one thread.

    Args:
        address: "host:port" of the relay.
        session, party, ticket: as registered at the relay; a ticket opens one connection, once.
        tls: our papers; without, the connection is in clear (one machine only).
        deadline_seconds: longest wait for the relay to let us in, or to take a chunk from us.
        max_message_bytes: longest message sent or accepted. At most this much per sender waits unfinished,
            and at most about this much waits unread.
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
    ) -> None:
        self.party = party
        self._address = address
        self._metadata = (
            (SESSION_KEY, session.encode()),
            (PARTY_KEY, party.encode()),
            (TICKET_KEY, ticket.encode()),
        )
        self._tls = tls
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
        options = CHANNEL_OPTIONS
        self._channel: Any = (
            grpc.secure_channel(self._address, self._tls.for_channel(), options)
            if self._tls
            else grpc.insecure_channel(self._address, options)
        )
        join = self._channel.stream_stream(f"/{SERVICE}/{JOIN}")
        self._call: Any = join(self._outbox, metadata=self._metadata, wait_for_ready=True)
        self._reader = Thread(target=self._read, name="link-reader", daemon=True)
        self._reader.start()
        try:
            # The relay's first word to us is that we have joined.
            self.await_party(self.party, self._deadline_seconds)
        except TimeoutError:
            self.close()
            raise _relay_error("relay_unreachable", "it did not answer in time", "它未在规定时间内应答") from None
        except TransportError:
            self.close()
            raise
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
        """
        if len(payload) > self._max_message_bytes:
            raise LocalProtocolError(
                "too_large",
                f"A message of {len(payload)} bytes is over the limit of {self._max_message_bytes}. "
                "Use smaller batches.",
                f"消息长度 {len(payload)} 字节，超过上限 {self._max_message_bytes}。请减小批量。",
            )
        if number is None:
            self._sent[party] += 1
            number = self._sent[party]
        head = number.to_bytes(8, "big")
        last = max(0, len(payload) - 1) // CHUNK_BYTES
        try:
            for i in range(last + 1):
                body = head + payload[i * CHUNK_BYTES : (i + 1) * CHUNK_BYTES]
                self._outbox.put(pack(LAST if i == last else PART, party, body), self._deadline_seconds)
        except TimeoutError:
            raise _relay_error(
                "relay_stalled",
                f"it takes no more of our message to {party}: {party} may be stuck, and does not read",
                f"它不再接收本方发往 {party} 的消息：{party} 可能已停滞，未在读取",
            ) from None
        except ClosedError:
            with self._changed:
                raise self._fault or _lost() from None
        return number

    def receive(self, timeout: float, watch: Collection[PartyId] = ()) -> Parcel:
        """The next message, of whichever party.

        Args:
            watch: parties we cannot do without: when one has left and nothing is unread, fail at once.

        Raises:
            TimeoutError: nothing within ``timeout`` seconds.
            TransportError: one of ``watch`` has left ("party_left"), or the connection ended (party "relay").
            RemoteProtocolError: a party sent a message over max_message_bytes ("too_large") or in disorder.
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
            raise _left_error(self._gone(watch)[0])

    def await_party(self, party: PartyId, timeout: float) -> None:
        """Wait until ``party`` has joined. Raises TimeoutError, or TransportError as ``receive`` does."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: party in self._present or self._fault or party in self._left, max(0.0, timeout)
            ):
                raise TimeoutError
            if party in self._left:
                raise _left_error(party)
            if self._fault:
                raise self._fault

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

    def _gone(self, parties: Collection[PartyId]) -> list[PartyId]:
        return sorted(self._left.intersection(parties))

    def _read(self) -> None:
        """The reader thread: reassemble messages until the connection ends."""
        fault: LianmoError = _lost()
        unfinished: dict[PartyId, tuple[int, bytearray]] = {}
        try:
            for frame in self._call:
                kind, name, body = unpack(frame)
                if kind in (JOINED, LEFT):
                    with self._changed:
                        (self._present if kind == JOINED else self._left).add(name)
                        self._changed.notify_all()
                else:
                    self._assemble(name, body, kind == LAST, unfinished)
        except grpc.RpcError as error:
            status = self._call.code().name
            fault = _relay_error(*_REFUSALS[status]) if status in _REFUSALS else _lost()
            fault.__cause__ = error
        except ValueError:
            fault = _relay_error("relay_lost", "it sent something that is not a frame", "它发来的内容不是有效的帧")
        except RemoteProtocolError as error:
            fault = error
        finally:
            self._call.cancel()
            self._outbox.close(discard=True)
            with self._changed:
                self._fault = fault
                self._changed.notify_all()

    def _assemble(
        self, sender: PartyId, body: bytes, last: bool, unfinished: dict[PartyId, tuple[int, bytearray]]
    ) -> None:
        number = int.from_bytes(body[:8], "big")
        begun, pieces = unfinished.setdefault(sender, (number, bytearray()))
        if number != begun:
            raise RemoteProtocolError(
                sender,
                "out_of_turn",
                "it began a message before it had ended another.",
                "上一条消息未结束便开始了另一条。",
            )
        if len(pieces) + len(body) - 8 > self._max_message_bytes:
            raise RemoteProtocolError(
                sender,
                "too_large",
                f"its message is over the limit of {self._max_message_bytes} bytes.",
                f"其消息超过 {self._max_message_bytes} 字节的上限。",
            )
        pieces += body[8:]
        if last:
            del unfinished[sender]
            self._deliver(Parcel(sender, number, bytes(pieces)))

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


def _relay_error(code: str, english: str, chinese: str) -> TransportError:
    return TransportError("relay", code, f"{english}.", f"{chinese}。")


def _lost() -> TransportError:
    return _relay_error("relay_lost", "the connection has ended", "连接已断开")


def _left_error(party: PartyId) -> TransportError:
    return TransportError(
        party,
        "party_left",
        "it left in the middle of the session. Its own log says why; start the run again.",
        "在会话进行中退出。原因见其本地日志；请重新启动运行。",
    )
