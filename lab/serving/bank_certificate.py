"""The bank known by its certificate: at a data node's endpoint one of another name is worth nothing.

TLS has checked who issued it; an authority may have issued others. Certificates from joining a hub carry the party's
name already.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from starlette.types import Scope

from federation.errors import PartyId
from lab.serving.problems import RequestError
from models.declared import Declared

log = logging.getLogger("lianmo.serving")

CRYPTO: Final = (
    Declared(
        algorithm="X.509 (common name of a verified certificate)",
        purpose="a data node's endpoint: the bank known by its certificate",
        purpose_zh="数据方评分端点：以证书识别银行",
        standard="RFC 5280",
        library="cryptography",
    ),
)


def need_bank(scope: Scope, bank: PartyId) -> None:
    """Let through the certificate whose common name is ``bank``, and connections that TLS asks for none.

    Raises:
        RequestError: 403, ``other_caller``.
    """
    chain = scope.get("extensions", {}).get("tls", {}).get("client_cert_chain")
    if not chain or _names(chain[0]) == (bank,):
        return
    log.warning("a certificate of another than %s was refused request=%s", bank, scope["state"]["request_id"])
    raise RequestError(
        HTTPStatus.FORBIDDEN,
        "other_caller",
        f"This endpoint answers {bank} only, and the certificate carries another name. Show the one issued for it.",
        f"本端点仅向 {bank} 应答，所出示证书的名称不符。请使用为其签发的证书。",
    )


@lru_cache(maxsize=64)
def _names(pem: str) -> tuple[str, ...]:
    """All common names in it."""
    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    return tuple(str(name.value) for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME))
