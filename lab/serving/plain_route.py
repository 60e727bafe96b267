"""Routes that the framework has nothing to do for: the function takes the request and returns the response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PlainRoute(APIRoute):
    """In the OpenAPI description like any other. Nothing is resolved, validated or serialised for it, which costs more
    than scoring by a small model; errors are answered by the application's handlers."""

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **given: Any) -> None:
        super().__init__(path, endpoint, **given)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

        self.app = answer
