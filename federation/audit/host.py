"""Countersigning, host side: shows its head, signs the heads of all, keeps the signatures of all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from federation.audit.heads import Countersigned, HeadFields, SignedHead, heads_statement
from federation.audit.keeper import HeadChecks, Keeper
from federation.audit.messages import AllHeads, AllSignatures, HeadShown, HeadsSigned, HeadWanted, Kept
from federation.errors import PartyId
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class AuditState(SecretState):
    """Attributes:
    shown: own head and the guest's, as exchanged.
    heads: of all parties, once signed.
    """

    phase: str = "open"
    shown: tuple[HeadFields, ...] = ()
    heads: tuple[HeadFields, ...] = ()


#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("open", HeadWanted): "shown",
    ("shown", AllHeads): "signed",
    ("signed", AllSignatures): "kept",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple({kind for _, kind in TRANSITIONS})


@dataclass(slots=True)
class AuditHost:
    """Answers countersigning of one session over this party's own log.

    Attributes:
        session: the id the host knows the session by; another one is refused.
    """

    party: PartyId
    guest: PartyId
    session: str
    keeper: Keeper
    state: AuditState = field(default_factory=AuditState)

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case HeadWanted():
                reply = self._show(request)
            case AllHeads():
                reply = self._sign(request)
            case AllSignatures():
                reply = self._keep(request)
        self.state.phase = phase
        return reply

    def _show(self, request: HeadWanted) -> Message:
        if request.session != self.session:
            raise bad_value("another session", "会话不符")
        theirs = self._checks.read_head(self.guest, self.guest, request.head)
        self._checks.check_held(self.guest, request.held)
        own = self._checks.own_head()
        self.state.shown = (own.fields, theirs.fields)
        return HeadShown(head=own.fields, held=self._checks.held_of(self.guest))

    def _sign(self, request: AllHeads) -> Message:
        parties = [fields[0] for fields in request.heads]
        if parties != sorted(set(parties)) or not set(self.state.shown) <= set(request.heads):
            raise bad_value("heads of the parties", "各方日志头")
        heads = [self._checks.read_head(self.guest, fields[0], fields) for fields in request.heads]
        statement = heads_statement(self.session, heads)
        guest = next(head for head in heads if head.party == self.guest)
        self._checks.check_countersignature(self.guest, guest, statement, request.countersignature)
        reply = HeadsSigned(countersignature=self.keeper.sign(statement))
        self.state.heads = request.heads
        return reply

    def _keep(self, request: AllSignatures) -> Message:
        heads = tuple(SignedHead(*fields) for fields in self.state.heads)
        if [party for party, _ in request.countersignatures] != [head.party for head in heads]:
            raise bad_value("signatures of the parties", "各方会签")
        statement = heads_statement(self.session, heads)
        for head, (_, countersignature) in zip(heads, request.countersignatures, strict=True):
            self._checks.check_countersignature(self.guest, head, statement, countersignature)
        self.keeper.keep(Countersigned(self.session, heads, dict(request.countersignatures)))
        return Kept()

    @property
    def _checks(self) -> HeadChecks:
        return HeadChecks(self.party, self.session, self.keeper)
