"""uvicorn's connection, which also tells the application of the caller's certificate.

uvicorn has no part of its own for the ASGI extension ``tls``; the certificate is at hand in the transport.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from models.declared import Declared

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3 (certificate of the peer, read)",
        purpose="callers of the scoring service known by certificate",
        purpose_zh="以证书识别评分服务的调用方",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


class Connection(_Protocol):
    """Adds the extension to the scope of each request of a TLS connection, as ASGI's TLS specification 0.2 has it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Once per connection, after the handshake: a certificate that is there was verified."""
        super().connection_made(transport)
        secure = transport.get_extra_info("ssl_object")
        if secure is not None:
            self.app = _telling(self.app, _extension(secure))


def _telling(app: ASGIApp, extension: dict[str, Any]) -> Any:
    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {**scope.get("extensions", {}), "tls": extension}
        await app(scope, receive, send)

    return told


def _extension(secure: ssl.SSLObject) -> dict[str, Any]:
    shown = secure.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(shown)] if shown else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(secure.version() or ""),
        "cipher_suite": None,
    }
