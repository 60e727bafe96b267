"""The guest's check of what kind of reply arrived."""

from __future__ import annotations

from typing import TypeVar

from federation.errors import PartyId, RemoteProtocolError
from federation.messages import Message
from federation.script import Replies

M = TypeVar("M", bound=Message)


def expect(replies: Replies, party: PartyId, kind: type[M]) -> M:
    """The reply of ``party``, which must be a ``kind``. Raises ``RemoteProtocolError``."""
    reply = replies.get(party)
    if not isinstance(reply, kind):
        raise RemoteProtocolError(
            party, "out_of_turn", "answered with another message than was due.", "返回的消息与预期不符。"
        )
    return reply
