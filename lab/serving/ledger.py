"""What is on record before it is told: each answer in the bank's audit log and in the store, many in one write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from lab.governance.audit_entry import Event
from lab.governance.scoring_record import ScoringRecord
from lab.serving.commits import GroupCommit
from lab.serving.decisions import DecisionAnswer
from lab.serving.scorer import Outcome
from lab.serving.served import Part
from lab.serving.store import AnswerStore, Kept, Replied

#: Models whose records are kept ready.
_MOST_RECORDS: Final = 16


class Written(NamedTuple):
    """What one call has to write: entries of the log, answers, and the reply if the call was claimed."""

    events: Sequence[Event]
    answers: Sequence[Kept]
    replies: Sequence[Replied]


@dataclass(slots=True)
class Ledger:
    """Attributes:
    record: the bank's; None: it keeps no log.
    """

    store: AnswerStore
    record: ScoringRecord | None = None
    _commits: GroupCommit[Written] = field(init=False, repr=False)
    _records: dict[int, tuple[Part, ScoringRecord]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._commits = GroupCommit(self._write)

    async def keep(self, written: Written) -> None:
        """Raises ``ServiceError``; then nothing may be told."""
        await self._commits.commit(written)

    def in_shadow(self, score: str, beside: str, applicant: str, outcome: Outcome, consent: str) -> list[Event]:
        """What the log is to say of a score that nobody is told. Raises ``ServiceError``.

        Args:
            beside: number of the answer it is compared with.
        """
        if self.record is None:
            return []
        record = replace(self._record_of(self.record, outcome.part), shadow=True)
        return record.answer(score, [applicant], consent, parties=list(outcome.parties_used), request=beside)

    def events(
        self,
        score: str,
        applicant: str,
        outcome: Outcome,
        purpose: str,
        consent: str,
        decided: DecisionAnswer | None = None,
    ) -> list[Event]:
        """What the log is to say of one application. Raises ``ServiceError``."""
        if self.record is None:
            return []
        record = self._record_of(self.record, outcome.part)
        code = outcome.degraded.code if outcome.degraded else ""
        by_policy = decided.on_record() if decided else {}
        if outcome.answer is None:
            about = {name: record.about[name] for name in ("model_digest", "version")}
            return record.refusal(code, score, [applicant], consent, purpose=purpose, **about, **by_policy)
        told = {"parties": list(outcome.parties_used), "purpose": purpose, "code": code}
        return record.answer(score, [applicant], consent, **told, **by_policy)

    def _record_of(self, record: ScoringRecord, part: Part) -> ScoringRecord:
        """For answers of this model."""
        kept = self._records.get(id(part))
        if kept is None or kept[0] is not part:
            named, model = part.told, part.calibrated.model.model_id
            about = {"model_digest": named["digest"], "version": named["version"]}
            if len(self._records) >= _MOST_RECORDS:
                self._records.clear()
            kept = self._records[id(part)] = part, replace(record, model=model, about=about)
        return kept[1]

    def close(self) -> None:
        self._commits.close()

    def _write(self, batch: Sequence[Written]) -> None:
        if self.record:  # the log first: what it lacks must not be readable
            self.record.write([event for written in batch for event in written.events])
        self.store.keep(
            [kept for written in batch for kept in written.answers],
            [reply for written in batch for reply in written.replies],
        )
