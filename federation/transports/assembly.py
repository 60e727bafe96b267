"""Messages put together again from the frames they came in, with a limit on what waits unfinished."""

from __future__ import annotations

from typing import NamedTuple

from federation.errors import PartyId, RemoteProtocolError


class Parcel(NamedTuple):
    """One whole message as it arrived."""

    sender: PartyId
    number: int
    payload: bytes


class Assembly:
    """The unfinished message of each sender; at most ``max_message_bytes`` of each."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._unfinished: dict[PartyId, tuple[int, bytearray]] = {}

    def add(self, sender: PartyId, body: bytes, *, last: bool) -> Parcel | None:
        """The message that ``body`` completes, if it does.

        Raises:
            RemoteProtocolError: "out_of_turn": another message begun before the end of one; "too_large".
        """
        number = int.from_bytes(body[:8], "big")
        begun, pieces = self._unfinished.setdefault(sender, (number, bytearray()))
        if number != begun or len(body) < 8:
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
        if not last:
            return None
        del self._unfinished[sender]
        return Parcel(sender, number, bytes(pieces))
