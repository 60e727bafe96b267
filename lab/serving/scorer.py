"""An answer for every application: by all parties where they can, by the bank's own model or a person where not."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal

import numpy as np

from federation.errors import PartyId, Refused, RemoteProtocolError, TransportError
from federation.script import AsyncWire, Frames, run_async
from federation.vertical.scoring.guest import Scored, score
from lab.serving.answers import Answer, answer_of, told
from lab.serving.breaker import Breaker
from lab.serving.degraded import Degraded
from lab.serving.metrics import PartyMetrics
from lab.serving.rules import ServiceRules
from lab.serving.served import Part, Served
from models.errors import LianmoError
from models.table import Table

log = logging.getLogger("lianmo.serving")

Mode = Literal["joint", "bank_only", "refer"]

#: From so many rows on a script's own work is done in a thread: blinding and unblinding a row takes some 0.3 ms.
_ROWS_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one application.

    Attributes:
        mode: who scored it; ``refer``: nobody, a person decides.
        answer: None if nobody did.
        part: the model that answered, or would have.
        degraded: why it is not ``joint``.
    """

    mode: Mode
    answer: Answer | None
    part: Part
    degraded: Degraded | None = None

    @property
    def parties_used(self) -> tuple[PartyId, ...]:
        return self.part.parties if self.answer else ()


@dataclass(slots=True)
class Scorer:
    """For one event loop.

    Attributes:
        shadow: asks for a model on trial, of which nobody is told; its own work never holds up the loop.
    """

    wire: AsyncWire
    rules: ServiceRules
    metrics: PartyMetrics
    breakers: dict[PartyId, Breaker] = field(default_factory=dict)
    shadow: bool = False

    async def score(self, served: Served, table: Table, n_reasons: int, question: str) -> list[Outcome]:
        """One outcome per row of ``table``, in its order.

        Args:
            n_reasons: so many reasons per applicant, at most.
            question: how hosts' logs call it; must say nothing of applicants.

        Raises:
            ModelError: the table lacks a column, or one has the wrong type.
        """
        missed: dict[int, Degraded] = {}
        outcomes: list[Outcome | None] = [None] * len(table)
        found = await self.together(served.joint, table, n_reasons, question)
        for row in range(len(table)):
            if isinstance(found, Degraded):
                missed[row] = found
            elif absent := [host for host, known in found.known.items() if not known[row]]:
                missed[row] = Degraded.of("unknown_applicant", absent)
            else:
                outcomes[row] = scored_by(served.joint, found, row, n_reasons)
        if missed:
            left = table if len(missed) == len(table) else table.take(np.array(list(missed), dtype=np.intp))
            for row, outcome in zip(missed, await self._alone(served, left, n_reasons, missed), strict=True):
                outcomes[row] = outcome
        return [outcome for outcome in outcomes if outcome]

    def breaker(self, party: PartyId) -> Breaker:
        if party not in self.breakers:
            self.breakers[party] = Breaker(self.rules.failures_to_open, self.rules.open_seconds)
        return self.breakers[party]

    def _shut(self, hosts: Sequence[PartyId]) -> list[PartyId]:
        """Those who are not asked. If there is one, nobody is: the others need not learn of a score that cannot be."""
        shut = [host for host in hosts if self.breaker(host).is_open()]
        return shut or [host for host in hosts if not self.breaker(host).admits()]

    async def together(self, part: Part, table: Table, n_reasons: int, question: str) -> Scored | Degraded:
        """What all parties of the model make of the applicants, or why they do not. Raises ``ModelError``."""
        shut = self._shut(part.hosts)
        self.metrics.asked(part.hosts, shut)
        if shut:
            return Degraded.of("party_suspended", shut)
        try:
            found = await self._scored(part, table, n_reasons, question)
        except (TransportError, Refused, RemoteProtocolError) as error:
            log.warning("%s: %s score=%s", error.code, error, question)
            self._heard(error)
            return Degraded.by(error, error.party)
        except LianmoError:  # of the bank's own columns: the bank's own model would meet it too
            raise
        except Exception as error:  # a bug of ours must cost nobody an answer
            where = "".join(traceback.format_tb(error.__traceback__))  # the text of the error may hold values
            log.error("internal error %s score=%s\n%s", type(error).__name__, question, where)
            return Degraded.of("internal")
        # Not at each reply: a host may answer the first message of every question and no second.
        for host in part.hosts:
            self.breaker(host).succeeded()
        return found

    def _heard(self, error: TransportError | Refused | RemoteProtocolError) -> None:
        """Who refuses is up and says so; who talks nonsense is as good as away (who is away was counted where it was
        waited for)."""
        if isinstance(error, Refused):
            self.breaker(error.party).succeeded()
        elif isinstance(error, RemoteProtocolError):
            self.breaker(error.party).failed()

    async def _alone(self, served: Served, table: Table, n_reasons: int, why: Mapping[int, Degraded]) -> list[Outcome]:
        """What the bank can say without the others."""
        alone = served.bank_only
        if self.rules.fallback == "refer" or alone is None:
            return [Outcome("refer", None, served.joint, degraded) for degraded in why.values()]
        scored = await self._scored(alone, table, n_reasons, "")
        return [scored_by(alone, scored, row, n_reasons, degraded) for row, degraded in enumerate(why.values())]

    async def _scored(self, part: Part, table: Table, n_reasons: int, question: str) -> Scored:
        script = score(part.calibrated.model, table, n_reasons, question, shadow=self.shadow)
        left = {party: self.rules.deadline(party, len(table)) for party in part.parties}
        exchange = partial(self._exchange, left)
        if len(table) < _ROWS_AT_ONCE and not self.shadow:
            return await run_async(script, exchange)
        return await run_async(script, exchange, asyncio.to_thread)

    async def _exchange(self, left: dict[PartyId, float], frames: Frames) -> Frames:
        asked = [asyncio.ensure_future(self._ask(party, frame, left)) for party, frame in frames.items()]
        try:
            return dict(zip(frames, await asyncio.gather(*asked), strict=True))
        finally:
            for question in asked:
                question.cancel()

    async def _ask(self, party: PartyId, frame: bytes, left: dict[PartyId, float]) -> bytes:
        """``left``: party → seconds for which it may yet be waited for in this call."""
        started = time.perf_counter()
        try:
            reply = await self.wire.ask(party, frame, left[party])
        except TransportError as error:
            self.breaker(party).failed()
            self.metrics.failed(party, error.code)
            raise
        spent = time.perf_counter() - started
        left[party] = max(left[party] - spent, 0.0)
        self.metrics.replied(party, spent)
        return reply


def scored_by(part: Part, scored: Scored, row: int, n_reasons: int, degraded: Degraded | None = None) -> Outcome:
    """The outcome of a row that every party of the model knows."""
    points = None if scored.points is None else float(scored.points[row])
    reasons = told(scored.reasons[row], scored.words, part.loaded.words) if n_reasons else ()
    answer = answer_of(float(scored.margin[row]), points, reasons, part.calibrated.calibrator)
    return Outcome("joint" if len(part.parties) > 1 else "bank_only", answer, part, degraded)
