"""The certificate a caller showed: its names, and who that is."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lab.serving.access.caller import Caller
from lab.serving.access.settings import Certificate
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="X.509 (names of a verified certificate), SHA-256",
        purpose="callers of the scoring service known by certificate",
        purpose_zh="以证书识别评分服务的调用方",
        standard="RFC 5280; RFC 8705",
        library="cryptography",
    ),
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Attributes:
    subject: as RFC 4514 writes it.
    thumbprint: SHA-256 of the certificate, base64url, as RFC 8705 §3.1 writes it in tokens.
    """

    dns: frozenset[str]
    uri: frozenset[str]
    subject: str
    thumbprint: str


def peer_of(scope: Mapping[str, Any]) -> Peer | None:
    """Of a connection, as the ASGI extension ``tls`` tells of it; TLS has verified it. None: none was shown."""
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    return _peer(chain[0]) if chain else None


def known(peer: Peer, certificates: Iterable[Certificate]) -> Caller | None:
    """Whose it is by its name; None: nobody's."""
    for certificate in certificates:
        if certificate.dns in peer.dns or certificate.uri in peer.uri or certificate.subject == peer.subject:
            return certificate.caller
    return None


@lru_cache(maxsize=256)
def _peer(pem: str) -> Peer:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    dns: frozenset[str] = frozenset()
    uri: frozenset[str] = frozenset()
    try:
        also = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns = frozenset(also.get_values_for_type(x509.DNSName))
        uri = frozenset(also.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        pass
    digest = base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()
    return Peer(dns, uri, certificate.subject.rfc4514_string(), digest)
