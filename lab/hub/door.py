"""One TLS port for two kinds of callers: those who speak HTTP/2 go to the relay, all others to the front.

The door reads a caller's first message (ClientHello, RFC 8446 §4.1.2) for the protocol it offers (ALPN, RFC 7301) and
passes the bytes on as they came: TLS ends behind it, so it sees nothing of what follows. gRPC offers ``h2`` and nothing
else; Flower's nodes and our own calls offer ``http/1.1`` or nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from dataclasses import dataclass, field
from typing import Final

from lab.errors import ServiceError
from models.declared import Declared

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="the hub's one port",
        purpose_zh="枢纽对外端口",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

#: A ClientHello is one record of at most 16 KiB (RFC 8446 §5.1).
_HELLO_BYTES: Final = 16 * 1024 + 5
_HELLO_SECONDS: Final = 10.0
#: Who calls the front and says nothing for so long is not waited for: no answer takes that long. The relay has its own
#: deadlines.
_SILENT_SECONDS: Final = 180.0
_PIECE: Final = 64 * 1024


@dataclass(slots=True)
class Door:
    """Attributes:
    relay, front: ports on loopback.
    own: the hub's certificate, to read what a caller offers.
    most: callers at the same time; more are turned away.
    most_each: of one address.
    inside: address → its callers now.
    callers: our port of a connection to relay or front → the address it is for, since behind us all look alike.
    """

    relay: int
    own: ssl.SSLContext = field(repr=False)
    front: int = 0
    most: int = 1024
    most_each: int = 128
    inside: dict[str, int] = field(default_factory=dict)
    callers: dict[int, str] = field(default_factory=dict)
    #: Nothing of asyncio's keeps a task that waits for the answer to a caller who has said all it has to say.
    _at_work: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def open(self, host: str, port: int) -> asyncio.Server:
        """Listen. Raises ``ServiceError`` (``port_taken``)."""
        self.own.set_alpn_protocols(["h2", "http/1.1"])
        try:
            return await asyncio.start_server(self._enter, host, port)
        except OSError as error:
            raise ServiceError(
                "port_taken",
                f"The hub cannot listen on {host}:{port} ({error.strerror}). Is another hub running? Choose another "
                "address in hub.toml.",
                f"枢纽无法监听 {host}:{port}（{error.strerror}）。是否已有枢纽在运行？请在 hub.toml 中更换地址。",
            ) from error

    async def end(self) -> None:
        """Cut every caller off; nothing of theirs is under way afterwards."""
        at_work = [task for task in self._at_work if task]
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = str(writer.get_extra_info("peername", ("?",))[0])
        if sum(self.inside.values()) >= self.most or self.inside.get(address, 0) >= self.most_each:
            log.warning("turned away %s: too many connections", address)
            writer.close()
            return
        self.inside[address] = self.inside.get(address, 0) + 1
        self._at_work.add(asyncio.current_task())
        try:
            await self._carry(reader, writer, address)
        except (OSError, asyncio.CancelledError):
            pass  # either end is gone, or the hub is being stopped
        finally:
            self.inside[address] -= 1
            if not self.inside[address]:
                del self.inside[address]
            self._at_work.discard(asyncio.current_task())
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello, offered = await self._hello(reader)
        except (TimeoutError, ssl.SSLError, EOFError) as error:
            log.warning("turned away %s: no TLS (%s)", address, type(error).__name__)
            return
        port = self.relay if offered == "h2" else self.front
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        way = int(outer.get_extra_info("sockname")[1])
        self.callers[way] = address
        outer.write(hello)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, outer, _SILENT_SECONDS if port == self.front else None))
                both.create_task(_pump(inner, writer))
        except* TimeoutError:
            log.warning("turned away %s: silent for %.0f s", address, _SILENT_SECONDS)
        except* OSError:
            pass
        finally:
            del self.callers[way]
            outer.close()

    async def _hello(self, reader: asyncio.StreamReader) -> tuple[bytes, str | None]:
        """What has come so far, and the protocol both sides have in common. Raises ``ssl.SSLError``, ``EOFError``."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        listening = self.own.wrap_bio(incoming, outgoing, server_side=True)
        hello = bytearray()
        while not outgoing.pending:  # OpenSSL answers once it has the whole message
            piece = await reader.read(_HELLO_BYTES - len(hello))
            if not piece:
                raise EOFError
            hello += piece
            incoming.write(piece)
            with contextlib.suppress(ssl.SSLWantReadError):
                listening.do_handshake()
        return bytes(hello), listening.selected_alpn_protocol()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, patience: float | None = None) -> None:
    """Bytes from one end to the other, no faster than it takes them, until the source ends. Raises ``TimeoutError`` if
    nothing came for ``patience`` seconds."""
    try:
        while piece := await asyncio.wait_for(source.read(_PIECE), patience):
            target.write(piece)
            await target.drain()
    finally:
        with contextlib.suppress(OSError):
            target.write_eof()
