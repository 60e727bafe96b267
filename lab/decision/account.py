"""What stands behind a score, as the service that gave it knows: for the report, and for a case in a file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from lab.decision.sections import Section, Text
from lab.decision.situation import Situation
from lab.governance.days import Moment

_Id = Annotated[Text, Field(max_length=128)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Bank(Section):
    party: _Id
    english: Text
    chinese: Text


class Source(Section):
    """A party whose data were used, with what they are called; of a bank-only score the bank alone."""

    party: _Id
    english: Text
    chinese: Text


class ScoredBy(Section):
    name: _Id
    version: _Id
    digest: _Digest


class ConsentUsed(Section):
    consent: _Id
    purpose: _Id


class ReasonTold(Section):
    """A feature that raised the risk, in its owner's words; no value, no weight."""

    code: _Id
    party: _Id
    text: Text
    text_zh: Text


class Account(Section):
    """Attributes:
    model, consent: None: unscored; none on record, since only the bank's own data were used.
    degraded_reason: why not all parties were used; None: they were.
    reasons: strongest first.
    """

    score_id: _Id
    application_id: _Id
    scored_at: Moment
    bank: Bank
    model: ScoredBy | None = None
    sources: Annotated[list[Source], Field(max_length=100)]
    consent: ConsentUsed | None = None
    degraded_reason: Text | None = None
    reasons: Annotated[list[ReasonTold], Field(max_length=50)]


class CaseFile(Situation):
    """A case as JSON; ``account`` is needed for a report only."""

    account: Account | None = None
