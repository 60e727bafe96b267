"""A relay that does to frames what it likes."""

from __future__ import annotations

from collections.abc import Callable

from federation.errors import PartyId
from federation.transports.frames import LAST
from federation.transports.relay import Relay
from federation.transports.seats import Seating

Frame = tuple[int, bytes]
Damage = Callable[[list[Frame]], list[Frame]]
#: Messages of the agreement on keys, of both sides, which are let through.
AGREEMENT = 3


class HostileRelay(Relay):
    """Keeps the frames of a whole message from the bank back, and passes on what ``damage`` makes of them.

    Attributes:
        kept: the frames of the last message, as they came.
    """

    def __init__(self, damage: Damage) -> None:
        super().__init__()
        self._damage = damage
        self._seen = 0
        self._waiting: list[Frame] = []
        self.kept: list[Frame] = []

    def _pass_on(self, session: Seating, party: PartyId, frame: bytes) -> None:
        kind, receiver, body = session.accept(party, frame)
        self._seen += 1
        if self._seen <= AGREEMENT or party != "bank":
            session.deliver(party, kind, receiver, body)
            return
        self._waiting.append((kind, body))
        if kind == LAST:
            self.kept, self._waiting = self._waiting, []
            for what, changed in self._damage(self.kept):
                session.deliver(party, what, receiver, changed)
