"""Scores of data nodes that only dial out: over a real hub's relay they are those over HTTP, bit for bit."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federation.endpoint import Endpoint
from federation.errors import LianmoError, PartyId, TransportError
from federation.script import Wire, run
from federation.transports.http import HttpWire
from federation.transports.standing import StandingWire
from federation.vertical.scoring.guest import score
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from lab.errors import ConfigError, ReportedError
from lab.hub.members import Members
from lab.membership.hub_client import Hub
from lab.membership.lines import LineServer, wire_through_hub
from lab.membership.papers import certificate_files
from lab.membership.peers import Peers
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.loaded import Calibrated, Loaded, OneModel, Published
from lab.serving.server import running
from models.bundle import JointModel
from models.table import Table
from tests.builders import BANK, Session, vertical_problem
from tests.lab.hub.harness import HubAtWork, hub_at_work
from tests.lab.serving.conftest import PATIENT, ask, plain

TAX, TELECOM = "host:tax", "host:telecom"
SECONDS = 20.0
PAUSE = threading.Event()


@dataclass(frozen=True)
class World:
    """A model, the bank's rows that all hosts hold, and hosts that answer for their halves."""

    model: JointModel
    table: Table
    hosts: dict[str, ScoringHost]

    @classmethod
    def trained(cls) -> World:
        problem = vertical_problem()
        problem = replace(problem, hosts=dict(zip((TAX, TELECOM), problem.hosts.values(), strict=True)))
        session = Session(problem)
        trained = session.train()
        halves = {party: host.half for party, host in session.hosts.items() if host.half}
        hosts = {p: ScoringHost(problem.hosts[p], {"m-1": half}, session.policy) for p, half in halves.items()}
        return cls(trained.fitted.model, problem.guest.take(trained.arrangement.rows), hosts)

    def endpoint(self, party: str) -> Endpoint:
        return Endpoint(self.hosts[party], BANK, ALLOWED)

    def body(self, row: int) -> dict[str, Any]:
        values = {name: plain(column[row]) for name, column in self.table.columns.items()}
        return {"application_id": "a-1", "applicant_id": self.table.ids[row], "features": values}


@pytest.fixture(scope="module")
def world() -> World:
    return World.trained()


class City:
    """A hub, a bank's folder, and data nodes that answer over the hub only."""

    def __init__(self, hub: HubAtWork, world: World, folder: Path) -> None:
        self.hub, self.world, self.folder = hub, world, folder
        self.servers: dict[str, LineServer] = {}
        self.threads: list[threading.Thread] = []
        for party in (BANK, *world.hosts):
            hub.joined(self.node(party), party)
        for party in world.hosts:
            self.start(party)

    def node(self, party: str) -> Path:
        return self.folder / party.replace(":", "-")

    def start(self, party: str, guest: str = BANK) -> LineServer:
        server = LineServer(self.node(party), Endpoint(self.world.hosts[party], guest, ALLOWED))
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        self.servers[party] = server
        return server

    def wire(self, deadline_seconds: float = SECONDS) -> StandingWire:
        return wire_through_hub(self.node(BANK), list(self.world.hosts), deadline_seconds=deadline_seconds)

    def margins(self, wire: Wire, rows: np.ndarray) -> bytes:
        return run(score(self.world.model, self.world.table.take(rows)), wire).margin.tobytes()

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubAtWork]:
    with hub_at_work(tmp_path / "hub") as at_work:
        at_work.lines.wait_seconds = 1.0
        yield at_work


@pytest.fixture
def city(hub: HubAtWork, world: World, tmp_path: Path) -> Iterator[City]:
    made = City(hub, world, tmp_path)
    yield made
    made.stop()


def until(answered: Callable[[], bytes]) -> bytes:
    """What the call returns once nothing is in its way any more."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return answered()
        except LianmoError:
            assert time.monotonic() < end
            PAUSE.wait(0.02)


def until_refused(answered: Callable[[], object]) -> PartyId:
    """Who is missing, once the call does not come through any more."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            answered()
        except TransportError as error:
            return error.party
    raise AssertionError("still answered")


def test_scores_through_the_hub_are_those_over_http_bit_for_bit(city: City, world: World) -> None:
    rows = np.arange(60)
    with ExitStack() as stack:
        urls = {p: stack.enter_context(running(create_host_app(world.endpoint(p)))) for p in world.hosts}
        direct = city.margins(stack.enter_context(HttpWire(urls)), rows)
        wire = stack.enter_context(city.wire())
        assert city.margins(wire, rows) == direct
        with ThreadPoolExecutor(8) as pool:
            alone = pool.map(lambda row: city.margins(wire, np.array([row])), rows)
        assert b"".join(alone) == direct


def test_the_banks_service_scores_through_the_hub(city: City, world: World) -> None:
    with city.wire() as wire:
        named = Published("loans", "7", None)
        shelf = OneModel(Loaded(published=named, joint=Calibrated(model=world.model)))
        app = create_guest_app(shelf, wire, rules=PATIENT)
        told = ask(app, "POST", "/v1/scores", json=world.body(3))
    assert told.status_code == 200
    assert told.json()["parties_used"] == [BANK, TAX, TELECOM]


