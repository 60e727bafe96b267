"""A hub at work: door, front, relay and SuperLink as one service that ends together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from aiohttp import web

from federation.transports.frames import Tls
from federation.transports.relay import Relay
from lab.hub.authority import serial_number
from lab.hub.door import Door
from lab.hub.front import Front
from lab.hub.joining import Joining, Registry
from lab.hub.lines import Lines
from lab.hub.members import Members
from lab.hub.mlflow_server import start_mlflow
from lab.hub.sessions import Control, Sessions
from lab.hub.settings import HubSettings, authority_of, load_hub, papers_of, paths_of
from lab.hub.superlink import SuperLink
from models.declared import Declared

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="the hub's front, with certificates of members",
        purpose_zh="枢纽前端（成员证书）",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

#: How often the hub looks after the SuperLink.
_LOOK_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 2.0


class Flower(Registry, Control, Protocol):
    """Flower's SuperLink as the hub needs it."""

    @property
    def address(self) -> str: ...


class Opened(NamedTuple):
    """What goes through the hub."""

    sessions: Sessions
    lines: Lines


def serve_hub(folder: Path, announce: Callable[[HubSettings], None] = lambda _: None) -> None:
    """Run the hub until the process is told to stop (SIGINT, SIGTERM).

    Args:
        announce: called once nodes can come.

    Raises:
        ConfigError: as ``load_hub`` and ``authority_of``. ServiceError: ``port_taken``, ``superlink_start``.
    """
    folder = folder.resolve()  # Flower works from a folder of its own
    settings = load_hub(folder)
    superlink = SuperLink(folder)
    with superlink.running():
        if settings.mlflow:
            start_mlflow(folder, settings.mlflow, superlink.variables)
        asyncio.run(_until_told(folder, settings, superlink, announce))


async def _until_told(
    folder: Path, settings: HubSettings, superlink: SuperLink, announce: Callable[[HubSettings], None]
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    async with open_hub(folder, settings, superlink) as opened:
        watching = asyncio.create_task(_look_after(superlink, opened, Members(folder)))
        try:
            announce(settings)
            await told.wait()
        finally:
            watching.cancel()


@contextlib.asynccontextmanager
async def open_hub(folder: Path, settings: HubSettings, flower: Flower) -> AsyncIterator[Opened]:
    """All that listens, before Flower. Raises as ``serve_hub``."""
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)  # of a hub that was killed: their tickets are worth nothing
    members, papers, authority = Members(folder), papers_of(folder), authority_of(folder)
    relay = Relay(in_force=lambda party, pem: members.of_certificate(party, serial_number(pem)) is not None)
    async with contextlib.AsyncExitStack() as stack:
        # On the way out, from below: nobody enters, the front answers whom it can, the relay says that it ends, and who
        # is still there is cut off.
        door = Door(0, _context(folder))
        stack.push_async_callback(door.end)
        stack.push_async_callback(asyncio.to_thread, relay.stop)
        door.relay = relay.serve("127.0.0.1:0", Tls(papers.certificate, papers.key, authority.certificate))
        sessions, lines = Sessions(runs, flower, relay), Lines(relay)
        joining = Joining(settings.name, authority, members, flower)
        front = Front(members, joining, sessions, lines, flower.address, _trusting(folder), door.callers)
        door.front = await stack.enter_async_context(_http(front.app(), "127.0.0.1", 0, _context(folder)))
        if settings.metrics:
            host, _, port = settings.metrics.rpartition(":")
            await stack.enter_async_context(_http(_metrics(relay), host, int(port)))
        listening = await door.open(settings.listen, settings.port)
        stack.callback(listening.close)
        stack.push_async_callback(sessions.stop_all)
        yield Opened(sessions, lines)


@contextlib.asynccontextmanager
async def _http(app: web.Application, host: str, port: int, own: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """``app`` behind a port, which is yielded; behind TLS if there is a certificate."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=own).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def _metrics(relay: Relay) -> web.Application:
    """Prometheus's page."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=relay.metrics.text(), content_type="text/plain")

    app = web.Application()
    app.router.add_get("/metrics", show)
    return app


async def _look_after(superlink: SuperLink, opened: Opened, members: Members) -> None:
    """Start the SuperLink again when it dies (its database knows its nodes); end what members put out had going."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if await asyncio.to_thread(superlink.died):
            log.error("Flower's SuperLink ended by itself; starting it again")
            superlink.start()
        present = [member.party for member in members.all()]
        await opened.sessions.keep_to(present)
        opened.lines.keep_to(present)
        opened.lines.reap()


def _context(folder: Path) -> ssl.SSLContext:
    """The hub's certificate; callers may show one of its authority."""
    certificate, key, authority = paths_of(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority))
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _trusting(folder: Path) -> ssl.SSLContext:
    """To call the SuperLink, which has the hub's certificate."""
    return ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(paths_of(folder)[2]))
