"""Which sites still answer: horizontal learning goes on without those that do not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from federation.errors import PartyId
from federation.expect import expect
from federation.messages import Message
from federation.script import Replies

M = TypeVar("M", bound=Message)


def arrived(replies: Replies, asked: Iterable[PartyId], kind: type[M]) -> dict[PartyId, M]:
    """Reply of each party asked that has answered; each must be a ``kind``. Raises ``RemoteProtocolError``."""
    return {party: expect(replies, party, kind) for party in asked if party in replies}
