"""A data node's scoring service: frames of the scoring and publishing protocols in, frames out, nothing
else."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from federation.endpoint import Endpoint
from federation.transports.http import FRAME_TYPE, PATH
from federation.vertical.publishing.host import ALLOWED as PUBLISHING
from federation.vertical.scoring.host import ALLOWED as SCORING
from lab.serving.access.guard import Guard
from lab.serving.access.watched import Watched
from lab.serving.bank_certificate import need_bank
from lab.serving.gate import Gate
from lab.serving.problems import answer_problems

#: Far above a batch of ``batch.ROWS_PER_MESSAGE`` applicants, far below what could exhaust memory.
MAX_BODY_BYTES: Final = 16 * 1024 * 1024


def create_host_app(
    endpoint: Endpoint,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    read_seconds: float = 30.0,
    guard: Guard | None = None,
    bank_keys: Watched[frozenset[bytes]] | None = None,
) -> FastAPI:
    """``POST /v1/messages`` and ``GET /healthz`` over ``endpoint``; whatever it allows, only scoring and publishing are
    answered.

    The endpoint's responder must bear calls from several threads; ``ScoringHost`` does. Who may call is for TLS and
    the guard to settle: who shows a certificate must be ``endpoint.guest`` by its common name, and whoever is let in
    speaks as it.

    Args:
        guard: who may call; none: whoever can connect.
        bank_keys: digests of the public keys of ``endpoint.guest``; with them only a certificate of one of these is the
            bank's, and nobody speaks as it without. None: every certificate of its name is.
        max_body_bytes, read_seconds: a request that is larger, or slower to arrive, is refused.
    """
    door = replace(endpoint, allowed=(*SCORING, *PUBLISHING))
    app = FastAPI(title="Lianmo data node 联模数据节点", openapi_url=None, redirect_slashes=False)
    app.add_middleware(Gate, body_type=FRAME_TYPE, max_bytes=max_body_bytes, read_seconds=read_seconds, guard=guard)
    answer_problems(app)

    @app.post(PATH)
    async def post_messages(request: Request) -> Response:
        need_bank(request.scope, door.guest, bank_keys.content() if bank_keys else None)
        reply, _ = await run_in_threadpool(door.answer, await request.body())
        return Response(reply, media_type=FRAME_TYPE)

    @app.get("/healthz")
    async def get_health() -> dict[str, str]:
        return {"status": "ok"}

    return app
