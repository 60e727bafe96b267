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
from typing import Final

from aiohttp import web

from federation.transports.frames import Tls
from federation.transports.relay import Relay
from lab.hub.door import Door
from lab.hub.front import Front
from lab.hub.joining import Joining
from lab.hub.members import Members
from lab.hub.sessions import Sessions
from lab.hub.settings import HubSettings, authority_of, load_hub, papers_of, paths_of
from lab.hub.superlink import SuperLink

log = logging.getLogger("lianmo.hub")

#: How often the hub looks after the SuperLink.
_LOOK_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 2.0


def serve_hub(folder: Path, announce: Callable[[HubSettings], None] = lambda _: None) -> None:
    """Run the hub until the process is told to stop (SIGINT, SIGTERM).

    Args:
        announce: called once nodes can come.

    Raises:
        ConfigError: as ``load_hub`` and ``authority_of``. ServiceError: ``port_taken``, ``superlink_start``.
    """
    settings = load_hub(folder)
    folder = folder.resolve()  # Flower works from a folder of its own
    superlink = SuperLink(folder)
    with superlink.running():
        asyncio.run(_serve(folder, settings, superlink, announce))


async def _serve(
    folder: Path, settings: HubSettings, superlink: SuperLink, announce: Callable[[HubSettings], None]
) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    runs = folder / "runs"
    shutil.rmtree(runs, ignore_errors=True)  # of a hub that was killed: their tickets are worth nothing
    members, papers = Members(folder), papers_of(folder)
    authority = authority_of(folder)
    relay = Relay()
    try:
        relay_port = relay.serve("127.0.0.1:0", Tls(papers.certificate, papers.key, authority.certificate))
        sessions = Sessions(runs, superlink, relay)
        joining = Joining(settings.name, authority, members, superlink)
        own = _context(folder)
        front = Front(members, joining, sessions, superlink.address, _trusting(folder))
        async with _http(front.app(), own) as front_port:
            door = Door(relay_port, front_port, _context(folder))
            listening = await door.open(settings.listen, settings.port)
            watching = asyncio.create_task(_look_after(superlink))
            try:
                announce(settings)
                await told.wait()
            finally:
                listening.close()
                watching.cancel()
                await sessions.stop_all()
    finally:
        await asyncio.to_thread(relay.stop)


@contextlib.asynccontextmanager
async def _http(app: web.Application, own: ssl.SSLContext) -> AsyncIterator[int]:
    """The front behind TLS on a port of loopback."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=own)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def _look_after(superlink: SuperLink) -> None:
    """Start the SuperLink again when it dies; its database knows its nodes."""
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        if superlink.died():
            log.error("Flower's SuperLink ended by itself; starting it again")
            superlink.start()


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
