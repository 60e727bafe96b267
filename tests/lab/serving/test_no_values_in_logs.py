"""No value of an applicant, no identifier and no credential in any log, whatever goes wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from federation.errors import Refused, RemoteProtocolError, TransportError
from federation.transports.http import HttpWire
from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.guest_api import MAX_BODY_BYTES
from lab.serving.host_api import create_host_app
from lab.serving.server import running
from tests.lab.serving.conftest import TAX, World, ask

#: Each stands in one place of a request; numbers as they are printed.
VALUES = ("sentinel-applicant", "sentinel-application", "7719.0625", "-8829.5", "sentinel-职业", "sentinel-extra")
PATH, QUERY, HEADER = "sentinel-path", "sentinel-query", "sentinel-header"


class Failing:
    """A wire on which everything goes wrong in one way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
        raise self._error


ERRORS = (
    TransportError(TAX, "party_timeout", "did not answer.", "未答复。"),
    TransportError(TAX, "party_failed", "failed.", "失败。"),
    RemoteProtocolError(TAX, "unexpected", "sent what does not fit.", "答复不符。"),
    Refused(TAX, "no_consent"),
    Refused(TAX, VALUES[0]),
    ValueError(" ".join(VALUES)),
    KeyError(VALUES[0]),
    OSError(VALUES[1]),
)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every record when all is turned on at the root. Libraries may have a level of their own: SQLAlchemy tells rows at
    its DEBUG, uvicorn paths at its TRACE, which whoever turns them on must want."""
    caplog.set_level(logging.DEBUG)
    for name in logging.root.manager.loggerDict:
        if name.startswith("lianmo"):
            caplog.set_level(logging.DEBUG, name)
    return caplog


def bodies(world: World) -> list[bytes]:
    """A request that fits, and its kin that do not in many ways."""
    fits: dict[str, Any] = {
        "applicant_id": VALUES[0],
        "application_id": VALUES[1],
        "features": {"Amount": 7719.0625, "Price": -8829.5, "职业": VALUES[4]},
        "reasons": 3,
    }
    features = fits["features"]
    known = world.table.ids[3]
    told: list[Any] = [
        fits,
        fits | {"applicant_id": known},
        fits | {"extra": VALUES[5]},
        fits | {"applicant_id": [VALUES[0]]},
        fits | {"reasons": VALUES[5]},
        fits | {"features": features | {"Amount": "7719.0625", VALUES[5]: 1}},
        fits | {"features": features | {"职业": -8829.5}},
        fits | {"features": VALUES[5]},
        [fits],
        VALUES[0],
    ]
    whole = [json.dumps(body).encode() for body in told]
    return [
        *whole,
        whole[0][:-9],
        whole[0] + whole[0],
        b"\xff" + whole[0],
        VALUES[0].encode(),
        whole[0] + b" " * MAX_BODY_BYTES,
    ]


def shown(record: logging.LogRecord) -> str:
    """All that a record could print."""
    formatted = logging.Formatter("%(message)s %(name)s %(pathname)s").format(record)
    return formatted + repr(record.args) + repr({k: v for k, v in vars(record).items() if k not in ("args", "msg")})


def ask_everything(app: FastAPI, world: World, key: str) -> set[int]:
    statuses = set()
    for body in bodies(world):
        for headers in ({"x-api-key": key}, {"x-api-key": HEADER}, {"authorization": f"Bearer {HEADER}"}, {}):
            for more in ({}, {"content-type": "text/plain"}, {"idempotency-key": HEADER}, {"idempotency-key": HEADER}):
                sent = {"content-type": "application/json", **headers, **more}
                told = ask(app, "POST", "/v1/scores", content=body, headers=sent)
                statuses.add(told.status_code)
                if told.status_code == 200:  # asked for again, where the service keeps its answers
                    ask(app, "GET", f"/v1/scores/{told.json()['score_id']}", headers={"x-api-key": key})
    for path in (
        f"/{PATH}",
        f"/v1/scores/{PATH}",
        f"/v1/models/current?{QUERY}={VALUES[0]}",
        f"/v1/scores\n{PATH}",
        "/healthz",
    ):
        for method in ("GET", "POST", "DELETE"):
            request = {"headers": {"x-api-key": key, "x-request-id": f"{HEADER} 1", "user-agent": HEADER}}
            statuses.add(ask(app, method, path.replace("\n", "%0A"), **request).status_code)
    return statuses


def assert_silent(logged: pytest.LogCaptureFixture, key: str, applicant: str) -> None:
    secret = key.split("_", 2)[2]
    assert logged.records
    for record in logged.records:
        if record.name.startswith(("httpx", "httpcore", "asyncio")):  # the asking side of these tests
            continue
        text = shown(record)
        for value in (*VALUES, PATH, QUERY, HEADER, secret, applicant):
            assert value not in text, (record.name, record.getMessage())


def guarded(folder: Path) -> tuple[FolderGuard, str]:
    folder.mkdir(mode=0o700)
    (folder / "access.toml").write_text(
        "[wrong_credentials]\nburst = 1000000\n"
        '[limits]\nper_second = 1e6\nburst = 1000000\n[limits.callers."key:slow"]\nburst = 1\n'
    )
    return FolderGuard(folder), KeyBook(folder).add("desk", ["score", "models", "read", "admin"], 1.0)[1]


@pytest.mark.parametrize("error", [None, *ERRORS], ids=lambda e: type(e).__name__ + getattr(e, "code", ""))
def test_the_banks_service_logs_no_value(
    world: World, tmp_path: Path, logged: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    guard, key = guarded(tmp_path / "access")
    wire = Failing(error) if error else world.memory_wire()
    app = world.app(guard, wire)
    statuses = ask_everything(app, world, key)
    assert {401, 404, 405, 413, 415, 422} <= statuses
    assert_silent(logged, key, world.table.ids[3])


def test_nor_do_the_services_over_real_connections(
    world: World, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    guard, key = guarded(tmp_path / "access")
    with running(create_host_app(world.endpoint(TAX))) as tax, HttpWire(dict.fromkeys(world.hosts, tax)) as wire:
        app = world.app(guard, wire)
        with running(app) as url, httpx.Client(base_url=url, trust_env=False) as session:
            for body in bodies(world):
                for path in ("/v1/scores", f"/v1/{PATH}"):
                    headers = {"x-api-key": key, "content-type": "application/json"}
                    session.post(path, content=body, headers=headers)
            for raw in (b"GET /%s HTTP/9\r\n\r\n" % PATH.encode(), b"\x00\xff" + HEADER.encode() + b"\r\n\r\n"):
                broken(url, raw)
    assert_silent(logged, key, world.table.ids[3])


def broken(url: str, raw: bytes) -> None:
    """Bytes that are no HTTP."""
    import socket

    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(raw)
        assert connection.recv(1000).startswith(b"HTTP/1.1 400")
