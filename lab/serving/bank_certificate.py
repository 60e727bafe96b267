"""The bank known by its certificate: at a data node's endpoint one of another name, or another key, is worth nothing.

TLS has checked who issued it; an authority may have issued others, also under the bank's name. Certificates from
joining a hub carry the party's name already; whose key it is, the bank tells its data nodes over another channel.
"""

from __future__ import annotations

import hashlib
import logging
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from starlette.types import Scope

from federation.errors import PartyId
from lab.errors import ConfigError
from lab.serving.problems import RequestError
from models.declared import Declared

log = logging.getLogger("lianmo.serving")

CRYPTO: Final = (
    Declared(
        algorithm="X.509 (common name and public key of a verified certificate)",
        purpose="a data node's endpoint: the bank known by its certificate",
        purpose_zh="数据方评分端点：以证书识别银行",
        standard="RFC 5280; RFC 7469 (section 2.4)",
        library="cryptography",
    ),
    Declared(
        algorithm="SHA-256",
        purpose="a data node's endpoint: digests of the bank's registered public keys",
        purpose_zh="数据方评分端点：银行登记公钥的摘要",
        standard="FIPS 180-4",
        library="hashlib",
    ),
)


def need_bank(scope: Scope, bank: PartyId, keys: frozenset[bytes] | None) -> None:
    """Let through the certificate whose common name is ``bank`` and whose key is one of ``keys``.

    Args:
        keys: digests of the bank's public keys, as ``read_bank_keys``; None: nobody told them, so the name decides
            alone, and connections that TLS asks for no certificate are let through.

    Raises:
        RequestError: 403, ``other_caller``.
    """
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    if not chain:
        if keys is None:
            return
        what = "no certificate"
    else:
        shown = _shown(chain[0])
        if shown.names == (bank,) and (keys is None or shown.key in keys):
            return
        what = "a certificate of another name" if shown.names != (bank,) else "a certificate of another key"
    log.warning("%s was refused, where %s was expected request=%s", what, bank, scope["state"]["request_id"])
    raise RequestError(
        HTTPStatus.FORBIDDEN,
        "other_caller",
        f"This endpoint answers {bank} only, by the certificate that it registered here. Show that one, or have the "
        "new one registered.",
        f"本端点仅向 {bank} 应答，并以其在此登记的证书为准。请出示该证书，或先登记新证书。",
    )


def read_bank_keys(path: Path) -> frozenset[bytes]:
    """SHA-256 of the public keys (SubjectPublicKeyInfo) of all certificates in a PEM file.

    Raises:
        ConfigError: ``bank_keys``: it is absent or holds none.
    """
    try:
        return frozenset(_key(found) for found in x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError):
        raise ConfigError(
            "bank_keys",
            f"{path.name} is missing or holds no certificate of the bank, PEM.",
            f"{path.name} 缺失，或其中没有银行的 PEM 证书。",
        ) from None


class _Shown(NamedTuple):
    """Attributes:
    names: all common names in it.
    key: digest of its public key.
    """

    names: tuple[str, ...]
    key: bytes


@lru_cache(maxsize=64)
def _shown(pem: str) -> _Shown:
    found = x509.load_pem_x509_certificate(pem.encode())
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _Shown(tuple(str(name.value) for name in names), _key(found))


def _key(certificate: x509.Certificate) -> bytes:
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).digest()