def test_a_node_that_is_away_is_told_of_at_once_and_one_that_comes_back_answers(city: City) -> None:
    rows = np.arange(3)
    with city.wire() as wire:
        before = city.margins(wire, rows)
        city.servers[TAX].stop()
        assert until_refused(lambda: city.margins(wire, rows)) == TAX
        began = time.monotonic()
        with pytest.raises(TransportError):
            city.margins(wire, rows)
        assert time.monotonic() - began < 1.0
        city.start(TAX)
        assert until(lambda: city.margins(wire, rows)) == before


def test_a_node_serves_the_bank_it_names_and_nobody_else(city: City, tmp_path: Path) -> None:
    other = city.hub.joined(tmp_path / "other", "bank2")
    with pytest.raises(ReportedError) as absent:
        other.line_to(TAX)
    assert absent.value.code == "party_absent"


def test_a_line_is_not_given_to_a_call_whose_caller_is_dead(city: City, tmp_path: Path) -> None:
    """Else the bank would wait at the relay for a node that is not there."""
    node = tmp_path / "utilities"
    city.hub.joined(node, "host:utilities")
    certificate, key, _ = certificate_files(node)
    context = city.hub.trusting()
    context.load_cert_chain(certificate, key)
    body = json.dumps({"guests": [BANK]})
    host, port = city.hub.settings.host, city.hub.settings.port
    with socket.create_connection((host, port)) as plain_, context.wrap_socket(plain_, server_hostname=host) as dead:
        head = f"POST /v1/lines/next HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        dead.sendall(head.encode())
        end = time.monotonic() + SECONDS
        while not city.hub.lines._hosts.get("host:utilities"):
            assert time.monotonic() < end
    with pytest.raises(ReportedError) as absent:
        Hub(city.node(BANK)).line_to("host:utilities")
    assert absent.value.code == "party_absent"


def test_only_guests_ask_for_lines_and_only_hosts_answer(city: City) -> None:
    tax, bank = Hub(city.node(TAX)), Hub(city.node(BANK))
    for call in (lambda: tax.line_to(TELECOM), lambda: bank.next_line([BANK])):
        with pytest.raises(ReportedError) as denied:
            call()
        assert denied.value.code == "denied"
    with pytest.raises(ReportedError) as absent:
        bank.line_to("host:nobody")
    assert absent.value.code == "party_absent"
    with pytest.raises(ConfigError) as role:
        LineServer(city.node(BANK), Endpoint(city.world.hosts[TAX], BANK, ALLOWED)).serve()
    assert role.value.code == "hub_role"


def test_a_hub_that_puts_another_key_in_place_of_the_banks_gets_no_answer(city: City, tmp_path: Path) -> None:
    """It has the bank's name certified, and the relay's tickets; the node has met the bank before."""
    with city.wire() as wire:
        city.margins(wire, np.arange(2))
    impostor = tmp_path / "impostor"
    city.hub.joined(impostor, BANK)  # joined again under the bank's name, with keys of its own
    with (
        wire_through_hub(impostor, [TAX, TELECOM], deadline_seconds=3.0) as wire,
        pytest.raises(LianmoError),
    ):
        city.margins(wire, np.arange(2))
    for party in (TAX, TELECOM):  # and once it is told that the bank joined anew, the next key is believed
        Peers(city.node(party)).forget(BANK)
    with wire_through_hub(impostor, [TAX, TELECOM]) as wire:
        assert until(lambda: city.margins(wire, np.arange(2)))


def test_a_member_put_out_has_no_line_any_more(city: City, world: World) -> None:
    with city.wire() as wire:
        city.margins(wire, np.arange(2))
        assert len(city.hub.lines.lines) >= 2
        Members(city.hub.folder).remove(TELECOM)
        present = [m.party for m in Members(city.hub.folder).all()]
        city.hub.loop.call_soon_threadsafe(city.hub.lines.keep_to, present)
        assert until_refused(lambda: city.margins(wire, np.arange(2))) == TELECOM


def test_nothing_a_relay_sees_is_readable(city: City, world: World) -> None:
    seen: list[bytes] = []
    relay = city.hub.lines.relay
    relay._tap = lambda _sender, _receiver, body: seen.append(body)
    try:
        with city.wire() as wire:
            city.margins(wire, np.arange(2))
    finally:
        relay._tap = None
    passed = b"".join(seen)
    assert len(seen) >= 2 * (3 + 4)  # of each line: keys, then two questions and two answers
    for word in (b"scoring.", world.model.model_id.encode(), *(d.encode() for d in world.model.host_digests.values())):
        assert word not in passed


def test_a_relay_started_again_is_found_again(city: City) -> None:
    """As after the hub was started anew: it remembers no session, and nodes ask for lines once more."""
    with city.wire() as wire:
        before = city.margins(wire, np.arange(3))
        lines = city.hub.lines
        for line in list(lines.lines):
            city.hub.loop.call_soon_threadsafe(lines._close, line)
        assert until_refused(lambda: city.margins(wire, np.arange(3))) in (TAX, TELECOM)
        assert until(lambda: city.margins(wire, np.arange(3))) == before
