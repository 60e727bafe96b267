"""A model in the shadow scores what was answered, after the answer has gone out, for the record alone.

Nothing an applicant's answer needs waits for it: applications queue up to a bound, what comes beyond is dropped and
counted, and one question is under way at a time. It scores in the way in which the answer came about, so that like is
compared with like: by all parties where all answered, by the bank's own models, nobody asked, where the bank answered
alone. Hosts are told that a model on trial asks.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.serving.degraded import Degraded
from lab.serving.ledger import Ledger, Written
from lab.serving.loaded import Shelf
from lab.serving.metrics import ShadowMetrics
from lab.serving.publishing.shadow import Line, ShadowBook, Told
from lab.serving.schemas import sent, table_of
from lab.serving.scorer import Outcome, Scorer, scored_by
from lab.serving.served import Part, Preparations, Served
from lab.serving.service import Application, item_name, new_score
from models.errors import LianmoError

log = logging.getLogger("lianmo.serving")


class _Waiting(NamedTuple):
    """Applications of one call, scored for by one model in one way, that are to be scored by the shadow."""

    version: str
    challenger: Served
    mode: Told
    pairs: list[tuple[Application, Outcome]]


@dataclass(slots=True)
class Shadows:
    """For one event loop.

    Attributes:
        scorer: asks hosts as a model on trial; its breakers and metrics are its own.
        most: applications that may wait.
        preparations: those of the service.
    """

    shelf: Shelf
    scorer: Scorer
    metrics: ShadowMetrics
    ledger: Ledger
    book: ShadowBook
    most: int
    preparations: Preparations
    _queue: deque[_Waiting] = field(default_factory=deque, init=False)
    _n_waiting: int = field(default=0, init=False)
    _asking: asyncio.Task[None] | None = field(default=None, init=False)

    async def offer(self, told: Sequence[tuple[Application, Outcome]]) -> None:
        """Have what was told scored by the model in the shadow too, if there is one and there is room; never waits."""
        groups: dict[tuple[int, str], _Waiting] = {}
        offered = self.preparations.of(self.shelf.held())
        for application, outcome in told:
            challenger = offered.tried("shadow", application.asked)
            if challenger is None:
                continue
            if outcome.mode == "refer":
                self.metrics.left_out("not_scored", 1)
                continue
            if not sent(application.asked, challenger.inputs):
                self.metrics.left_out("missing_columns", 1)
                continue
            assert offered.held.trial
            group = groups.setdefault(
                (id(application.served), outcome.mode),
                _Waiting(offered.held.trial.version, challenger, outcome.mode, []),
            )
            group.pairs.append((application, outcome))
        for group in groups.values():
            if self._n_waiting + len(group.pairs) > self.most:
                self.metrics.left_out("behind", len(group.pairs))
                continue
            self._queue.append(group)
            self._count(len(group.pairs))
        if self._queue and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Give up what waits."""
        if self._asking:
            self._asking.cancel()
            with suppress(asyncio.CancelledError):
                await self._asking
        self._queue.clear()
        self._count(-self._n_waiting)

    async def _work(self) -> None:
        while self._queue:
            group = self._queue.popleft()
            try:
                await self._compare(group)
            except LianmoError as error:
                log.warning("%s: %s in the shadow", error.code, error)
                self.metrics.left_out(error.code, len(group.pairs))
            except OSError:  # there is no book of a trial that is over, or no room
                self.metrics.left_out("not_kept", len(group.pairs))
            except Exception as error:  # a bug of ours must not be the end of all comparing
                where = "".join(traceback.format_tb(error.__traceback__))  # the text of the error may hold values
                log.error("internal error %s in the shadow\n%s", type(error).__name__, where)
                self.metrics.left_out("internal", len(group.pairs))
            finally:
                self._count(-len(group.pairs))

    def _count(self, n: int) -> None:
        self._n_waiting += n
        self.metrics.waiting(self._n_waiting)

    async def _compare(self, group: _Waiting) -> None:
        part = self._part(group)
        if part is None:
            self.metrics.left_out("no_bank_only", len(group.pairs))
            return
        question = new_score()
        table = table_of([application.asked for application, _ in group.pairs], group.challenger.inputs)
        found = await self.scorer.together(part, table, 0, question)
        if isinstance(found, Degraded):
            self.metrics.left_out(found.code, len(group.pairs))
            return
        lines, events = [], []
        for row, (application, told) in enumerate(group.pairs):
            if not all(known[row] for known in found.known.values()):
                self.metrics.left_out("unknown_applicant", 1)
                continue
            said = scored_by(part, found, row, 0)
            assert said.answer
            assert told.answer
            name = question if len(group.pairs) == 1 else item_name(question, row)
            asked = application.asked
            events += self.ledger.in_shadow(
                name, application.score_id, asked.applicant_id, said, asked.consent_id or ""
            )
            against = application.served.joint.told["digest"]
            lines.append(Line(application.score_id, against, group.mode, told.answer, said.answer))
        if not lines:
            return
        await self.ledger.keep(Written(events, [], []))
        await asyncio.to_thread(self.book.note, group.version, lines)
        self.metrics.compared(group.mode, len(lines))

    def _part(self, group: _Waiting) -> Part | None:
        """What of the model on trial is compared. Of an answer by the bank alone nobody else is asked."""
        served = group.challenger
        return served.joint if group.mode == "joint" or not served.hosts else served.bank_only
