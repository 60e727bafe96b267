"""How a party becomes a member: an invitation and three public keys in, a certificate and a place in Flower out."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.errors import BadKey, BadSignature
from federation.messages import PROTOCOL_VERSION
from lab.errors import ServiceError
from lab.hub.authority import BadRequestError, Papers, requested_key, serial_number, sign_request
from lab.hub.members import Member, Members
from models.declared import Declared

log = logging.getLogger("lianmo.hub")

CRYPTO: Final = (
    Declared(
        algorithm="ECDSA with P-384 and SHA-256",
        key_bits=(384,),
        purpose="keys with which Flower nodes sign, as Flower asks for them",
        purpose_zh="Flower 节点签名密钥（按 Flower 要求）",
        standard="FIPS 186-5",
        library="cryptography",
    ),
)

#: Of this release; what must be the same at hub and nodes.
VERSIONS: Final[Mapping[str, Any]] = {
    "lianmo": metadata.version("lianmo"),
    "flwr": metadata.version("flwr"),
    "protocol": PROTOCOL_VERSION,
}


class Registry(Protocol):
    """The SuperLink, as far as nodes go."""

    async def register(self, node_key: Path) -> str: ...
    async def unregister(self, node: str) -> None: ...


@dataclass(slots=True)
class Joining:
    """``hub``: name of the federation, for those who join."""

    hub: str
    authority: Papers = field(repr=False)
    members: Members
    registry: Registry
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def join(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Use an invitation up. A member that joins again has new papers and its old ones are worth nothing.

        Args:
            asked: ``token``; ``request`` for a certificate, PEM; ``node_key``, PEM; ``seal_suite`` and ``seal_key``,
                hexadecimal; ``versions``.

        Raises:
            ServiceError: ``bad_keys``, ``other_version`` or of the registry, and the invitation stays good;
                ``invitation_unknown``.
        """
        text = {name: str(asked.get(name, "")) for name in ("token", "request", "node_key", "seal_suite", "seal_key")}
        if asked.get("versions") != VERSIONS:
            raise _other_version(asked.get("versions"))
        node_key = _node_key(text["node_key"])
        _check_seal(text["seal_suite"], text["seal_key"])
        _check_request(text["request"])
        async with self._one_at_a_time:
            if any(member.node_key == text["node_key"] for member in self.members.all()):
                raise _bad_keys()
            invited = self.members.spend(text["token"])
            certificate = sign_request(self.authority, invited.party, text["request"].encode())
            before = self.members.find(invited.party)
            try:
                with tempfile.NamedTemporaryFile(suffix=".pub") as file:
                    file.write(node_key)
                    file.flush()
                    flower_node = await self.registry.register(Path(file.name))
            except ServiceError:
                self.members.give_back(invited)
                raise
            if before:
                await self.registry.unregister(before.flower_node)
            self.members.put(
                Member(
                    party=invited.party,
                    role=invited.role,
                    serial=serial_number(certificate),
                    node_key=text["node_key"],
                    seal_suite=text["seal_suite"],
                    seal_key=text["seal_key"],
                    flower_node=flower_node,
                    version=str(VERSIONS["lianmo"]),
                    joined=datetime.now(UTC).isoformat(timespec="seconds"),
                )
            )
        log.info("%s %s as %s", invited.party, "joined again" if before else "joined", invited.role)
        return {"party": invited.party, "role": invited.role, "hub": self.hub, "certificate": certificate.decode()}

    async def leave(self, party: str) -> None:
        """End a membership. Raises ``ServiceError`` (``no_member``)."""
        async with self._one_at_a_time:
            gone = self.members.remove(party)
            await self.registry.unregister(gone.flower_node)
        log.info("%s left", party)


def _node_key(pem: str) -> bytes:
    """In SSH's form, as Flower reads it. Raises ``ServiceError``."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_keys() from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise _bad_keys()
    # The front compares texts: there may be one text of a key.
    if key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode() != pem:
        raise _bad_keys()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


def _check_seal(name: str, key: str) -> None:
    if name not in SUITE_NAMES:
        raise _bad_keys()
    try:
        suite(name).verify(bytes.fromhex(key), b"", b"")
    except BadSignature:
        return
    except (BadKey, ValueError) as error:
        raise _bad_keys() from error


def _check_request(request: str) -> None:
    try:
        requested_key(request.encode())
    except BadRequestError as error:
        raise _bad_keys() from error


def _bad_keys() -> ServiceError:
    return ServiceError(
        "bad_keys",
        "The keys are none that a node of this release makes, or belong to a member already. Nothing was changed and "
        "the invitation is still good.",
        "密钥不符合本版本节点的格式，或已属于其他成员。未作任何改动，邀请仍然有效。",
    )


def _other_version(theirs: object) -> ServiceError:
    shown = {name: str(theirs.get(name))[:32] for name in VERSIONS} if isinstance(theirs, dict) else {}
    return ServiceError(
        "other_version",
        f"The hub has {dict(VERSIONS)}, the node {shown}. Install the hub's release; the invitation is still good.",
        f"枢纽版本为 {dict(VERSIONS)}，节点版本为 {shown}。请安装与枢纽相同的版本；邀请仍然有效。",
    )
