"""A wire over HTTP for an event loop, for scoring: frames and addresses as in ``http``, at a fraction of the cost."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp

from federation.codec import MAX_MESSAGE_BYTES
from federation.errors import LocalProtocolError, PartyId, TransportError
from federation.transports.http import (
    FRAME_TYPE,
    HEALTH_PATH,
    IDLE_SECONDS,
    PATH,
    bad_status,
    endpoint,
    failed,
    lost,
    too_slow,
)
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="asking hosts for scores from the bank's service, where certificates are configured",
        purpose_zh="银行评分服务向数据方请求评分（配置证书时）",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

_HEADERS: Final = {"content-type": FRAME_TYPE, "accept": FRAME_TYPE, "accept-encoding": "identity"}
_OK: Final = 200


class AsyncHttpWire:
    """The guest's ``AsyncWire`` (see ``federation.script``); to be entered in the event loop that uses it.

    Proxies, cookies and redirects are not followed: frames take no way that was not configured.

    Args:
        urls: party → base address of its service, such as ``https://tax.example:8443``.
        tls: party → authorities trusted for it and our own certificate; who is not there: the public authorities and no
            certificate.
        max_reply_bytes: a larger reply is not read to its end.

    Raises:
        TransportError: "bad_address" if a party's address is none.
    """

    def __init__(
        self,
        urls: Mapping[PartyId, str],
        *,
        tls: Mapping[PartyId, ssl.SSLContext] | None = None,
        max_reply_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._urls = {party: str(endpoint(party, url)) for party, url in urls.items()}
        self._tls = tls or {}
        self._max_reply_bytes = max_reply_bytes
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=_HEADERS, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections; questions still under way fail."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def ask(self, party: PartyId, frame: bytes, seconds: float) -> bytes:
        """Send a frame and return the reply.

        Raises:
            TransportError: "party_absent": no address, or nobody listens there; "party_timeout": too slow;
                "party_failed": the connection broke, or what came back is no reply or too large.
            LocalProtocolError: the wire is not open.
        """
        if self._session is None:
            raise LocalProtocolError("wire_closed", "The HTTP wire is not open.", "HTTP 通道尚未打开。")
        url = self._urls.get(party)
        if url is None:
            raise TransportError(party, "party_absent", "no address is configured for it.", "未配置其服务地址。")
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(url, data=frame, allow_redirects=False, ssl=self._tls.get(party, True)) as response,
            ):
                return await self._reply(party, response)
        except TimeoutError:
            raise too_slow(party, seconds) from None
        except aiohttp.ClientError as error:
            raise lost(party, url, error, aiohttp.ClientConnectorError) from None

    async def reaches(self, party: PartyId, seconds: float) -> bool:
        """Whether the party's service says that it is up; nothing is asked about anybody."""
        if self._session is None or party not in self._urls:
            return False
        url = self._urls[party].removesuffix(PATH) + HEALTH_PATH
        try:
            asked = self._session.get(url, allow_redirects=False, ssl=self._tls.get(party, True))
            async with asyncio.timeout(seconds), asked as response:
                return response.status == _OK
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def _reply(self, party: PartyId, response: aiohttp.ClientResponse) -> bytes:
        if response.status != _OK:
            raise bad_status(party, response.status)
        reply = bytearray()
        async for piece in response.content.iter_any():
            reply += piece
            if len(reply) > self._max_reply_bytes:
                raise failed(
                    party,
                    f"its reply is over the limit of {self._max_reply_bytes:,} bytes",
                    f"应答超过 {self._max_reply_bytes:,} 字节上限",
                )
        return bytes(reply)
