"""A party's own audit log, opened with the keys of its node; and which keys of others it believes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.ciphers.suites.interface import Suite
from federation.errors import PartyId
from lab.errors import ConfigError, KeysError, ServiceError
from lab.governance.admission import Basis
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import AuditKey, Event
from lab.governance.audit_verify import Registered
from lab.governance.held import SIGNING, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.protection import PASSPHRASE
from lab.governance.pseudonyms import Pseudonyms
from lab.governance.ring import KeyRing

KEYS: Final = "keys"
AUDIT: Final = "audit"
SUITES: Final[Mapping[str, Suite]] = {name: suite(name) for name in SUITE_NAMES}


def keeps_log(node: Path | None) -> bool:
    """Whether a party keeps an audit log: its node has, or had, a signing key. Raises ``KeysError``."""
    return node is not None and any(r.purpose == SIGNING for r in KeyStore(node / KEYS).records())


def registered(node: Path) -> Registered:
    """The signing keys that the node knows: its own, and those of others it believes and nobody revoked. Own keys stay
    known when they are revoked: the log was signed with them. Raises ``KeysError``."""
    store = KeyStore(node / KEYS)
    owner = store.owner
    known = {(owner, r.key_id): AuditKey(r.suite, bytes.fromhex(r.public)) for r in store.records()}
    known |= {
        (k.owner, k.key_id): AuditKey(k.suite, bytes.fromhex(k.public))
        for k in KeyRing(node / KEYS).known()
        if k.purpose == SIGNING and not k.revoked
    }
    return lambda party, key: known.get((party, key))


@dataclass(frozen=True, slots=True)
class NodeSigner:
    """A node's signing key as the audit log uses it (``audit.Signer``)."""

    held: HeldKey

    @property
    def suite(self) -> Suite:
        return self.held.suite

    @property
    def key_id(self) -> str:
        return self.held.key_id

    @property
    def public(self) -> bytes:
        return self.held.suite.verifying_key(self.held.private)

    def sign(self, message: bytes) -> bytes:
        return self.held.sign(message)


def open_log(node: Path, passphrase: str) -> AuditLog:
    """The node's log, signed with its active key from now on; if the key was rotated since the last entry, the old key
    introduces it first. The log itself may not have begun.

    Raises:
        KeysError: no active signing key, a wrong passphrase.
        ServiceError: of the log; ``audit_key`` if its key was revoked: nobody would believe what it introduces.
    """
    store = KeyStore(node / KEYS)
    active = NodeSigner(store.open(store.active(SIGNING).key_id, passphrase))
    log = AuditLog(node / AUDIT, store.owner, active, SUITES)
    if not log.path.exists():
        return log
    in_force = list(log.keys())[-1:]
    if in_force in ([], [active.key_id]):  # without its beginning nothing is appended anyway
        return log
    old = store.record(in_force[0])
    if old.revoked:
        raise ServiceError(
            "audit_key",
            f"The audit log of {store.owner} is signed with the key {old.key_id}, which was revoked: it can introduce "
            "no other. Keep that log aside, begin a new one, and ask the other parties to accept it.",
            f"{store.owner} 的审计日志由已吊销的密钥 {old.key_id} 签名，无法由其引入新密钥。"
            "请另行保存该日志、开立新日志，并请其他各方确认接受。",
        )
    # the one thing a retired key still makes: the introduction of its successor
    log.signer = NodeSigner(replace(store.open(old.key_id, passphrase), may_make=True))
    log.rotate(active)
    return log


class OwnLog(NamedTuple):
    """A party's log, and what stands in it for applicants and consents."""

    log: AuditLog
    pseudonyms: Pseudonyms

    def say(self, kind: str, actor: PartyId = "", operator: str = "", **references: Any) -> None:
        """Append an entry; empty references are left out. Raises ``ServiceError``."""
        self.log.append(event(kind, references, actor, operator))

    def policy(self, terms: bytes) -> str:
        """What stands for the terms of a project (``policy.terms_text``)."""
        return self.log.signer.suite.digest(terms).hex()

    def on(self, basis: Basis, *names: str) -> dict[str, Any]:
        """References of these names to what a use rests on: ``catalogue``, ``items``, ``sources``, ``policy``."""
        every = {
            "catalogue": basis.catalogue,
            "items": basis.items,
            "sources": basis.sources,
            "policy": self.policy(basis.terms),
        }
        return {name: every[name] for name in names}


def officers_log(node: Path) -> OwnLog | None:
    """The log of a node that keeps one, for what its officers do. Raises as ``own_log``."""
    return own_log(node, KeyStore(node / KEYS).owner) if keeps_log(node) else None


def event(kind: str, references: Mapping[str, Any], actor: PartyId = "", operator: str = "") -> Event:
    """Empty references are left out. Raises ``ServiceError``."""
    filled = {name: value for name, value in references.items() if value not in ("", (), [])}
    return Event(kind, filled, actor, operator)


def own_log(node: Path | None, party: PartyId) -> OwnLog | None:
    """The log of a party whose node has keys, begun and whole at its end; None: it keeps none. The passphrase is the
    environment's.

    Raises:
        ConfigError: ``no_passphrase``.
        KeysError: ``other_owner``; as ``open_log`` and ``Pseudonyms.open``.
        ServiceError: ``audit_missing`` if no log was begun; as ``open_log``.
    """
    if node is None or not keeps_log(node):
        return None
    passphrase = passphrase_of(party)
    log = open_log(node, passphrase)
    if log.party != party:
        raise KeysError(
            "other_owner",
            f"The keys in the node of {party} belong to {log.party}. Give each party a folder of its own.",
            f"{party} 节点目录中的密钥属于 {log.party}，请为每一方使用单独的目录。",
        )
    log.last()
    salt = KeyStore(node / KEYS).salt
    return OwnLog(log, Pseudonyms.open(log.folder, log.signer.suite, passphrase, salt))


def passphrase_of(party: PartyId) -> str:
    """What opens the keys of a party's node, from the environment. Raises ``ConfigError`` (``no_passphrase``)."""
    passphrase = os.environ.get(PASSPHRASE)
    if passphrase is None:
        raise ConfigError(
            "no_passphrase",
            f"The node of {party} has keys: set {PASSPHRASE} so that it can sign its audit log and keep checkpoints.",
            f"{party} 的节点持有密钥：请设置环境变量 {PASSPHRASE}，以便签名审计日志并保存检查点。",
        )
    return passphrase
