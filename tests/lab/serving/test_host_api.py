"""Hostile callers of a data node's service."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from federation.codec import decode, encode
from federation.messages import Failure
from federation.transports.http import FRAME_TYPE
from federation.vertical.scoring.messages import BlindedApplicants, Wanted
from lab.serving.host_api import create_host_app
from lab.serving.server import running
from tests.lab.serving.conftest import TAX, Service, World, ask, problem_of

HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/octet-stream\r\n"


def connection(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=5)


@pytest.fixture
def app(world: World) -> FastAPI:
    return create_host_app(world.endpoint(TAX), max_body_bytes=4096)


def send(app: FastAPI, content: Any, media: str = FRAME_TYPE) -> httpx.Response:
    return ask(app, "POST", "/v1/messages", content=content, headers={"content-type": media})


def refusal(response: httpx.Response) -> str:
    """The code of the failure a frame was answered with."""
    assert (response.status_code, response.headers["content-type"]) == (200, FRAME_TYPE)
    reply = decode(response.content, TAX)
    assert isinstance(reply, Failure)
    return reply.code


def test_random_bytes_are_answered_with_a_code(app: FastAPI) -> None:
    chance = random.Random(3)
    for size in (0, 1, 2, 3, 10, 100, 4096):
        for _ in range(5):
            reply = send(app, chance.randbytes(size))
            assert refusal(reply) == "unreadable"


def test_damaged_messages_are_answered_with_a_code(app: FastAPI, world: World) -> None:
    good = encode(
        Wanted(
            model="trees",
            model_id="loans-7",
            digest=world.model.host_digests[TAX],
            tokens=bytes(32),
            key_id=world.hosts[TAX]._key_id,
            reasons=False,
            request="q-1",
            shadow=False,
        )
    )
    chance = random.Random(4)
    for _ in range(100):
        damaged = bytearray(good)
        damaged[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        response = send(app, bytes(damaged))
        assert response.status_code == 200
        assert response.headers["content-type"] == FRAME_TYPE
        decode(response.content, TAX)


@pytest.mark.parametrize(
    ("points", "code"), [(bytes(32), "bad_point"), (b"\xff" * 32, "bad_point"), (bytes(31), "bad_value")]
)
def test_false_points_are_refused(app: FastAPI, points: bytes, code: str) -> None:
    frame = encode(BlindedApplicants(points=points))
    assert refusal(send(app, frame)) == code


@pytest.mark.parametrize("media", ["application/json", "", "application/octet-streams", "text/plain; charset=utf-8"])
def test_other_media_types_are_refused(app: FastAPI, media: str) -> None:
    problem_of(send(app, b"x", media), 415, "wrong_media_type")


def test_bodies_over_the_limit_are_refused_while_they_are_read(app: FastAPI) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(1024)

    problem_of(send(app, bytes(4097)), 413, "too_large")
    problem_of(send(app, endless()), 413, "too_large")
    assert taken < 1000


def test_a_claimed_length_of_100_megabytes_is_refused_at_once(service: Service) -> None:
    with connection(service.host_urls[TAX]) as line:
        line.sendall(HEAD + b"content-length: 100000000\r\n\r\nabc")
        assert line.recv(1024).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_never_ends_is_refused_in_time(world: World) -> None:
    app = create_host_app(world.endpoint(TAX), read_seconds=0.1)
    with running(app) as url, connection(url) as line:
        line.sendall(HEAD + b"content-length: 100\r\n\r\nabc")
        assert line.recv(1024).startswith(b"HTTP/1.1 408 ")


def test_it_is_well_and_says_nothing_else(app: FastAPI) -> None:
    assert ask(app, "GET", "/healthz").json() == {"status": "ok"}
    for path in ("/docs", "/openapi.json", "/v1/scores"):
        problem_of(ask(app, "GET", path), 404, "not_found")
    problem_of(ask(app, "GET", "/v1/messages"), 405, "method_not_allowed")
