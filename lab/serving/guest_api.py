"""The bank's scoring service: one application in, one joint score out."""

# Annotations are evaluated here, not deferred: the request's type is made from the model being served.

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from federation.script import Wire
from lab.governance.admission import PURPOSES
from lab.governance.scoring_record import ScoringRecord
from lab.serving.access.description import describe_access
from lab.serving.access.guard import Guard
from lab.serving.answers import Answer, Unknown
from lab.serving.batch import new_name, score_table
from lab.serving.gate import Gate
from lab.serving.problems import RequestError, answer_problems, documented, problem
from lab.serving.schemas import (
    CurrentModel,
    ScoreAnswer,
    ScoreReason,
    ScoreRequest,
    ServedModel,
    features_of,
    invalid_request,
    request_schema,
    table_of,
)
from models.bundle import JointModel
from models.errors import LianmoError
from models.joint import Joint
from models.reasons import Words

MAX_BODY_BYTES: Final = 1024 * 1024


def create_guest_app(
    model: Joint,
    wire: Wire,
    *,
    name: str,
    version: str,
    alias: str | None = None,
    words: Mapping[str, Words] | None = None,
    record: ScoringRecord | None = None,
    guard: Guard | None = None,
) -> FastAPI:
    """``POST /v1/scores``, ``GET /v1/models/current`` and ``GET /healthz``.

    Args:
        wire: open, and safe to use from several threads; ``HttpWire`` is.
        name, version, alias: of the model in the registry, as told in answers.
        words: the bank's column → English and Chinese for it, for reasons.
        record: the bank's own: every score is there before it is told; none: the bank keeps no log.
        guard: who may call; none: whoever can connect.
    """
    bins = model.inputs
    served = ServedModel(name=name, version=version, model_id=model.model_id, digest=model.digest())
    parties = [model.party, *model.needed_hosts]
    current = CurrentModel(
        **served.model_dump(),
        alias=alias,
        kind="trees" if isinstance(model, JointModel) else "scorecard",
        n_trees=len(model.trees) if isinstance(model, JointModel) else None,
        parties=parties,
        features=features_of(bins),
    )
    schema = request_schema(bins)
    app = FastAPI(
        title="Lianmo joint scoring 联模联合评分",
        version=version,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(Gate, body_type="application/json", max_bytes=MAX_BODY_BYTES, guard=guard)
    answer_problems(app)
    app.add_exception_handler(RequestValidationError, _on_invalid)

    def score_one(application: ScoreRequest, score_id: str) -> Answer:
        table = table_of(application, bins)

        def note(question: str, applicants: Sequence[str]) -> None:
            if record and applicants:
                record.answered(question, applicants, version=version)

        try:
            (result,) = score_table(model, table, wire, application.reasons, words, note, lambda: score_id)
            if isinstance(result, Unknown):
                raise _unknown_applicant(result)
        except LianmoError as error:
            if record:
                record.refused(error, score_id, table.ids)
            raise
        return result

    @app.post(
        "/v1/scores",
        responses=documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.NOT_FOUND,
            HTTPStatus.REQUEST_TIMEOUT,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.BAD_GATEWAY,
            HTTPStatus.GATEWAY_TIMEOUT,
        ),
    )
    async def post_scores(application: schema, request: Request) -> ScoreAnswer:  # type: ignore[valid-type]
        """Score one application with the features of all parties. 以各方特征为一笔申请评分。"""
        started = time.perf_counter()
        request.state.visit.caller.need_purpose(PURPOSES["scoring"])
        score_id = new_name()
        answer = await run_in_threadpool(score_one, application, score_id)
        return ScoreAnswer(
            score_id=score_id,
            request_id=request.state.request_id,
            application_id=application.application_id,  # type: ignore[attr-defined]
            default_probability=answer.default_probability,
            points=answer.points,
            band=answer.band,
            reasons=[ScoreReason(**asdict(reason)) for reason in answer.reasons],
            model=served,
            parties_used=parties,
            scored_at=datetime.now(UTC),
            latency_ms=(time.perf_counter() - started) * 1000,
        )

    @app.get("/v1/models/current")
    async def get_current_model() -> CurrentModel:
        """The model being served, and the features to send. 当前服务的模型及所需特征。"""
        return current

    @app.get("/healthz")
    async def get_health() -> dict[str, str]:
        """Whether the service is up; says nothing of the other parties. 服务是否运行，不代表其他参与方。"""
        return {"status": "ok"}

    if guard:
        describe_access(app)
    return app


def _unknown_applicant(unknown: Unknown) -> RequestError:
    return RequestError(
        HTTPStatus.NOT_FOUND,
        "unknown_applicant",
        f"No joint score: the applicant is not known to {', '.join(unknown.parties)}.",
        f"无法给出联合评分：{'、'.join(unknown.parties)} 未持有该申请人。",
        parties=list(unknown.parties),
    )


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem(invalid_request(error.errors()), request.state.request_id)
