"""What a caller is told when a party is absent, slow, refuses or answers nonsense."""

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
from federation.transports.http import HttpWire
from federation.transports.memory import MemoryWire
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import EvaluatedApplicants
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from tests.lab.serving.conftest import BANK, FRAME, POLICY, TAX, TELECOM, Service, World, ask, problem_of


def call(world: World, wire: Wire) -> httpx.Response:
    app = create_guest_app(world.model, wire, name="loans", version="7")
    response = ask(app, "POST", "/v1/scores", json=world.body(3))
    assert world.table.ids[3] not in response.text
    return response


def with_tax(world: World, reply: bytes) -> MemoryWire:
    """A wire on which the tax node answers everything with ``reply``."""
    return MemoryWire({TAX: lambda _: (reply, False), TELECOM: world.endpoint(TELECOM).answer})


def test_a_node_that_is_down(world: World, service: Service) -> None:
    with socket.socket() as closed:  # bound, not listening: nobody else can take the port
        closed.bind(("127.0.0.1", 0))
        urls = service.host_urls | {TELECOM: f"http://127.0.0.1:{closed.getsockname()[1]}"}
        with HttpWire(urls) as wire:
            assert problem_of(call(world, wire), 502, "party_absent")["party"] == TELECOM


def test_a_node_without_address(world: World, service: Service) -> None:
    with HttpWire({TAX: service.host_urls[TAX]}) as wire:
        assert problem_of(call(world, wire), 502, "party_absent")["party"] == TELECOM


def test_a_node_that_is_too_slow(world: World, service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = service.host_urls | {TAX: f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with HttpWire(urls, deadline_seconds=0.2) as wire:
            assert problem_of(call(world, wire), 504, "party_timeout")["party"] == TAX


def test_a_node_with_another_half(world: World) -> None:
    held = world.hosts[TAX]
    other = replace(held.halves["loans-7"], salt="00" * 16)
    for halves in ({"loans-7": other}, {"loans-6": held.halves["loans-7"]}):
        endpoint = Endpoint(ScoringHost(held.table, halves, POLICY), BANK, ALLOWED)
        wire = MemoryWire({TAX: endpoint.answer, TELECOM: world.endpoint(TELECOM).answer})
        assert problem_of(call(world, wire), 409, "unknown_model")["party"] == TAX


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
    assert problem_of(call(world, with_tax(world, reply)), 502, code)["party"] == TAX


def test_a_node_that_sends_a_false_point(world: World) -> None:
    problem_of(
        call(world, with_tax(world, encode(EvaluatedApplicants(points=bytes(32), key_id=bytes(8))))), 502, "bad_point"
    )


def test_a_bug_of_ours_tells_neither_caller_nor_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
            raise KeyError(world.table.ids[3])

    caplog.set_level(logging.DEBUG)
    problem_of(call(world, Broken()), 500, "internal")
    assert "KeyError" in caplog.text
    assert "test_parties.py" in caplog.text
    assert world.table.ids[3] not in caplog.text


def test_a_host_opens_for_scoring_only(world: World) -> None:
    open_door = replace(world.endpoint(TAX), allowed=[Failure])
    content = encode(Failure(code="policy"))
    reply = ask(create_host_app(open_door), "POST", "/v1/messages", content=content, headers=FRAME)
    assert reply.content == encode(Failure(code="unreadable"))
