"""What every request of our services passes first: an id, a guard, a bounded body, a net for our own bugs."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import traceback
from http import HTTPMethod, HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.serving.access.guard import Guard, NoGuard
from lab.serving.batch import new_name
from lab.serving.problems import RequestError, internal_error, problem

log = logging.getLogger("lianmo.serving")

REQUEST_ID: Final = "x-request-id"
_METHODS: Final = {method.value: method.value for method in HTTPMethod}
_REQUEST_ID_FORM: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class Gate:
    """ASGI middleware. Logs method, route, status, time, caller and request id of each call, nothing of its content.

    Args:
        guard: asked before anything of the body is read; what it yields is the request's ``state.visit``, the name of
            its caller ``state.caller``; the body is its ``state.body``.
        body_type: the media type a POST must have.
        max_bytes: a larger body is refused, by its announced length or while it is read.
        read_seconds: longest wait for the whole body.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_type: str,
        max_bytes: int,
        read_seconds: float = 30.0,
        guard: Guard | None = None,
    ) -> None:
        self._app = app
        self._guard = guard or NoGuard()
        self._body_type = body_type
        self._max_bytes = max_bytes
        self._read_seconds = read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        state = scope.setdefault("state", {})
        state["request_id"], state["caller"] = request_id, ""
        status = 0

        async def tell(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = {REQUEST_ID: request_id, **(state["visit"].headers if "visit" in state else {})}
                ours = ((name.lower().encode(), value.encode()) for name, value in told.items())
                message["headers"] = [*message.get("headers", ()), *ours]
            await send(message)

        try:
            with self._guard.visit(scope, headers) as visit:
                state["visit"], state["caller"] = visit, visit.caller.name
                body = state["body"] = await self._body(scope["method"], headers, receive)
                await self._app(scope, _replaying(body, receive), tell)
        except RequestError as error:
            await problem(error, request_id)(scope, receive, tell)
        except Exception as error:
            where = "".join(traceback.format_tb(error.__traceback__))  # the text of the error may hold values
            log.error("internal error %s request=%s\n%s", type(error).__name__, request_id, where)
            if not status:
                await problem(internal_error(), request_id)(scope, receive, tell)
        spent = (time.perf_counter() - started) * 1000
        # The route, not the path: what a caller writes there may be a value, or a line of a log.
        route = getattr(scope.get("route"), "path", "(not routed)")
        line = "%s %s %d %.1f ms caller=%s request=%s"
        log.info(line, _METHODS.get(scope["method"], "?"), route, status, spent, state["caller"] or "?", request_id)

    async def _body(self, method: str, headers: Headers, receive: Receive) -> bytes:
        announced = headers.get("content-length", "")
        has_body = "transfer-encoding" in headers or announced not in ("", "0")
        media_type = headers.get("content-type", "").split(";")[0].strip().lower()
        if method == "POST" and has_body and media_type != self._body_type:
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "wrong_media_type",
                f"The body must be {self._body_type}.",
                f"请求体类型应为 {self._body_type}。",
            )
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._read_seconds):
                return await self._read(receive)
        except TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                "request_timeout",
                f"The body did not arrive within {self._read_seconds:g} seconds.",
                f"请求体未在 {self._read_seconds:g} 秒内到达。",
            ) from None

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError(
                    HTTPStatus.BAD_REQUEST, "incomplete", "The body ended before its length.", "请求体不完整。"
                )
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                raise self._too_large()
        return bytes(body)

    def _too_large(self) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too_large",
            f"The body is over the limit of {self._max_bytes:,} bytes.",
            f"请求体超过 {self._max_bytes:,} 字节上限。",
        )


def _request_id(headers: Headers) -> str:
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID_FORM.fullmatch(given) else new_name()


def _replaying(body: bytes, receive: Receive) -> Receive:
    """``receive`` with the body that was already read in front of it."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay
