"""The bank's scoring service over HTTP: an application in, an answer out, whatever the other parties do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from federation.script import AsyncWire
from lab.decision.report import Report
from lab.governance.scoring_record import ScoringRecord
from lab.serving.access.caller import Caller
from lab.serving.access.description import describe_access
from lab.serving.access.guard import Guard, Visit
from lab.serving.decision_reports import DecisionReports, ReportKey
from lab.serving.decisions import Decider
from lab.serving.gate import Gate
from lab.serving.guest_openapi import describe, described
from lab.serving.idempotency import HEADER, REPLAYED, Once
from lab.serving.ledger import Ledger
from lab.serving.loaded import Shelf
from lab.serving.metrics import ServiceMetrics, ShadowMetrics
from lab.serving.plain_route import PlainRoute
from lab.serving.problems import RequestError, answer_problems
from lab.serving.publishing.shadow import ShadowBook
from lab.serving.publishing.shelf import FollowingShelf
from lab.serving.readiness import readiness
from lab.serving.rules import ServiceRules
from lab.serving.schemas import CurrentModel
from lab.serving.scorer import Outcome, Scorer
from lab.serving.service import Application, Call, ScoringService, item_name, items_of, new_score, read
from lab.serving.shadows import Shadows
from lab.serving.store import AnswerStore, Kept

#: A batch of 1,000 applications with some forty features each.
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_JSON: Final = "application/json"
_PAGE: Final = "text/html"
_BY_ACCEPT: Final = {"vary": "accept"}
#: The page needs nothing from anywhere, and obeys nothing that an applicant's number could smuggle in.
_PAGE_HEADERS: Final = {**_BY_ACCEPT, "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def create_guest_app(
    shelf: Shelf,
    wire: AsyncWire,
    *,
    rules: ServiceRules | None = None,
    decider: Decider | None = None,
    record: ScoringRecord | None = None,
    store: AnswerStore | None = None,
    guard: Guard | None = None,
    report_key: ReportKey | None = None,
) -> FastAPI:
    """``POST /v1/scores`` and ``/v1/scores:batch``, ``GET /v1/scores/{id}`` and ``/v1/scores/{id}/report``,
    ``/v1/models/current``, ``/healthz``, ``/readyz``, ``/metrics``.

    A caller sees the scores that it asked for and no others.

    Args:
        wire: if it must be entered (``AsyncHttpWire``), the application does so where it runs.
        decider: by the bank's policy; none: applications are scored and not decided.
        record: the bank's own: every score is there before it is told; none: the bank keeps no log.
        store: of answers and of calls that must not be done twice; none: in memory, for one worker.
        guard: who may call; none: whoever can connect.
        report_key: the bank's, for reports of decisions; none: it makes none.
    """
    rules = rules or ServiceRules()
    metrics = ServiceMetrics()
    answers = store or AnswerStore.open()
    scorer = Scorer(wire, rules, metrics)
    ledger = Ledger(answers, record)
    service = ScoringService(shelf, scorer, ledger, metrics, decider)
    shadows = _shadows(service, wire, rules)
    reports = DecisionReports(decider.policy if decider else None, report_key, rules.names)
    once = Once(answers, timedelta(seconds=rules.idempotency_seconds))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if isinstance(wire, AbstractAsyncContextManager):
                await stack.enter_async_context(wire)
            if isinstance(shelf, FollowingShelf):
                shelf.ready = service.prepared
                stack.enter_context(shelf.following())
            await run_in_threadpool(service.prepare)
            await run_in_threadpool(answers.purge, timedelta(days=rules.keep_days), once.keep_for)
            stack.callback(ledger.close)
            if shadows:
                stack.push_async_callback(shadows.close)
            yield

    app = FastAPI(
        title="Lianmo joint scoring 联模联合评分",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.add_middleware(Gate, body_type=_JSON, max_bytes=MAX_BODY_BYTES, guard=guard)
    answer_problems(app)

    async def post_scores(request: Request) -> Response:
        """Score one application with the features of all parties; if they cannot all be asked, the answer says so and
        how it was made instead. 以各方特征为一笔申请评分；如无法取得全部各方的应答，结果会注明原因及替代方式。"""
        started = time.perf_counter()
        body: bytes = request.state.body
        application = service.application(read(body), new_score())
        request.state.visit.caller.need_purpose(application.purpose)
        made = partial(service.one, application)
        return await _replied(request, body, started, "score", made)

    async def post_batch(request: Request) -> Response:
        """Score up to 1,000 applications; those that do not fit are told so one by one. 批量评分，最多 1000 笔。"""
        started = time.perf_counter()
        body: bytes = request.state.body
        items = items_of(read(body))
        visit: Visit = request.state.visit
        visit.charge(len(items) - 1)
        made = partial(service.many, await run_in_threadpool(_each, items, visit.caller))
        return await _replied(request, body, started, "batch", made)

    def _each(items: list[Any], caller: Caller) -> list[Application | RequestError]:
        name = new_score()
        found: list[Application | RequestError] = []
        for index, item in enumerate(items):
            try:
                application = service.application(item, item_name(name, index))
                caller.need_purpose(application.purpose)
                found.append(application)
            except RequestError as error:
                found.append(error)
        return found

    async def _replied(request: Request, body: bytes, started: float, kind: str, made: Any) -> Response:
        caller: str = request.state.visit.caller.name

        told: list[tuple[Application, Outcome]] = []  # of a call that is repeated nothing

        async def work(claim: str) -> bytes:
            call = Call(request.state.request_id, caller, claim, started, told)
            reply: bytes = await made(call)
            return reply

        headers = {}
        if (key := request.headers.get(HEADER)) is None:
            reply = await work("")
        else:
            reply, again = await once.reply(key, caller, request.scope["path"], body, work)
            headers = {REPLAYED: "true"} if again else {}
        metrics.took(kind, time.perf_counter() - started)
        # Run once the answer has gone out.
        after = BackgroundTask(shadows.offer, told) if shadows else None
        return Response(reply, media_type=_JSON, headers=headers, background=after)

    post = partial(app.router.add_api_route, methods=["POST"], route_class_override=PlainRoute)
    post("/v1/scores", post_scores, **described("score"))
    post("/v1/scores:batch", post_batch, **described("batch"))

    @app.get("/v1/scores/{score_id}", **described("stored"))
    async def get_score(score_id: str, request: Request) -> Response:
        """An answer as it was told; nothing is scored anew. 按编号查询已给出的评分结果，不重新评分。"""
        kept = await run_in_threadpool(found, score_id, request)
        return Response(kept.body, media_type=_JSON)

    @app.get("/v1/scores/{score_id}/report", **described("report"))
    async def get_report(score_id: str, request: Request) -> Response:
        """The report of a decision for the applicant, signed by the bank: JSON, or the page that belongs to it for who
        accepts text/html. 决策报告（银行签名）：JSON，或（Accept: text/html）与之对应的页面。"""

        def made() -> Report:
            return reports.made(found(score_id, request), partial(answers.reported, score_id))

        report = await run_in_threadpool(made)
        if _PAGE in request.headers.get("accept", ""):
            return Response(report.page, media_type=_PAGE, headers=_PAGE_HEADERS)
        return Response(report.data, media_type=_JSON, headers=_BY_ACCEPT)

    def found(score_id: str, request: Request) -> Kept:
        kept = answers.find(score_id, request.state.visit.caller.name)
        if kept is None:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                "unknown_score",
                "No score of this number is kept for you. Was it another service, or too long ago?",
                "未找到该编号的评分结果：可能由其他服务给出，或已超过保存期限。",
            )
        return kept

    @app.get("/v1/models/current")
    async def get_current_model() -> CurrentModel:
        """The model being served, and the features to send. 当前服务的模型及所需特征。"""
        return service.current().current

    @app.get("/healthz")
    async def get_health() -> dict[str, str]:
        """Whether the service is up; says nothing of the other parties. 服务是否运行，不代表其他参与方。"""
        return {"status": "ok"}

    @app.get("/readyz", **described("ready"))
    async def get_readiness() -> Response:
        """Whether applications are answered, and by whom. 服务能否给出评分，以及各方是否可达。"""
        found = await readiness(service, answers)
        status = HTTPStatus.SERVICE_UNAVAILABLE if found.status == "unready" else HTTPStatus.OK
        return Response(found.model_dump_json(), status, media_type=_JSON)

    @app.get("/metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        return Response(await run_in_threadpool(metrics.text), media_type="text/plain; version=0.0.4; charset=utf-8")

    app.state.service = service
    describe(app, service)
    if guard:
        describe_access(app)
    return app


def _shadows(service: ScoringService, wire: AsyncWire, rules: ServiceRules) -> Shadows | None:
    """What asks a model on trial; None of a shelf on which there never is one."""
    shelf = service.shelf
    if not isinstance(shelf, FollowingShelf):
        return None
    metrics = ShadowMetrics(service.metrics.registry)
    scorer = Scorer(wire, rules, metrics, shadow=True)
    book = ShadowBook(shelf.folder)
    return Shadows(shelf, scorer, metrics, service.ledger, book, rules.shadow_waiting, service.preparations)
