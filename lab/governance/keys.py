"""The keys of a node over their life: generated, in use, retired, revoked, destroyed; the record of each stays.

In a folder of mode 0700: ``keys.json``, one record per key that ever was, and ``<key id>.secret``, the private key
under the node's passphrase, until it is destroyed. A change is one replacement of ``keys.json`` under a lock; a secret
is written before its record and destroyed before its record says so, so that whatever interrupts, no record promises
what is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from federation.ciphers.suites.choice import suite as suite_named
from federation.ciphers.suites.interface import Suite, fingerprint, key_id
from lab.config_party import PARTY_NAME
from lab.errors import KeysError
from lab.governance import folder
from lab.governance.held import PURPOSES, PURPOSES_ZH, SEALING, SIGNING, HeldKey
from lab.governance.protection import check_passphrase, protect, reveal, salt_of

FORMAT: Final = 1
STATES_ZH: Final = {"active": "有效", "retired": "已停用", "revoked": "已吊销", "destroyed": "已销毁"}
_STORAGE_CHECK: Final = b"lianmo storage key\x00"


def now() -> str:
    """This second, UTC, as records have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key for ever. Times are UTC, empty until they come.

    Attributes:
        public: its public key, hexadecimal; of a storage key the digest that recognises it.
        successor: the key that replaced it.
        reason: why it was revoked, as the officer wrote it; it stays with this node.
    """

    key_id: str
    suite: str
    purpose: str
    public: str
    created: str
    retired: str = ""
    successor: str = ""
    revoked: str = ""
    reason: str = ""
    destroyed: str = ""

    @property
    def state(self) -> str:
        """``active``, ``retired`` (reads only), ``revoked`` (reads only, trusted by nobody) or ``destroyed``."""
        past = (("destroyed", self.destroyed), ("revoked", self.revoked), ("retired", self.retired))
        return next((name for name, when in past if when), "active")

    @property
    def fingerprint(self) -> str:
        """The digest of its public key, to compare over another channel."""
        return fingerprint(suite_named(self.suite), bytes.fromhex(self.public))


class KeyStore:
    """The keys in one folder.

    Args:
        path: the folder; made when the first key is.
        cost: of stretching the passphrase; the suite's own unless given (tests).
    """

    def __init__(self, path: Path, *, cost: int | None = None, clock: Callable[[], str] = now) -> None:
        self._path, self._cost, self._clock = path, cost, clock

    @property
    def owner(self) -> str:
        """The party whose keys these are; empty before the first key."""
        return self._index()[0]

    def records(self) -> list[KeyRecord]:
        """All keys that ever were, oldest first. Raises ``KeysError``."""
        return self._index()[1]

    def record(self, wanted: str) -> KeyRecord:
        """One of them. Raises ``KeysError`` (``unknown_key``)."""
        return _one(self.records(), wanted)

    @property
    def salt(self) -> bytes | None:
        """With which the passphrase of this node is stretched; None before its first key. Raises ``KeysError``."""
        return self._salt_beside(self.records())

    def active(self, purpose: str) -> KeyRecord:
        """The key in use for it. Raises ``KeysError`` (``no_active_key``)."""
        for record in self.records():
            if (record.purpose, record.state) == (purpose, "active"):
                return record
        raise KeysError(
            "no_active_key",
            f"This node has no active key for {purpose}. Run 'lianmo node keys generate'.",
            f"本节点没有有效的{PURPOSES_ZH[purpose]}密钥。请运行 lianmo node keys generate。",
        )

    def generate(self, owner: str, suite: str, passphrase: str, purposes: Iterable[str] = PURPOSES) -> list[KeyRecord]:
        """A key for each purpose. Raises ``KeysError`` if there is one, the folder is another party's, another suite
        is in use, the party's name is none, or the passphrase is short or not that of the other keys."""
        of = suite_named(suite)
        check_passphrase(passphrase)
        if not re.fullmatch(PARTY_NAME, owner):
            raise KeysError(
                "bad_party",
                "A party's name is like 'bank' or 'host:tax': small letters, digits, '-' and '_'.",
                "参与方名称形如 bank 或 host:tax：小写字母、数字、“-”与“_”。",
            )
        with self._changing() as (before, records):
            living = [r for r in records if r.state == "active"]
            if before not in ("", owner):
                raise KeysError(
                    "other_owner",
                    f"These keys belong to {before}. Give each party a folder of its own.",
                    f"该目录的密钥属于 {before}，请为每一方使用单独的目录。",
                )
            for purpose in purposes:
                if any(r.purpose == purpose for r in living):
                    raise KeysError(
                        "key_exists",
                        f"There is an active key for {purpose}. Rotate it ('lianmo node keys rotate').",
                        f"已有有效的{PURPOSES_ZH[purpose]}密钥，请改用轮换（lianmo node keys rotate）。",
                    )
            if any(r.suite != suite for r in living):
                raise KeysError(
                    "other_suite",
                    f"This node uses the crypto suite {living[0].suite}. Rotate its keys to change it (--suite).",
                    f"本节点使用密码套件 {living[0].suite}；如需更换，请在轮换时指定 --suite。",
                )
            self._check_same_passphrase(records, passphrase)
            fresh: list[KeyRecord] = []
            for purpose in purposes:
                fresh.append(self._make(of, purpose, passphrase, [*records, *fresh]))
            self._save(owner, [*records, *fresh])
        return fresh

    def rotate(self, wanted: str, passphrase: str, suite: str | None = None) -> KeyRecord:
        """A new key in its place; the old one only reads from now on. ``suite``: move to another one. Raises
        ``KeysError`` (``unknown_key``, ``key_not_active``, ``wrong_passphrase``)."""
        with self._changing() as (owner, records):
            old = _one(records, wanted)
            if old.state not in ("active", "revoked") or old.successor:
                raise KeysError(
                    "key_not_active",
                    f"The key {wanted} is {old.state}; only a key in use, or one just revoked, is rotated.",
                    f"密钥 {wanted} {STATES_ZH[old.state]}；仅可轮换有效的或刚吊销的密钥。",
                )
            self._reveal(old, passphrase)
            new = self._make(suite_named(suite or old.suite), old.purpose, passphrase, records)
            self._save(owner, [*_changed(records, old, retired=self._clock(), successor=new.key_id), new])
        return new

    def revoke(self, wanted: str, reason: str) -> KeyRecord:
        """Trust it no more, from now on; needs no passphrase, so that nothing delays it. Raises ``KeysError``
        (``unknown_key``, ``key_revoked``, ``no_reason``)."""
        if not reason.strip():
            raise KeysError("no_reason", "Say why the key is revoked (--reason).", "请用 --reason 说明吊销密钥的原因。")
        with self._changing() as (owner, records):
            old = _one(records, wanted)
            if old.revoked:
                raise KeysError(
                    "key_revoked",
                    f"The key {wanted} is revoked already, since {old.revoked}.",
                    f"密钥 {wanted} 已于 {old.revoked} 吊销。",
                )
            changed = _changed(records, old, revoked=self._clock(), reason=reason.strip())
            self._save(owner, changed)
            return _one(changed, wanted)

    def destroy(self, wanted: str) -> KeyRecord:
        """Overwrite and unlink its secret: what it sealed or encrypted is lost. Raises ``KeysError`` (``unknown_key``,
        ``key_in_use``)."""
        with self._changing() as (owner, records):
            old = _one(records, wanted)
            if old.state == "active":
                raise KeysError(
                    "key_in_use",
                    f"The key {wanted} is in use. Rotate or revoke it first.",
                    f"密钥 {wanted} 正在使用，请先轮换或吊销。",
                )
            folder.shred(self._secret(wanted))
            changed = _changed(records, old, destroyed=old.destroyed or self._clock())
            self._save(owner, changed)
            return _one(changed, wanted)

    def open(self, wanted: str, passphrase: str) -> HeldKey:
        """The key, ready for use. Raises ``KeysError`` (``unknown_key``, ``key_destroyed``, ``wrong_passphrase``)."""
        record = self.record(wanted)
        private = self._reveal(record, passphrase)
        return HeldKey(suite_named(record.suite), wanted, record.purpose, private, may_make=record.state == "active")

    def _make(self, suite: Suite, purpose: str, passphrase: str, beside: list[KeyRecord]) -> KeyRecord:
        private, public = _new(suite, purpose)
        name = key_id(suite, public)
        protected = protect(suite, private, passphrase, name, self._cost, self._salt_beside(beside))
        folder.write(self._secret(name), protected)
        return KeyRecord(key_id=name, suite=suite.name, purpose=purpose, public=public.hex(), created=self._clock())

    def _reveal(self, record: KeyRecord, passphrase: str) -> bytes:
        if record.destroyed:
            raise KeysError(
                "key_destroyed",
                f"The key {record.key_id} was destroyed at {record.destroyed}: what it sealed or encrypted is lost.",
                f"密钥 {record.key_id} 已于 {record.destroyed} 销毁，其加密的数据无法恢复。",
            )
        protected = folder.read(self._secret(record.key_id))
        return reveal(suite_named(record.suite), protected, passphrase, record.key_id)

    def _check_same_passphrase(self, records: list[KeyRecord], passphrase: str) -> None:
        """One passphrase per node: a service that has it can open every key."""
        for record in reversed(records):
            if not record.destroyed:
                self._reveal(record, passphrase)
                return

    def _salt_beside(self, records: list[KeyRecord]) -> bytes | None:
        living = [r for r in records if not r.destroyed]
        return salt_of(folder.read(self._secret(living[-1].key_id))) if living else None

    def _secret(self, name: str) -> Path:
        return self._path / f"{name}.secret"

    def _index(self) -> tuple[str, list[KeyRecord]]:
        path = self._path / "keys.json"
        if not path.exists():
            return "", []
        data = folder.read(path)
        try:
            if data["format"] != FORMAT:
                raise folder.unreadable(path)
            return str(data["owner"]), [KeyRecord(**record) for record in data["keys"]]
        except (KeyError, TypeError) as error:
            raise folder.unreadable(path) from error

    @contextmanager
    def _changing(self) -> Iterator[tuple[str, list[KeyRecord]]]:
        """The only process that changes keys, beginning with what an interrupted one may have left."""
        with folder.locked(self._path):
            owner, records = self._index()
            known = {f"{r.key_id}.secret" for r in records if not r.destroyed}
            for left in self._path.iterdir():
                if left.suffix == ".partial" or (left.suffix == ".secret" and left.name not in known):
                    folder.shred(left)
            yield owner, records

    def _save(self, owner: str, records: list[KeyRecord]) -> None:
        data = {"format": FORMAT, "owner": owner, "keys": [asdict(r) for r in records]}
        folder.write(self._path / "keys.json", data)


def _new(suite: Suite, purpose: str) -> tuple[bytes, bytes]:
    """A private key and what its id is made of."""
    if purpose == SIGNING:
        private = suite.new_signing_key()
        return private, suite.verifying_key(private)
    if purpose == SEALING:
        private = suite.new_sealing_key()
        return private, suite.sealing_key(private)
    private = suite.new_secret()
    return private, suite.digest(_STORAGE_CHECK + private)  # says nothing of a random key, recognises it


def _one(records: list[KeyRecord], wanted: str) -> KeyRecord:
    for record in records:
        if record.key_id == wanted:
            return record
    raise KeysError(
        "unknown_key",
        "No key has this id. 'lianmo node keys list' shows all.",
        "没有该编号的密钥。可用 lianmo node keys list 查看。",
    )


def _changed(records: list[KeyRecord], old: KeyRecord, **changes: Any) -> list[KeyRecord]:
    return [replace(r, **changes) if r is old else r for r in records]
