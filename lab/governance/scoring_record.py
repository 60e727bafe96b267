"""What a party's audit log says of its scores: each that is answered or refused, before the answer leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from federation.errors import PartyId
from lab.governance.admission import PURPOSES, Basis
from lab.governance.audit_entry import Event
from lab.governance.node_log import OwnLog, event, own_log
from models.errors import LianmoError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringRecord:
    """Attributes:
    own: None: the party keeps no log, and nothing is recorded.
    guest: the bank: who asks.
    about: references that every answer has, such as the model's digest.
    basis: of a host with a node.
    shadow: of scores of a model on trial, of which nobody is told: a kind and a purpose of their own.
    """

    own: OwnLog | None
    guest: PartyId
    model: str
    about: Mapping[str, Any] = field(default_factory=dict)
    basis: Basis | None = None
    shadow: bool = False

    @property
    def _purpose(self) -> str:
        return PURPOSES["shadow" if self.shadow else "scoring"]

    @classmethod
    def of(cls, node: Path | None, party: PartyId, guest: PartyId, model: str, basis: Basis | None = None) -> Self:
        """Ready to record. Raises as ``own_log``."""
        return cls(own=own_log(node, party), guest=guest, model=model, basis=basis)

    def answered(self, score: str, applicants: Sequence[str], **references: Any) -> None:
        """Scores are told, or a host's part of them; as ``answer``, written at once.

        Raises:
            ServiceError: the log cannot be written; then nothing may be told.
        """
        self.write(self.answer(score, applicants, **references))

    def refused(self, error: LianmoError, score: str = "", applicants: Sequence[str] = ()) -> None:
        """A question is not answered; as ``refusal``, written at once. Raises ``ServiceError``."""
        self.write(self.refusal(error.code, score, applicants))

    def write(self, events: Sequence[Event]) -> None:
        """All of them, on the disk when this returns. Raises ``ServiceError``."""
        if self.own and events:
            self.own.log.write(events)

    def answer(self, score: str, applicants: Sequence[str], consent: str = "", **references: Any) -> list[Event]:
        """What there is to write of scores about to be told; nothing if no log is kept.

        Args:
            score: the bank's name for the question; "": it gave none.
            applicants: who is answered for; one goes by its own digest, and its consents by theirs together.
            consent: number of the one that the caller named.

        Raises:
            ServiceError: ``audit_entry`` for what cannot stand in a log.
        """
        if self.own is None:
            return []
        names = self.own.pseudonyms
        told = {"purpose": self._purpose, **self.about, **references}
        if len(applicants) == 1:
            told["applicant"] = names.applicant(applicants[0])
        if consent:
            told["consent"] = names.consent(consent)
        if self.basis:
            told |= self.own.on(self.basis, "catalogue", "items", "sources", "policy")
            given = self.basis.consents(applicants)
            told |= {"consent": names.consent(given[0])} if len(given) == 1 else {"consent_set": names.consents(given)}
        told |= {"model": self.model, "score": score, "n_rows": len(applicants)}
        return [event("shadow_answered" if self.shadow else "score_answered", told, self.guest)]

    def refusal(
        self, code: str, score: str = "", applicants: Sequence[str] = (), consent: str = "", **references: Any
    ) -> list[Event]:
        """What there is to write of a question that is not answered; the code is all that is said of why."""
        if self.own is None:
            return []
        who = {"applicant": self.own.pseudonyms.applicant(applicants[0])} if len(applicants) == 1 else {}
        who |= {"consent": self.own.pseudonyms.consent(consent)} if consent else {}
        told = {"purpose": self._purpose, "code": code, "model": self.model, "party": self.guest, "score": score}
        return [event("refused", told | who | references, self.guest)]
