"""The OpenAPI description of the bank's service: the features of the model being served, examples, all errors."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.responses import Response

from lab.serving.problems import documented
from lab.serving.schemas import BatchAnswer, Readiness, ScoreAnswer, ScoreReason
from lab.serving.service import MOST_ITEMS, ScoringService

_REFERENCE: Final = "#/components/schemas/{model}"
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with the same body gets the same answer; with another body 409. "
    "相同键与相同请求体返回相同结果；请求体不同则返回 409。",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_COMMON: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.CONFLICT,
    HTTPStatus.INTERNAL_SERVER_ERROR,
)
_MODEL: Final = {"name": "loans", "version": "7", "alias": "champion", "digest": "9f2c" * 16}
_DECIDED: Final[dict[str, Any]] = {
    "decision": "approve",
    "policy": "small-enterprise",
    "policy_version": "2026-11",
    "policy_digest": "4f7a" * 16,
    "policy_is_sample": False,
    "decided_by": [{"rule": "band", "text": "Band B is approved.", "text_zh": "等级 B：通过。"}],
    "limit": 500000,
    "rate": 0.058,
    "guarantee_fee": 0.0,
    "review": None,
}
_REFERRED: Final[dict[str, Any]] = {
    "decision": "refer",
    "decided_by": [{"rule": "band", "text": "Band B is decided by a person.", "text_zh": "等级 B：转人工审核。"}],
    "limit": None,
    "rate": None,
    "guarantee_fee": None,
    "review": {
        "role": "credit_officer",
        "text": "credit officer",
        "text_zh": "授信审批岗",
        "why": ["band"],
        "until": "2026-11-29",
    },
}
EXAMPLE: Final[dict[str, Any]] = {
    "score_id": "0b8f5f0e7d6f4c1f9a52d1c3a4b5c6d7",
    "request_id": "loan-desk.42",
    "application_id": "loan-2026-000417",
    "mode": "joint",
    "degraded_reason": None,
    "default_probability": 0.031,
    "calibration": "holdout",
    "points": 612,
    "band": "B",
    "decision": "approve",
    "policy_version": "2026-11",
    "limit": 500000.0,
    "price": 0.058,
    "decided": _DECIDED,
    "reasons": [
        ScoreReason(
            code="host:tax/3", party="host:tax", text="Tax paid late", text_zh="逾期缴税", contribution=0.41
        ).model_dump()
    ],
    "model": _MODEL,
    "parties_used": ["bank", "host:tax", "host:credit"],
    "purpose": "loan_score",
    "consent_id": "consent-88120",
    "scored_at": "2026-11-26T08:00:00Z",
    "latency_ms": 6.8,
}
DEGRADED: Final[dict[str, Any]] = EXAMPLE | {
    "mode": "bank_only",
    "degraded_reason": {
        "code": "party_timeout",
        "parties": ["host:tax"],
        "text": "host:tax: did not answer within 0.25 seconds.",
        "text_zh": "host:tax：未在 0.25 秒内应答。",
    },
    "parties_used": ["bank"],
    "decision": "refer",
    "limit": None,
    "price": None,
    "decided": _DECIDED | _REFERRED,
    "reasons": [],
}


_REPORT: Final[dict[str, Any]] = {
    "description": "What is reported, its digest, the page's, and the bank's signature, for 'lianmo decision verify'.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["body", "digest", "page", "signature"],
                "properties": {
                    "body": {"type": "object"},
                    "digest": {"type": "string"},
                    "page": {"type": "string"},
                    "signature": {"type": "object"},
                },
            }
        },
        "text/html": {"schema": {"type": "string"}},
    },
}


def described(what: str) -> dict[str, Any]:
    """Arguments of a route's decorator: ``score``, ``batch``, ``stored``, ``report``, ``ready``."""
    plain: dict[str, Any] = {"response_class": Response, "response_model": None}
    match what:
        case "score":
            examples = {"joint": {"value": EXAMPLE}, "bank_only": {"value": DEGRADED}}
            answer = {"model": ScoreAnswer, "content": {"application/json": {"examples": examples}}}
            statuses = (*_COMMON, HTTPStatus.FORBIDDEN)
            extra = {"requestBody": _body("ScoreRequest"), "parameters": [_KEY]}
            return plain | {"responses": {200: answer, **documented(*statuses)}, "openapi_extra": extra}
        case "batch":
            extra = {"requestBody": _body("BatchRequest"), "parameters": [_KEY]}
            return plain | {"responses": {200: {"model": BatchAnswer}, **documented(*_COMMON)}, "openapi_extra": extra}
        case "stored":
            problems = documented(HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR)
            return plain | {"responses": {200: {"model": ScoreAnswer}, **problems}}
        case "report":
            problems = documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.INTERNAL_SERVER_ERROR)
            return plain | {"responses": {200: _REPORT, **problems}}
    ready = {200: {"model": Readiness}, 503: {"model": Readiness, "description": "No applications are answered."}}
    return plain | {"responses": ready}


def describe(app: FastAPI, service: ScoringService) -> None:
    """Let ``app`` describe itself as of the models being served and tried at that moment."""

    def openapi() -> dict[str, Any]:
        offered = service.current()
        version = offered.champion.joint.told["version"]
        told = get_openapi(title=app.title, version=version, routes=app.routes)
        _, found = models_json_schema([(offered.schema, "validation")], ref_template=_REFERENCE)
        schemas = told["components"]["schemas"]
        schemas |= found["$defs"]
        if service.decider:  # which products there are is the policy's to say
            schemas["Loan"]["properties"]["product"]["enum"] = [p.code for p in service.decider.policy.products]
        schemas["BatchRequest"] = {
            "type": "object",
            "required": ["applications"],
            "additionalProperties": False,
            "properties": {
                "applications": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": MOST_ITEMS,
                    "items": {"description": "A ScoreRequest; checked one by one."},
                }
            },
        }
        return told

    app.openapi = openapi  # type: ignore[method-assign]


def _body(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REFERENCE.format(model=schema)}}}
    return {"required": True, "content": content}
