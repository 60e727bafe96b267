"""What a party asks of its hub over HTTPS, with the certificate it got when it joined."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx

from federation.errors import PartyId, TransportError
from lab.errors import ReportedError, ServiceError
from lab.hub.authority import party_named, request_for
from lab.hub.invitations import Invitation
from lab.hub.joining import VERSIONS
from lab.membership.alone import alone
from lab.membership.papers import (
    Membership,
    certificate_files,
    forget,
    keep,
    membership_of,
    new_keys,
)
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="TLS 1.2, TLS 1.3",
        purpose="calls of a node to its hub",
        purpose_zh="节点调用枢纽",
        standard="RFC 5246; RFC 8446",
        library="ssl",
    ),
)

_SECONDS: Final = 30.0
#: Joining asks Flower, which takes a second or two.
_JOIN_SECONDS: Final = 120.0


def join(node: Path, invitation: Invitation, seal_suite: str = "international") -> Membership:
    """Make keys in ``node``, have the hub certify them, and keep the papers.

    Raises:
        ConfigError: ``node_running``.
        TransportError: the hub cannot be reached, or is not the one that invited.
        ReportedError: what the hub said against it.
    """
    with alone(node):
        return _joined(node, invitation, seal_suite)


def _joined(node: Path, invitation: Invitation, seal_suite: str) -> Membership:
    keys = new_keys(seal_suite)
    asked = {
        "token": invitation.token,
        "request": request_for(invitation.party, keys.key).decode(),
        "node_key": keys.flower_public,
        "seal_suite": seal_suite,
        "seal_key": keys.seal_public,
        "versions": dict(VERSIONS),
    }
    trusted = ssl.create_default_context(cadata=invitation.authority)
    with _client(invitation.address, trusted, _JOIN_SECONDS) as http:
        told = _answer(http, "POST", "/v1/join", asked)
    certificate = str(told["certificate"]).encode()
    if party_named(certificate) != invitation.party:
        raise _not_the_hub("it certified another name")
    membership = Membership(
        hub=invitation.hub,
        address=invitation.address,
        party=invitation.party,
        role=invitation.role,
        seal_suite=seal_suite,
    )
    keep(node, membership, keys, invitation.authority.encode(), certificate)
    return membership


class Hub:
    """The hub of a party that has joined. Every call raises ``TransportError`` if it cannot be reached and
    ``ReportedError`` for what it says against the call."""

    def __init__(self, node: Path) -> None:
        self.membership = membership_of(node)
        self.node = node
        certificate, key, authority = certificate_files(node)
        self._context = ssl.create_default_context(cafile=str(authority))
        self._context.load_cert_chain(certificate, key)

    def hello(self) -> dict[str, Any]:
        """Versions, and the hub's clock (``time``, ISO 8601)."""
        return dict(self._call("GET", "/v1/hello"))

    def members(self) -> list[dict[str, Any]]:
        """Everybody who has joined."""
        found: list[dict[str, Any]] = self._call("GET", "/v1/members")
        return found

    def leave(self) -> None:
        """End the membership, at the hub and here."""
        self._call("POST", "/v1/leave", {})
        forget(self.node)

    def begin(self, session: str, hosts: Sequence[PartyId], terms: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for a run; returns its state."""
        asked = {"session": session, "hosts": list(hosts), "terms": dict(terms)}
        return dict(self._call("POST", "/v1/runs", asked))

    def run(self, session: str) -> dict[str, Any]:
        """State and outcomes of a run of ours."""
        return dict(self._call("GET", f"/v1/runs/{session}"))

    def stop(self, session: str) -> dict[str, Any]:
        """End a run of ours."""
        return dict(self._call("POST", f"/v1/runs/{session}/stop", {}))

    def ended(self, session: str, ticket: str, code: str) -> None:
        """Tell how our part of a run ended: a code, "" if well."""
        self._call("POST", f"/v1/runs/{session}/outcome", {"ticket": ticket, "code": code})

    def line_to(self, host: PartyId) -> dict[str, Any]:
        """Ask for a standing line: ``session`` and ``ticket``. Waits a while for the host."""
        return dict(self._call("POST", "/v1/lines", {"host": host}))

    def next_line(self, guests: Sequence[PartyId]) -> dict[str, Any]:
        """Wait for the next line one of these guests asks for: ``session``, ``guest``, ``ticket``; nothing: nobody has
        asked for a while."""
        return dict(self._call("POST", "/v1/lines/next", {"guests": list(guests)}))

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        with _client(self.membership.address, self._context, _SECONDS) as http:
            return _answer(http, method, path, body)


def _client(address: str, trusted: ssl.SSLContext, seconds: float) -> httpx.Client:
    # Proxies of the environment are used: a node may have no other way out.
    return httpx.Client(base_url=f"https://{address}", verify=trusted, timeout=seconds)


def _answer(http: httpx.Client, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
    try:
        reply = http.request(method, path, json=body)
    except httpx.ConnectError as error:
        if "CERTIFICATE" in str(error).upper():
            raise _not_the_hub("its certificate is not of the authority in the invitation") from error
        raise _unreachable(http.base_url.netloc.decode(), type(error).__name__) from error
    except httpx.HTTPError as error:
        raise _unreachable(http.base_url.netloc.decode(), type(error).__name__) from error
    try:
        told = reply.json()
    except ValueError as error:
        raise _unreachable(http.base_url.netloc.decode(), f"HTTP {reply.status_code}") from error
    if reply.is_error:
        english, chinese = str(told.get("detail", "")), str(told.get("detail_zh", ""))
        raise ReportedError(str(told.get("code", "hub")), english, chinese, ServiceError.exit_code)
    return told


def _unreachable(address: str, what: str) -> TransportError:
    return TransportError(
        "hub",
        "hub_unreachable",
        f"it does not answer at {address} ({what}). Run `lianmo node doctor`: name, port, proxy, clock, certificate.",
        f"{address} 无应答（{what}）。请运行 lianmo node doctor 检查名称、端口、代理、时钟与证书。",
    )


def _not_the_hub(what: str) -> TransportError:
    return TransportError(
        "hub",
        "hub_unproven",
        f"whoever answers there is not the hub of the invitation ({what}). Do not go on; tell the hub's operator.",
        f"应答方并非邀请所指的枢纽（{what}）。请停止操作并告知枢纽运营方。",
    )
