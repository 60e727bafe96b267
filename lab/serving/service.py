"""What the bank's scoring service does with a call, whoever carries it: read, score, decide, put on record, tell."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import to_json

from lab.serving.batch import new_name
from lab.serving.decisions import Decider, DecisionAnswer, decision_answer
from lab.serving.ledger import Ledger, Written
from lab.serving.loaded import Held, Shelf
from lab.serving.metrics import ServiceMetrics
from lab.serving.problems import RequestError
from lab.serving.schemas import ScoreRequest, invalid_request, sent, table_of
from lab.serving.scorer import Outcome, Scorer
from lab.serving.served import Offered, Preparations, Served
from lab.serving.store import Kept, Replied
from models.errors import LianmoError

#: Most applications of one batch.
MOST_ITEMS: Final = 1000


@dataclass(frozen=True, slots=True)
class Call:
    """Attributes:
    request_id: as the caller or the gate named it.
    caller: who calls, as access control knows it; "": nobody asks.
    claim: name under which the reply is kept for repeated calls; "": it is not.
    started: ``time.perf_counter`` when the call came.
    told: what was answered, once it is on record.
    """

    request_id: str
    caller: str = ""
    claim: str = ""
    started: float = field(default_factory=time.perf_counter)
    told: list[tuple[Application, Outcome]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Application:
    """One application that fits its model."""

    score_id: str
    asked: ScoreRequest
    served: Served
    purpose: str


@dataclass(slots=True)
class ScoringService:
    """Attributes:
    decider: by the bank's policy; None: there is none.
    """

    shelf: Shelf
    scorer: Scorer
    ledger: Ledger
    metrics: ServiceMetrics
    decider: Decider | None = None
    preparations: Preparations = field(default_factory=Preparations)

    def current(self) -> Offered:
        """What may be sent now, and what answers it."""
        return self.preparations.of(self.shelf.held())

    def prepared(self, held: Held) -> None:
        """Make ready what is about to answer."""
        self.preparations.of(held).prepare()

    def prepare(self) -> None:
        """Make ready what answers now, if anything does, so that the first call does not wait for it."""
        with suppress(LianmoError):
            self.current().prepare()

    def application(self, data: Any, score_id: str) -> Application:
        """Raises ``RequestError``: what was sent is no application, or for a purpose that is not served."""
        offered = self.current()
        try:
            asked = offered.schema.model_validate(data)
        except ValidationError as error:
            raise invalid_request(error.errors(include_url=False, include_context=False, include_input=False)) from None
        purposes = self.scorer.rules.purposes
        purpose = asked.purpose or purposes[0]
        if purpose not in purposes:
            raise RequestError(
                HTTPStatus.FORBIDDEN,
                "purpose_not_served",
                f"Scores are given for these purposes only: {', '.join(purposes)}.",
                f"评分仅用于以下用途：{'、'.join(purposes)}。",
            )
        if self.decider and asked.loan:
            self.decider.check(asked.loan)
        return Application(score_id, asked, self._answering(offered, asked), purpose)

    def _answering(self, offered: Offered, asked: ScoreRequest) -> Served:
        challenger = offered.tried("canary", asked)
        if challenger and sent(asked, challenger.inputs):
            return challenger
        if challenger:
            self.metrics.passed_over("missing_columns")
        return offered.champion

    async def one(self, application: Application, call: Call) -> bytes:
        """The answer to one application, as JSON. Raises ``ServiceError`` if it cannot be put on record."""
        asked, served = application.asked, application.served
        table = table_of([asked], served.inputs)
        (outcome,) = await self.scorer.score(served, table, asked.reasons, application.score_id)
        told = self._told(application, outcome, call)
        body = to_json(told)
        await self._keep([(application, outcome, told["decided"])], [body], body, call)
        return body

    async def many(self, items: Sequence[Application | RequestError], call: Call) -> bytes:
        """The answers to a batch, as JSON, in its order. Raises as ``one``."""
        outcomes: dict[int, Outcome] = {}
        for served, places in _by_model(items):
            group = [item for place in places if isinstance(item := items[place], Application)]
            table = table_of([application.asked for application in group], served.inputs)
            n_reasons = max(application.asked.reasons for application in group)
            question = group[0].score_id.partition(".")[0]
            for place, outcome in zip(places, await self.scorer.score(served, table, n_reasons, question), strict=True):
                outcomes[place] = outcome
        pairs = [(item, outcomes[k]) for k, item in enumerate(items) if isinstance(item, Application)]
        answers = [self._told(application, outcome, call) for application, outcome in pairs]
        rest = iter(answers)
        told = [
            {"index": k, "score": next(rest), "problem": None}
            if isinstance(item, Application)
            else {"index": k, "score": None, "problem": _problem(item)}
            for k, item in enumerate(items)
        ]
        body = to_json(
            {
                "request_id": call.request_id,
                "items": told,
                "n_scored": len(answers),
                "n_problems": len(items) - len(answers),
                "latency_ms": _milliseconds(call),
            }
        )
        made = [(*pair, answer["decided"]) for pair, answer in zip(pairs, answers, strict=True)]
        await self._keep(made, [to_json(answer) for answer in answers], body, call)
        return body

    def _told(self, application: Application, outcome: Outcome, call: Call) -> dict[str, Any]:
        asked, answer, degraded = application.asked, outcome.answer, outcome.degraded
        named, at = outcome.part.told, datetime.now(UTC)
        decided = self._decided(asked, outcome, at)
        self.metrics.answered(outcome.mode, named["alias"], degraded.code if degraded else None)
        return {
            "score_id": application.score_id,
            "request_id": call.request_id,
            "application_id": asked.application_id,
            "mode": outcome.mode,
            "degraded_reason": asdict(degraded) if degraded else None,
            "default_probability": answer.default_probability if answer else None,
            "calibration": outcome.part.calibrated.calibration if answer else None,
            "points": answer.points if answer else None,
            "band": answer.band if answer else None,
            "decision": decided.decision if decided else "refer" if answer is None else None,
            "policy_version": decided.policy_version if decided else None,
            "limit": decided.limit if decided else None,
            "price": decided.rate if decided else None,
            "decided": decided,
            "reasons": [asdict(reason) for reason in answer.reasons[: asked.reasons]] if answer else [],
            "model": named,
            "parties_used": outcome.parties_used,
            "purpose": application.purpose,
            "consent_id": asked.consent_id,
            "scored_at": at,
            "latency_ms": _milliseconds(call),
        }

    def _decided(self, asked: ScoreRequest, outcome: Outcome, at: datetime) -> DecisionAnswer | None:
        if self.decider is None or asked.loan is None:
            return None
        return decision_answer(self.decider(outcome.answer, outcome.mode, asked.loan, at))

    async def _keep(
        self,
        made: Sequence[tuple[Application, Outcome, DecisionAnswer | None]],
        bodies: Sequence[bytes],
        reply: bytes,
        call: Call,
    ) -> None:
        events = [
            event
            for application, outcome, decided in made
            for event in self.ledger.events(
                application.score_id,
                application.asked.applicant_id,
                outcome,
                application.purpose,
                application.asked.consent_id or "",
                decided,
            )
        ]
        kept = [
            Kept(a.score_id, call.caller, b.decode(), _loan(a) if decided else None)
            for (a, _, decided), b in zip(made, bodies, strict=True)
        ]
        await self.ledger.keep(Written(events, kept, [Replied(call.claim, reply.decode())] if call.claim else []))
        call.told.extend((application, outcome) for application, outcome, _ in made)


def read(body: bytes) -> Any:
    """A body as JSON. Raises ``RequestError``: 400 for what is no text or nested too deeply, 422 for no JSON."""
    try:
        return json.loads(body)
    except (UnicodeDecodeError, RecursionError):
        raise RequestError(
            HTTPStatus.BAD_REQUEST, "unreadable", "The body cannot be read.", "无法读取请求体。"
        ) from None
    except ValueError:
        raise invalid_request([{"type": "json_invalid", "loc": ()}]) from None


def items_of(data: Any) -> list[Any]:
    """The applications of a batch. Raises ``RequestError``."""
    items = data.get("applications") if isinstance(data, dict) and set(data) == {"applications"} else None
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        raise RequestError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_request",
            f"The request does not fit: it must have one field, applications: a list of 1 to {MOST_ITEMS:,}.",
            f"请求不符合要求：应只有字段 applications，为 1 至 {MOST_ITEMS:,} 项的列表。",
            fields=["applications"],
        )
    return items


def new_score() -> str:
    return new_name()


def item_name(question: str, index: int) -> str:
    """Number of the score of one application of a batch; hosts know the batch's alone."""
    return f"{question}.{index}"


def _by_model(items: Sequence[Application | RequestError]) -> list[tuple[Served, list[int]]]:
    groups: dict[int, tuple[Served, list[int]]] = {}
    for place, item in enumerate(items):
        if isinstance(item, Application):
            groups.setdefault(id(item.served), (item.served, []))[1].append(place)
    return list(groups.values())


def _loan(application: Application) -> str | None:
    """What was asked for, for the report of the decision."""
    loan = application.asked.loan
    return loan.model_dump_json() if loan else None


def _problem(error: RequestError) -> dict[str, Any]:
    return {
        "code": error.code,
        "detail": error.english,
        "detail_zh": error.chinese,
        "fields": error.details.get("fields", []),
    }


def _milliseconds(call: Call) -> float:
    return (time.perf_counter() - call.started) * 1000
