"""``HttpWire`` against services that behave and services that do not."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from federation.codec import encode
from federation.endpoint import Endpoint
from federation.errors import LocalProtocolError, TransportError
from federation.messages import Goodbye, Message
from federation.transports.http import HttpWire
from federation.vertical.scoring.messages import BlindedApplicants
from lab.serving.host_api import create_host_app
from lab.serving.server import running

ASKED = encode(BlindedApplicants(points=b""))


@dataclass
class Meeting:
    """A responder that answers only once another is asked as well."""

    barrier: threading.Barrier

    def answer(self, request: Message) -> Message:
        self.barrier.wait(timeout=10)
        return Goodbye(code="met")


def test_parties_are_asked_at_the_same_time_and_threads_share_the_wire() -> None:
    endpoint = Endpoint(Meeting(threading.Barrier(4)), "bank", ())
    with (
        running(create_host_app(endpoint)) as first,
        running(create_host_app(endpoint)) as second,
        HttpWire({"a": first, "b": second + "/"}) as wire,
        ThreadPoolExecutor(2) as threads,
    ):
        exchanges = [threads.submit(wire.exchange, {"a": ASKED, "b": ASKED}) for _ in range(2)]
        met = encode(Goodbye(code="met"))
        assert [exchange.result() for exchange in exchanges] == [{"a": met, "b": met}] * 2


@pytest.fixture(scope="module")
def unruly() -> Iterator[str]:
    app = FastAPI()

    @app.post("/{what}/v1/messages")
    async def answer(what: str) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield bytes(600)
            if what == "stuck":
                await asyncio.Event().wait()
            if what == "torn":
                raise RuntimeError
            yield bytes(600)

        if what == "moved":
            return Response(status_code=307, headers={"location": "/good/v1/messages"})
        return StreamingResponse(pieces(), status_code=503 if what == "closed" else 200)

    with running(app) as url:
        yield url


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("closed", "party_failed"),
        ("moved", "party_failed"),
        ("good", "party_failed"),  # 1,200 bytes, over the limit below
        ("torn", "party_failed"),
        ("stuck", "party_timeout"),
    ],
)
def test_what_is_no_reply_names_the_party(unruly: str, what: str, code: str) -> None:
    wire = HttpWire({"host:x": f"{unruly}/{what}"}, deadline_seconds=0.5, max_reply_bytes=1000)
    with wire, pytest.raises(TransportError) as caught:
        wire.exchange({"host:x": b"frame"})
    error = caught.value
    assert (error.party, error.code, error.exit_code) == ("host:x", code, 8)
    assert error.english.startswith("host:x: ")
    assert error.chinese.startswith("host:x：")
    assert unruly not in str(error)


def test_a_reply_within_the_limit_comes_back_whole(unruly: str) -> None:
    with HttpWire({"host:x": f"{unruly}/good"}) as wire:
        assert wire.exchange({"host:x": b"frame"}) == {"host:x": bytes(1200)}


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999999", "ftp://127.0.0.1", "tax.example", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(TransportError) as caught:
        HttpWire({"host:x": url})
    assert (caught.value.party, caught.value.code) == ("host:x", "bad_address")


def test_a_wire_leaves_nothing_behind_and_can_be_entered_again(unruly: str) -> None:
    before = set(threading.enumerate())
    wire = HttpWire({"host:x": f"{unruly}/good"})
    for _ in range(2):
        with wire:
            wire.exchange({"host:x": b"frame"})
        with pytest.raises(LocalProtocolError):
            wire.exchange({"host:x": b"frame"})
    assert set(threading.enumerate()) <= before


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a party that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_the_first_failure_is_told_while_another_party_hangs(silent: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # not listening
        urls = {"host:hangs": silent, "host:gone": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        with HttpWire(urls, deadline_seconds=0.4) as wire, pytest.raises(TransportError) as caught:
            wire.exchange(dict.fromkeys(urls, b"frame"))
    assert (caught.value.party, caught.value.code) == ("host:gone", "party_absent")


def test_a_party_that_hangs_holds_up_no_other(unruly: str, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.transports.http._THREADS_PER_PARTY", 1)
    with (
        HttpWire({"host:hangs": silent, "host:x": f"{unruly}/good"}, deadline_seconds=0.4) as wire,
        ThreadPoolExecutor(3) as threads,
    ):
        hanging = [threads.submit(wire.exchange, {"host:hangs": b"frame"}) for _ in range(3)]
        assert wire.exchange({"host:x": b"frame"}) == {"host:x": bytes(1200)}
        errors = [exchange.exception() for exchange in hanging]
    assert all(isinstance(error, TransportError) and error.code == "party_timeout" for error in errors)
