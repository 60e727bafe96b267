"""What OpenAPI says of who may call: three ways to be known, the scope of each operation, and its refusals."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI

from lab.serving.access.guard import API_KEY
from lab.serving.access.paths import needed
from lab.serving.problems import documented

_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": API_KEY.title(),
        "description": "Made by the service's operator. 由服务运营方签发的密钥。",
    },
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "RFC 9068, from the bank's authorisation server. 由银行授权服务器签发的访问令牌。",
    },
    "certificate": {"type": "mutualTLS", "description": "RFC 8705. 双向 TLS 证书。"},
}
_REFUSALS: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
)


def describe_access(app: FastAPI) -> None:
    """Let the description of a guarded ``app`` say so, for all its operations; called once it describes the rest."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        schema = plain()
        schema.setdefault("components", {})["securitySchemes"] = _SCHEMES
        for path, operations in schema["paths"].items():
            for method, operation in operations.items():
                _describe(operation, needed(method.upper(), path))
        return schema

    app.openapi = described  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], right: str | None) -> None:
    if right is None:
        operation["security"] = []
        return
    operation["security"] = [{scheme: [right]} for scheme in _SCHEMES]
    for status, told in documented(*_REFUSALS).items():
        operation["responses"].setdefault(str(status), told)
