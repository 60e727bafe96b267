"""Which sites still answer: horizontal learning goes on without those that do not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeVar

from federation.errors import PartyId
from federation.expect import expect
from federation.messages import Message
from federation.script import Replies

M = TypeVar("M", bound=Message)


@dataclass(slots=True)
class Presence:
    """One object for all scripts of a run: who did not answer one of them is asked by none.

    Attributes:
        sites: who has not left, sorted. Who comes late, or again, is added by whoever lets it in.
    """

    sites: tuple[PartyId, ...]

    def arrived(self, replies: Replies, asked: Collection[PartyId], kind: type[M]) -> dict[PartyId, M]:
        """Reply of each party asked that has answered; the others have left.

        Raises:
            RemoteProtocolError: ``out_of_turn``, of a party that answered with another kind of message.
        """
        came = {party: expect(replies, party, kind) for party in asked if party in replies}
        self.sites = tuple(party for party in self.sites if party in came or party not in asked)
        return came
