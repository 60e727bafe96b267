"""A real hub in a thread: door, front and relay, before a stand-in for Flower's SuperLink that notes its calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from lab.errors import ServiceError
from lab.flower_programs import free_port
from lab.hub.invitations import Invitation, invite, role_of
from lab.hub.lines import Lines
from lab.hub.members import Members
from lab.hub.service import open_hub
from lab.hub.sessions import Sessions
from lab.hub.settings import HubSettings, authority_of, create_hub, paths_of
from lab.membership.hub_client import Hub, join


@dataclass
class FakeFlower:
    """``outcomes``: what runs end with, by session; a run without ends never. ``dead``: it is not at work."""

    address: str = ""
    keys: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    started: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    over: bool = False
    starts: int = 1
    dead: bool = False
    fails: bool = False
    runner: web.AppRunner | None = None

    async def register(self, node_key: Path) -> str:
        if self.fails:
            raise ServiceError("superlink_call", "It did not.", "未完成。")
        number = str(1000 + len(self.keys))
        self.keys[number] = node_key.read_bytes()
        return number

    async def unregister(self, node: str) -> None:
        self.keys.pop(node, None)

    async def start_run(self, settings: dict[str, str | int], config: Path) -> str:
        self.started.append(dict(settings))
        outcome = self.outcomes.get(str(settings["session"]))
        if outcome is not None:
            Path(str(settings["result"])).write_text(json.dumps(outcome))
        return str(len(self.started))

    async def is_over(self, run: str) -> bool:
        return self.over

    def died(self) -> bool:
        return self.dead

    async def stop_run(self, run: str) -> None:
        self.stopped.append(run)

    async def stop(self) -> None:
        assert self.runner
        await self.runner.cleanup()

    async def answer(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        return web.Response(body=b"flower:" + await request.read())


@dataclass
class HubAtWork:
    folder: Path
    settings: HubSettings
    flower: FakeFlower
    sessions: Sessions
    lines: Lines
    loop: asyncio.AbstractEventLoop

    def invite(self, party: str, days: float = 1.0) -> Invitation:
        role = role_of(party)
        made = invite(authority_of(self.folder), self.settings.name, self.settings.address, party, role, days)
        Members(self.folder).invited(made)
        return made

    def joined(self, node: Path, party: str) -> Hub:
        """A party that has joined from the folder ``node``."""
        join(node, self.invite(party))
        return Hub(node)

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(paths_of(self.folder)[2]))


@contextlib.contextmanager
def hub_at_work(folder: Path) -> Iterator[HubAtWork]:
    """Somebody else may take the free port before we do: then another one."""
    for attempt in range(5):
        try:
            with _at_work(folder / str(attempt), HubSettings(address=f"127.0.0.1:{free_port()}")) as at_work:
                yield at_work
                return
        except PortTakenError:
            continue
    raise PortTakenError


class PortTakenError(Exception):
    pass


@contextlib.contextmanager
def _at_work(folder: Path, settings: HubSettings) -> Iterator[HubAtWork]:
    create_hub(folder, settings)
    flower = FakeFlower()
    at_work: list[HubAtWork] = []
    over: list[asyncio.Event] = []
    begun = threading.Event()

    async def work() -> None:
        app = web.Application()
        app.router.add_post("/{path:.*}", flower.answer)
        runner = flower.runner = web.AppRunner(app)
        await runner.setup()
        certificate, key, _ = paths_of(folder)
        own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        own.load_cert_chain(certificate, key)
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=own).start()
        flower.address = f"127.0.0.1:{runner.addresses[0][1]}"
        try:
            async with open_hub(folder, settings, flower) as opened:
                over.append(asyncio.Event())
                at_work.append(
                    HubAtWork(folder, settings, flower, opened.sessions, opened.lines, asyncio.get_running_loop())
                )
                begun.set()
                await over[0].wait()
        finally:
            begun.set()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(work()), daemon=True)
    thread.start()
    assert begun.wait(60)
    if not at_work:
        raise PortTakenError
    try:
        yield at_work[0]
    finally:
        at_work[0].loop.call_soon_threadsafe(over[0].set)
        thread.join(60)
        assert not thread.is_alive()
