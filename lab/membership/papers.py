"""A party's papers at one hub, in ``hub`` of its own folder: who it is, its keys, and the hub's authority.

Private keys are made here and never leave; they are files that only their owner reads.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from federation.ciphers.suites.choice import suite
from federation.ciphers.suites.interface import fingerprint
from federation.transports.frames import Tls
from lab.errors import ConfigError, KeysError
from lab.governance.folder import write_secret
from lab.hub.authority import new_key
from lab.hub.invitations import Role
from models.bundle import load
from models.declared import Declared
from models.errors import ModelError

CRYPTO: Final = (
    Declared(
        algorithm="ECDSA with P-384 and SHA-256",
        key_bits=(384,),
        purpose="key with which a Flower node signs, as Flower asks for it",
        purpose_zh="Flower 节点签名密钥（按 Flower 要求）",
        standard="FIPS 186-5",
        library="cryptography",
    ),
)

FOLDER: Final = "hub"
_FILE: Final = "membership.json"
_NEW: Final = "hub.new"
AUTHORITY: Final = "authority.pem"
FLOWER_KEY: Final = "flower.key"
_CERTIFICATE, _KEY, _SEAL = "node.pem", "node.key", "seal.key"
_PRIVATE: Final = (_KEY, _SEAL, FLOWER_KEY)
#: From then on ``doctor`` asks for a new invitation.
RENEW_DAYS: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Attributes:
    hub: name of the federation.
    address: "host:port" of the hub.
    seal_suite: of the key with which the party proves to others who it is.
    """

    hub: str
    address: str
    party: str
    role: Role
    seal_suite: str


@dataclass(frozen=True, slots=True)
class NewKeys:
    """Keys made for a joining, and what of them the hub is shown."""

    key: bytes
    flower: bytes
    flower_public: str
    seal: bytes
    seal_public: str

    def __repr__(self) -> str:
        return "NewKeys(<redacted>)"


def new_keys(seal_suite: str) -> NewKeys:
    """Fresh ones. Raises ``CipherError`` (``unknown_suite``)."""
    flower = ec.generate_private_key(ec.SECP384R1())
    seal = suite(seal_suite).new_signing_key()
    return NewKeys(
        key=new_key(),
        flower=flower.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
        flower_public=flower.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        seal=seal,
        seal_public=suite(seal_suite).verifying_key(seal).hex(),
    )


def keep(node: Path, membership: Membership, keys: NewKeys, authority: bytes, certificate: bytes) -> None:
    """Put the papers into the party's folder, in place of earlier ones, all or none."""
    node.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = node / _NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    contents = {
        _FILE: (json.dumps(asdict(membership), ensure_ascii=False, indent=1) + "\n").encode(),
        AUTHORITY: authority,
        _CERTIFICATE: certificate,
        _KEY: keys.key,
        FLOWER_KEY: keys.flower,
        _SEAL: keys.seal.hex().encode(),
    }
    for name, content in contents.items():
        if name in _PRIVATE:
            write_secret(new / name, content)
        else:
            (new / name).write_bytes(content)
    shutil.rmtree(node / FOLDER, ignore_errors=True)
    new.rename(node / FOLDER)


def membership_of(node: Path) -> Membership:
    """Raises ``ConfigError`` (``not_joined``), ``KeysError`` (``keys_too_open``)."""
    place = node / FOLDER
    try:
        found = Membership(**load(place / _FILE))
        for name in _PRIVATE:
            state = (place / name).stat()
            if state.st_mode & 0o077 or state.st_uid != os.geteuid():
                raise _too_open(name)
    except (ModelError, TypeError, OSError) as error:
        raise ConfigError(
            "not_joined",
            f"{node} has not joined a hub, or its papers are incomplete. Ask the hub's operator for an invitation, "
            "then run `lianmo node join INVITATION`.",
            f"{node} 尚未加入枢纽，或其证书文件不完整。请向枢纽运营方索取邀请，再运行 lianmo node join 邀请文件。",
        ) from error
    return found


def tls_of(node: Path) -> Tls:
    """To speak TLS with the hub as this party. Raises as ``membership_of``."""
    membership_of(node)
    return Tls(*(path.read_bytes() for path in certificate_files(node)))


def certificate_files(node: Path) -> tuple[Path, Path, Path]:
    """The party's certificate, its key, and the hub's authority."""
    place = node / FOLDER
    return place / _CERTIFICATE, place / _KEY, place / AUTHORITY


def seal_key(node: Path) -> bytes:
    """The private key with which the party proves to others who it is. Raises as ``membership_of``."""
    membership_of(node)
    return bytes.fromhex((node / FOLDER / _SEAL).read_text("ascii"))


def seal_fingerprint(node: Path) -> str:
    """Of the public half, to read out to others. Raises as ``membership_of``."""
    own = suite(membership_of(node).seal_suite)
    return fingerprint(own, own.verifying_key(seal_key(node)))


def forget(node: Path) -> None:
    """Destroy the papers. Runs and halves of models stay."""
    shutil.rmtree(node / FOLDER, ignore_errors=True)


def _too_open(name: str) -> KeysError:
    return KeysError(
        "keys_too_open",
        f"'{name}' can be read by others or belongs to another user. Its key may be known: leave the hub, join anew.",
        f"“{name}”可被他人读取或属于其他用户，密钥可能已泄露：请退出枢纽后重新加入。",
    )
