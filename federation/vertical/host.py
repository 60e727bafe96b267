"""A whole training session, host side: alignment, boosting or a scorecard over the rows chosen, how features moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgpack

from federation.alignment.host import TRANSITIONS as ALIGNMENT
from federation.alignment.host import AlignmentHost, AlignmentState
from federation.audit.host import ALLOWED as AUDIT_KINDS
from federation.audit.host import AuditHost, AuditState
from federation.errors import LocalProtocolError, PartyId
from federation.messages import Message
from federation.policy import HostPolicy
from federation.vertical.binning.prebinning import Prebinning
from federation.vertical.boosting.checkpoint import HostCheckpoint
from federation.vertical.boosting.host import TRANSITIONS as BOOSTING
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.state import BoostingState
from federation.vertical.scorecard.host import KINDS as SCORECARD_KINDS
from federation.vertical.scorecard.host import ScorecardHost
from federation.vertical.stability.host import TRANSITIONS as STABILITY
from federation.vertical.stability.host import StabilityHost
from federation.vertical.stability.state import StabilityState
from models.bundle import Half
from models.scorecard.card import ScorecardHalf
from models.table import Table

_ALIGNMENT_KINDS: Final = frozenset(kind for _, kind in ALIGNMENT)
_BOOSTING_KINDS: Final = frozenset(kind for _, kind in BOOSTING)
_STABILITY_KINDS: Final = frozenset(kind for _, kind in STABILITY)
#: Every message a training session accepts.
ALLOWED: Final[tuple[type[Message], ...]] = tuple(
    _ALIGNMENT_KINDS | _BOOSTING_KINDS | SCORECARD_KINDS | _STABILITY_KINDS | set(AUDIT_KINDS)
)


@dataclass(slots=True)
class TrainingHost:
    """Answers a training session over its own ``table``; all it remembers can be dumped between two messages.

    Attributes:
        earlier: this party's half of a model that the session may add trees to.
        audit: countersigns at the end, if this party keeps an audit log and so do all others.
        kept: checkpoints of this very run, if it is resumed.
    """

    party: PartyId
    table: Table
    policy: HostPolicy
    prebinning: Prebinning = field(default_factory=Prebinning)
    earlier: Half | None = None
    audit: AuditHost | None = None
    kept: Sequence[HostCheckpoint] = ()
    alignment: AlignmentHost = field(init=False)
    boosting: BoostingHost | None = field(init=False, default=None)
    scorecard: ScorecardHost | None = field(init=False, default=None)
    stability: StabilityState = field(init=False, default_factory=StabilityState)

    def __post_init__(self) -> None:
        self.alignment = AlignmentHost(self.table.ids, self.policy)

    def answer(self, request: Message) -> Message:
        kind = type(request)
        if kind in _ALIGNMENT_KINDS:
            if self._part:
                raise _out_of_turn(request)
            return self.alignment.answer(request)
        if self.alignment.state.phase != "chosen":
            raise _out_of_turn(request)
        if kind in _BOOSTING_KINDS and self.scorecard is None:
            boosting = self.boosting or self._new_boosting()
            reply = boosting.answer(request)
            self.boosting = boosting  # only now: a request that was refused changes nothing
            return reply
        if kind in SCORECARD_KINDS and self.boosting is None:
            scorecard = self.scorecard or self._new_scorecard()
            reply = scorecard.answer(request)
            self.scorecard = scorecard
            return reply
        if kind in _STABILITY_KINDS and (moved := self.moved):
            return moved.answer(request)
        if kind in AUDIT_KINDS and self.audit and self.half:
            return self.audit.answer(request)
        raise _out_of_turn(request)

    @property
    def checkpoint(self) -> HostCheckpoint | None:
        """The newest, for this party's own disk; trees only."""
        return self.boosting.checkpoint if self.boosting else None

    @property
    def half(self) -> Half | ScorecardHalf | None:
        """This party's half of the model, once sealed."""
        return self._part.half if self._part else None

    @property
    def moved(self) -> StabilityHost | None:
        """How this party's features have moved: of trees once its half is sealed, of a scorecard once it is known which
        features go into it."""
        part = self._part
        if part is None:
            return None
        features = part.selected if isinstance(part, ScorecardHost) else part.half
        if features is None:
            return None
        return StabilityHost(part.table, features, part.n_fit, self.policy, self.stability)

    def dump(self) -> bytes:
        """Everything remembered, for this party's own disk only."""
        boosting = self.boosting.state.dump() if self.boosting else b""
        scorecard = self.scorecard.dump() if self.scorecard else b""
        audit = self.audit.state.dump() if self.audit else b""
        return bytes(msgpack.packb([self.alignment.state.dump(), boosting, scorecard, self.stability.dump(), audit]))

    def load(self, data: bytes) -> None:
        """Take up what ``dump`` wrote, over the same table and policy."""
        alignment, boosting, scorecard, stability, audit = msgpack.unpackb(data)
        self.alignment.state = AlignmentState.load(alignment)
        self.stability = StabilityState.load(stability)
        if self.audit and audit:
            self.audit.state = AuditState.load(audit)
        if boosting:
            self.boosting = self._new_boosting()
            self.boosting.state = BoostingState.load(boosting)
        if scorecard:
            self.scorecard = self._new_scorecard()
            self.scorecard.load(scorecard)

    @property
    def _part(self) -> BoostingHost | ScorecardHost | None:
        return self.boosting or self.scorecard

    def _new_boosting(self) -> BoostingHost:
        rows = self._rows("boosting")
        return BoostingHost(self.party, rows, self.policy, earlier=self.earlier, kept=self.kept)

    def _new_scorecard(self) -> ScorecardHost:
        return ScorecardHost(self.party, self._rows("scorecard"), self.policy, self.prebinning)

    def _rows(self, algorithm: str) -> Table:
        """The rows that were chosen, if this party may use them for that now."""
        self.policy.check_algorithm(algorithm)
        rows = self.table.take(self.alignment.state.rows)
        self.policy.check_subjects(rows.ids)
        return rows


def _out_of_turn(request: Message) -> LocalProtocolError:
    return LocalProtocolError(
        "out_of_turn",
        f"A {request.kind} message is not accepted now: rows are chosen first, then a model is made, and heads of "
        "audit logs are signed once it is sealed, if every party keeps a log.",
        f"当前阶段不接受 {request.kind} 消息：先选定数据行，再建模；各方均有审计日志时，封存模型后方可会签。",
    )
