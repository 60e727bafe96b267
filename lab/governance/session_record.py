"""What a party's audit log says of one session: from its opening, over what was refused, to its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from federation.ciphers.suites.choice import SUITE_NAMES, suite
from federation.ciphers.suites.interface import Suite
from federation.errors import PartyId
from lab.errors import ConfigError, KeysError, ServiceError
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import AuditKey, Event
from lab.governance.audit_keeper import LogKeeper
from lab.governance.audit_verify import Registered
from lab.governance.held import SIGNING, HeldKey
from lab.governance.keys import KeyStore
from lab.governance.protection import PASSPHRASE
from lab.governance.ring import KeyRing
from models.errors import LianmoError

KEYS: Final = "keys"
AUDIT: Final = "audit"
SUITES: Final[Mapping[str, Suite]] = {name: suite(name) for name in SUITE_NAMES}

#: The half this party sealed: what ``model_sealed`` says of it besides model and session; None: nothing is sealed.
Sealed = Callable[[], Mapping[str, Any] | None]


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


@dataclass(slots=True)
class SessionRecord:
    """Attributes:
    log: None: the party keeps none, and nothing is recorded.
    parties: of the session, as far as this party knows them.
    countersigned: whether all of them keep a log and sign its heads at the end.
    """

    log: AuditLog | None
    registered: Registered
    session: str
    parties: Sequence[PartyId]
    guest: PartyId
    countersigned: bool
    ended: bool = False

    @classmethod
    def of(
        cls,
        node: Path | None,
        party: PartyId,
        session: str,
        parties: Sequence[PartyId],
        guest: PartyId,
        *,
        countersigned: bool,
    ) -> Self:
        """Ready to record, before anything is sent; the passphrase is the environment's.

        Raises:
            ConfigError: ``no_passphrase``.
            KeysError: ``other_owner``, ``unknown_key`` if the key of a party that is to countersign is not known; as
                ``open_log``.
            ServiceError: ``audit_missing`` if no log was begun; as ``open_log``.
        """
        if node is None or not keeps_log(node):
            return cls(None, lambda *_: None, session, parties, guest, countersigned=False)
        passphrase = os.environ.get(PASSPHRASE)
        if passphrase is None:
            raise ConfigError(
                "no_passphrase",
                f"The node of {party} has keys and keeps an audit log: set {PASSPHRASE} so that it can sign.",
                f"{party} 的节点持有密钥并记录审计日志：请设置环境变量 {PASSPHRASE} 以便签名。",
            )
        log = open_log(node, passphrase)
        if log.party != party:
            raise KeysError(
                "other_owner",
                f"The keys in the node of {party} belong to {log.party}. Give each party a folder of its own.",
                f"{party} 节点目录中的密钥属于 {log.party}，请为每一方使用单独的目录。",
            )
        log.last()
        if countersigned:
            believed = {k.owner for k in KeyRing(node / KEYS).known() if (k.purpose, k.state) == (SIGNING, "active")}
            for other in sorted({*parties} - {party} - believed):
                raise KeysError(
                    "unknown_key",
                    f"{party} knows no active signing key of {other}, so it could not check what {other} countersigns. "
                    "Ask for its public keys ('lianmo node keys import').",
                    f"{party} 未登记 {other} 的有效签名密钥，无法核验其会签。"
                    "请向其索取公钥（lianmo node keys import）。",
                )
        return cls(log, registered(node), session, parties, guest, countersigned=countersigned)

    @property
    def said(self) -> str:
        """What there is of the session in this party's log, for the run's result: ``none``, ``own`` or
        ``countersigned``."""
        if self.log is None:
            return "none"
        kept = self.countersigned and any(
            entry.references["session"] == self.session for entry in self.log.entries("heads_countersigned")
        )
        return "countersigned" if kept else "own"

    def opened(self, **references: Any) -> None:
        """The session has begun for this party."""
        self._say(("session_opened", {"parties": list(self.parties), **references}))

    def admitted(self, **references: Any) -> None:
        """How many rows came through, of what."""
        self._say(("rows_admitted", references))

    def refused(self, error: LianmoError, **references: Any) -> None:
        """A request of the guest was refused; the code is all that is said of why."""
        self._say(("refused", {"code": error.code, "party": self.guest, **references}))

    def end(self, sealed: Mapping[str, Any] | None = None, code: str = "") -> None:
        """The last of it, once: the half that was sealed, and how it ended. Raises ``ServiceError``."""
        if not self.ended:
            self._say(*self._last(sealed, code))
            self.ended = True

    def keeper(self, sealed: Sealed) -> LogKeeper:
        """The log for countersigning; ``sealed`` is asked for when the head is, which then covers the session's end."""
        assert self.log

        def closing() -> Sequence[Event]:
            if self.ended:
                return ()
            self.ended = True
            return [self._event(*said) for said in self._last(sealed(), "")]

        return LogKeeper(self.log, self.registered, closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.end(code=error.code if isinstance(error, LianmoError) else "internal")

    def _last(self, sealed: Mapping[str, Any] | None, code: str) -> list[tuple[str, dict[str, Any]]]:
        said: list[tuple[str, dict[str, Any]]] = []
        if sealed:
            said.append(("model_sealed", {"model": self.session, **sealed}))
        return [*said, ("session_ended", {"model": self.session, **({"code": code} if code else {})})]

    def _say(self, *said: tuple[str, dict[str, Any]]) -> None:
        if self.log:
            self.log.append(*(self._event(kind, references) for kind, references in said))

    def _event(self, kind: str, references: Mapping[str, Any]) -> Event:
        actor = self.guest if kind in ("session_opened", "refused") else ""
        filled = {name: value for name, value in references.items() if value not in ("", (), [])}
        return Event(kind, {"session": self.session, **filled}, actor)
