"""The same training by the same processes on one machine, three ways: what do relay, TLS and seals cost?

    direct    plaintext sockets between bank and hosts, nothing in between
    relay     a relay in clear, in a process of its own
    hub       the hub's door, front and relay over TLS, frames sealed: all that a federation has, but for Flower

    python overhead.py WAY PARTY-FOLDER [PORTS]     one party's process

Bank and three hosts are four processes each time; they are started when all is ready, and only their work is counted:
from when they join until they leave, with what door and relay use meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import psutil
from sessions import GUEST, HOSTS, City

from federation.endpoint import Endpoint
from federation.transports.relay import Relay
from federation.vertical.host import ALLOWED
from lab.config import Config, parse_config
from lab.errors import ReportedError
from lab.flower_programs import free_port
from lab.hub.invitations import invite
from lab.hub.members import Members
from lab.hub.service import open_hub
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.jobs import GuestJob, HostJob, LinkSection, jobs_of, load_job, save_job
from lab.membership.hub_client import Hub, join
from lab.node import keep_half, lead, open_host, take_part

WAYS = ("direct", "relay", "hub")
SPAWN = multiprocessing.get_context("spawn")
_PARTIES = (GUEST[0], *(party for party, _ in HOSTS.values()))


@dataclass(frozen=True)
class Measured:
    """``wall``: seconds the bank took; ``cpu``: CPU seconds of all parties and of what is between them."""

    wall: float
    cpu: float
    between: float


class NoFlower:
    """Registers nodes and starts runs without doing anything; tells the tickets of a run to whoever holds the line."""

    address, starts = "127.0.0.1:1", 1

    def __init__(self, line: Connection) -> None:
        self._line, self._n = line, 0

    async def register(self, node_key: Path) -> str:  # noqa: ARG002
        self._n += 1
        return str(self._n)

    async def unregister(self, node: str) -> None: ...

    async def start_run(self, settings: Mapping[str, str | int], config: Path) -> str:  # noqa: ARG002
        self._line.send(json.loads(str(settings["tickets"])))
        return "1"

    async def is_over(self, run: str) -> bool:  # noqa: ARG002
        return False

    async def stop_run(self, run: str) -> None: ...


def hold_hub(line: Connection, folder: Path, settings: HubSettings) -> None:
    async def work() -> None:
        async with open_hub(folder, settings, NoFlower(line)):
            line.send("ready")
            await asyncio.to_thread(line.recv)

    asyncio.run(work())


def hold_relay(line: Connection) -> None:
    relay = Relay()
    line.send(relay.serve("127.0.0.1:0"))
    while told := line.recv():
        relay.open_session(*told)
        line.send("open")
    relay.stop()


@contextmanager
def held(target: Any, *arguments: Any) -> Iterator[tuple[Connection, psutil.Process]]:
    """A process, its line once it is ready (one word received), until it is told to end."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=target, args=(theirs, *arguments))
    process.start()
    try:
        yield ours, psutil.Process(process.pid)
    finally:
        ours.send(None)
        process.join()


@contextmanager
def setting(city: City) -> Iterator[Any]:
    """Hub and relay at work, all parties joined; yields what measures one training: way and name → ``Measured``."""
    folder, address = city.folder / "overhead", f"127.0.0.1:{free_port()}"
    settings = HubSettings(name="overhead", address=address)
    create_hub(folder, settings)
    with held(hold_hub, folder, settings) as (hub, at_hub), held(hold_relay) as (relay, at_relay):
        assert hub.recv() == "ready"
        port = relay.recv()
        nodes = {party: city.folder / "nodes" / party.replace(":", "-") for party in _PARTIES}
        for party, node in nodes.items():
            made = invite(
                authority_of(folder), settings.name, address, party, "guest" if party == "bank" else "host", 1
            )
            Members(folder).invited(made)
            join(node, made)

        def links(way: str, session: str) -> dict[str, LinkSection]:
            if way == "hub":
                Hub(nodes["bank"]).begin(session, list(_PARTIES[1:]), {})
                assert hub.poll(60)
                return {
                    party: LinkSection(address=address, session=session, ticket=ticket, node=nodes[party])
                    for party, ticket in hub.recv().items()
                }
            tickets = {party: secrets.token_urlsafe(32) for party in _PARTIES}
            relay.send((session, tickets))
            relay.recv()
            return {
                party: LinkSection(address=f"127.0.0.1:{port}", session=session, ticket=ticket)
                for party, ticket in tickets.items()
            }

        def measure(way: str, name: str) -> Measured:
            where = {
                "run": {"transport": "relay", "checkpoint_share": 0},
                "hosts": [city.host(space) for space in HOSTS],
            }
            config, session = parse_config(city.run(name, where), city.folder), secrets.token_hex(16)
            told = {} if way == "direct" else links(way, session)
            between = {"hub": [at_hub], "relay": [at_relay], "direct": []}[way]
            before = _cpu(between)
            measured = _held(way, config, session, told)
            spent = _cpu(between) - before
            if way == "hub":
                with suppress(ReportedError):  # the hub has seen them leave the relay, and closed the run
                    for party, link in told.items():
                        Hub(nodes[party]).ended(session, link.ticket, "")
            return Measured(measured.wall, measured.cpu + spent, spent)

        yield measure


def _held(way: str, config: Config, session: str, links: Mapping[str, LinkSection]) -> Measured:
    """One training by processes of the parties."""
    guest, hosts = jobs_of(config, session, config.run.directory, dict(links) or None)
    ports = {host.party.party: free_port() for host in hosts}
    processes = []
    for job in (*hosts, guest):
        save_job(job)
        command = [sys.executable, __file__, way, str(job.directory), json.dumps(ports)]
        processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [json.loads(process.communicate()[0]) for process in processes]
    assert not any(process.returncode for process in processes)
    return Measured(said[-1]["wall"], sum(one["cpu"] for one in said), 0.0)


def _cpu(processes: list[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


# -- one party -----------------------------------------------------------------------------------------------------


class SocketWire:
    """The guest's ``Wire`` (``federation.script``) over one plaintext connection per host."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self._to = connections

    def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
        for party, frame in frames.items():
            self._to[party].send_bytes(frame)
        return {party: self._to[party].recv_bytes() for party in frames}


def directly(job: GuestJob | HostJob, ports: Mapping[str, int], listener: Listener | None) -> None:
    if isinstance(job, GuestJob):
        lead(job, SocketWire({party: Client(("127.0.0.1", ports[party])) for party in job.hosts}))
        return
    assert listener
    part = open_host(job)
    endpoint, over = Endpoint(part, job.guest, ALLOWED), False
    with part, listener.accept() as line:
        while not over:
            reply, over = endpoint.answer(line.recv_bytes())
            line.send_bytes(reply)
        keep_half(part)


def main(way: str, folder: Path, ports: Mapping[str, int]) -> None:
    job = load_job(folder / "job.json")
    follows = way == "direct" and isinstance(job, HostJob)
    listener = Listener(("127.0.0.1", ports[job.party.party])) if follows else None
    print("ready", flush=True)
    sys.stdin.readline()
    wall, cpu = time.perf_counter(), time.process_time()
    if way == "direct":
        directly(job, ports, listener)
    else:
        take_part(job)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
