"""A whole training session, host side: alignment first, then boosting over the rows that were chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgpack

from federation.alignment.host import TRANSITIONS as ALIGNMENT
from federation.alignment.host import AlignmentHost, AlignmentState
from federation.errors import LocalProtocolError, PartyId
from federation.messages import Message
from federation.policy import HostPolicy
from federation.vertical.boosting.host import TRANSITIONS as BOOSTING
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.state import BoostingState
from models.bundle import Half
from models.table import Table

_ALIGNMENT_KINDS: Final = frozenset(kind for _, kind in ALIGNMENT)
#: Every message a training session accepts.
ALLOWED: Final[tuple[type[Message], ...]] = tuple({kind for _, kind in (*ALIGNMENT, *BOOSTING)})


@dataclass(slots=True)
class TrainingHost:
    """Answers a training session over its own ``table``; all it remembers can be dumped between two messages."""

    party: PartyId
    table: Table
    policy: HostPolicy
    alignment: AlignmentHost = field(init=False)
    boosting: BoostingHost | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.alignment = AlignmentHost(self.table.ids, self.policy)

    def answer(self, request: Message) -> Message:
        if type(request) in _ALIGNMENT_KINDS:
            reply = self.alignment.answer(request)
            if self.alignment.state.phase == "chosen":
                self._begin_boosting()
            return reply
        if self.boosting is None:
            raise LocalProtocolError(
                "out_of_turn",
                f"A {request.kind} message is not accepted before rows are chosen.",
                f"选定数据行之前不接受 {request.kind} 消息。",
            )
        return self.boosting.answer(request)

    @property
    def half(self) -> Half | None:
        """This party's half of the model, once sealed."""
        return self.boosting.half if self.boosting else None

    def dump(self) -> bytes:
        """Everything remembered, for this party's own disk only."""
        boosting = self.boosting.state.dump() if self.boosting else b""
        return bytes(msgpack.packb([self.alignment.state.dump(), boosting]))

    def load(self, data: bytes) -> None:
        """Take up what ``dump`` wrote, over the same table and policy."""
        alignment, boosting = msgpack.unpackb(data)
        self.alignment.state = AlignmentState.load(alignment)
        if boosting:
            self._begin_boosting()
            assert self.boosting is not None
            self.boosting.state = BoostingState.load(boosting)

    def _begin_boosting(self) -> None:
        self.boosting = BoostingHost(self.party, self.table.take(self.alignment.state.rows), self.policy)
