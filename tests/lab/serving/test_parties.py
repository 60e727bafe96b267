"""What a caller is told when a party is absent, slow, refuses or answers nonsense, and there is no other model."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import replace

import httpx
import pytest

from federation.codec import encode
from federation.endpoint import Endpoint
from federation.messages import Failure, Goodbye
from federation.script import Wire
from federation.transports.async_http import AsyncHttpWire
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import EvaluatedApplicants
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.rules import ServiceRules
from lab.serving.server import running
from tests.lab.serving.conftest import BANK, FRAME, POLICY, TAX, TELECOM, Service, World, ask, degraded_of


def call(world: World, wire: Wire | AsyncHttpWire, seconds: float = 10.0) -> httpx.Response:
    over = wire if isinstance(wire, AsyncHttpWire) else ThreadedWire(wire)
    app = create_guest_app(world.shelf(), over, rules=ServiceRules(deadline_seconds=seconds))
    with running(app) as url:
        response = httpx.post(f"{url}/v1/scores", json=world.body(3), trust_env=False)
    assert world.table.ids[3] not in response.text
    return response


def why(response: httpx.Response, code: str) -> list[str]:
    """The parties whose doing it is."""
    parties: list[str] = degraded_of(response, "refer", code)["parties"]
    return parties


def with_tax(world: World, reply: bytes) -> MemoryWire:
    """A wire on which the tax node answers everything with ``reply``."""
    return MemoryWire({TAX: lambda _: (reply, False), TELECOM: world.endpoint(TELECOM).answer})


def test_a_node_that_is_down(world: World, service: Service) -> None:
    with socket.socket() as closed:  # bound, not listening: nobody else can take the port
        closed.bind(("127.0.0.1", 0))
        urls = service.host_urls | {TELECOM: f"http://127.0.0.1:{closed.getsockname()[1]}"}
        assert why(call(world, AsyncHttpWire(urls)), "party_absent") == [TELECOM]


def test_a_node_without_address(world: World, service: Service) -> None:
    wire = AsyncHttpWire({TAX: service.host_urls[TAX]})
    assert why(call(world, wire), "party_absent") == [TELECOM]


def test_a_node_that_is_too_slow(world: World, service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = service.host_urls | {TAX: f"http://127.0.0.1:{silent.getsockname()[1]}"}
        assert why(call(world, AsyncHttpWire(urls), 0.2), "party_timeout") == [TAX]


def test_a_node_with_another_half(world: World) -> None:
    held = world.hosts[TAX]
    other = replace(held.halves["loans-7"], salt="00" * 16)
    for halves in ({"loans-7": other}, {"loans-6": held.halves["loans-7"]}):
        endpoint = Endpoint(ScoringHost(held.table, halves, POLICY), BANK, ALLOWED)
        wire = MemoryWire({TAX: endpoint.answer, TELECOM: world.endpoint(TELECOM).answer})
        assert why(call(world, wire), "unknown_model") == [TAX]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (encode(Failure(code="policy")), "policy"),
        (encode(Goodbye(code="")), "out_of_turn"),
        (encode(EvaluatedApplicants(points=b"", key_id=bytes(8))), "bad_value"),
        (b"\x00garbage", "unreadable"),
        (b"", "unreadable"),
    ],
)
def test_a_node_that_refuses_or_answers_nonsense(world: World, reply: bytes, code: str) -> None:
    assert why(call(world, with_tax(world, reply)), code) == [TAX]


def test_a_node_that_sends_a_false_point(world: World) -> None:
    reply = encode(EvaluatedApplicants(points=bytes(32), key_id=bytes(8)))
    assert why(call(world, with_tax(world, reply)), "bad_point") == [TAX]


def test_a_bug_of_ours_tells_neither_caller_nor_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
            raise KeyError(world.table.ids[3])

    caplog.set_level(logging.DEBUG)
    assert why(call(world, Broken()), "internal") == []
    assert "KeyError" in caplog.text
    assert "test_parties.py" in caplog.text
    assert world.table.ids[3] not in caplog.text


def test_a_host_opens_for_scoring_only(world: World) -> None:
    open_door = replace(world.endpoint(TAX), allowed=[Failure])
    content = encode(Failure(code="policy"))
    reply = ask(create_host_app(open_door), "POST", "/v1/messages", content=content, headers=FRAME)
    assert reply.content == encode(Failure(code="unreadable"))
