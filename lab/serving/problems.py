"""Errors as HTTP answers: RFC 9457 ``application/problem+json``, with the detail in English and in Chinese."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from federation.errors import CipherError, Refused, RemoteProtocolError, TransportError
from lab.errors import ServiceError
from models.errors import LianmoError

log = logging.getLogger("lianmo.serving")

PROBLEM_TYPE: Final = "application/problem+json"


class Problem(BaseModel):
    """What every error looks like; some carry more, such as ``party`` or ``fields``."""

    type: str
    title: str
    status: int
    detail: str
    detail_zh: str
    code: str
    request_id: str


class RequestError(ServiceError):
    """A request that is answered with an error of its own.

    Args:
        status: HTTP status.
        headers: further fields of the answer's head.
        details: further members of the answer; names and counts, never values.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        english: str,
        chinese: str,
        *,
        headers: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(code, english, chinese)
        self.status = status
        self.headers = headers or {}
        self.details = details


def problem(error: LianmoError, request_id: str) -> JSONResponse:
    """The answer for ``error``."""
    status = _status(error)
    details, headers = (error.details, error.headers) if isinstance(error, RequestError) else ({}, None)
    if isinstance(error, Refused | RemoteProtocolError | TransportError):
        details = {"party": error.party}
    body = {
        "type": f"urn:lianmo:problem:{error.code}",
        "title": error.code.replace("_", " ").capitalize(),
        "status": int(status),
        "detail": error.english,
        "detail_zh": error.chinese,
        "code": error.code,
        "request_id": request_id,
        **details,
    }
    return JSONResponse(body, status, headers, media_type=PROBLEM_TYPE)


def internal_error() -> RequestError:
    """A bug of ours, whose text stays at home: it may hold values."""
    return RequestError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The service met an error of its own; its log says which, under the request id.",
        "服务发生内部错误，可凭请求编号在其日志中查找原因。",
    )


def answer_problems(app: FastAPI) -> None:
    """Let ``app`` answer every ``LianmoError``, and what the framework itself refuses, as a problem."""
    app.add_exception_handler(LianmoError, _on_error)
    app.add_exception_handler(HTTPException, _on_refusal)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """These statuses in the OpenAPI description."""
    content = {PROBLEM_TYPE: {"schema": Problem.model_json_schema()}}
    return {int(s): {"description": s.phrase, "content": content} for s in statuses}


def _status(error: LianmoError) -> HTTPStatus:
    match error:
        case RequestError():
            return error.status
        case Refused() if error.code == "unknown_model":
            return HTTPStatus.CONFLICT
        case TransportError() if error.code == "party_timeout":
            return HTTPStatus.GATEWAY_TIMEOUT
        case Refused() | RemoteProtocolError() | TransportError() | CipherError():
            return HTTPStatus.BAD_GATEWAY
    return HTTPStatus.INTERNAL_SERVER_ERROR


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LianmoError)
    request_id = request.state.request_id
    if _status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s: %s request=%s", error.code, error, request_id)
    return problem(error, request_id)


_REFUSALS: Final = {
    HTTPStatus.BAD_REQUEST: ("unreadable", "The body cannot be read.", "无法读取请求体。"),
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this path.", "该路径不存在。"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "method_not_allowed",
        "This path does not answer this method.",
        "该路径不支持此请求方法。",
    ),
}


async def _on_refusal(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    refusal = _REFUSALS.get(HTTPStatus(error.status_code))
    told = RequestError(HTTPStatus(error.status_code), *refusal, headers=error.headers) if refusal else internal_error()
    return problem(told, request.state.request_id)
