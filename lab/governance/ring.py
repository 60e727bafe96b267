"""The public keys of other parties: what each says of its own, believed once two people have compared a fingerprint.

An export lists a party's public keys with what became of them, and is signed by its active signing key. The first one,
and every one whose signing key is new, needs the fingerprint of that key over another channel (telephone, in person);
later ones of the same key are taken as they come. What was ever revoked stays revoked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from federation.ciphers.suites.choice import suite as suite_named
from federation.ciphers.suites.interface import fingerprint, key_id
from federation.errors import BadKey, BadSignature
from lab.config_party import PARTY_NAME
from lab.errors import KeysError
from lab.governance import folder
from lab.governance.held import SEALING, SIGNING, HeldKey, Made, made, read_made
from lab.governance.keys import KeyStore, now

FORMAT: Final = 1
_KIND: Final = "lianmo public keys"
_MAXIMUM_KEYS: Final = 1000
_TEXT: Final = r"[0-9A-Za-z:-]{0,200}"  # ids, times, hexadecimal: nothing that a terminal would obey
_SHOWN: Final = ("key_id", "suite", "purpose", "public", "created", "retired", "successor", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key of another party. Times as in ``KeyRecord``; ``revoked`` also if it was revoked here."""

    owner: str
    key_id: str
    suite: str
    purpose: str
    public: str
    created: str
    retired: str
    successor: str
    revoked: str

    @property
    def state(self) -> str:
        """``active``, ``retired`` or ``revoked``."""
        return "revoked" if self.revoked else "retired" if self.retired else "active"


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """An export whose signature holds. Whether its signer is who it says, only a comparison tells.

    Attributes:
        signer: id of the key that signed it, one of ``keys``.
        fingerprint: the digest of that key, to compare.
    """

    owner: str
    made_at: str
    signer: str
    fingerprint: str
    keys: tuple[PublicKey, ...]


def export(store: KeyStore, signer: HeldKey, clock: Callable[[], str] = now) -> dict[str, Any]:
    """All public keys of ``store``, signed: JSON to hand to others. Reasons of revocation stay at home."""
    keys = [{name: getattr(r, name) for name in _SHOWN} for r in store.records() if r.purpose in (SIGNING, SEALING)]
    body = {"format": FORMAT, "kind": _KIND, "owner": store.owner, "made_at": clock(), "keys": keys}
    return {**body, "signature": signer.signed(_signed_bytes(body))}


def read_export(data: Mapping[str, Any]) -> PublicKeys:
    """Another party's export. Raises ``KeysError`` (``export_unreadable``) for what is none, ``BadSignature``, or
    ``BadKey`` for a key that does not fit its id, its suite or its purpose."""
    try:
        (suite, signer), signature = read_made(data["signature"], "signature")
        body = {name: value for name, value in data.items() if name != "signature"}
        if (body["format"], body["kind"]) != (FORMAT, _KIND) or not 0 < len(body["keys"]) <= _MAXIMUM_KEYS:
            raise _unreadable()
        texts = [body["owner"], body["made_at"], *(key[name] for key in body["keys"] for name in _SHOWN)]
        if not all(re.fullmatch(_TEXT, text) for text in texts) or not re.fullmatch(PARTY_NAME, body["owner"]):
            raise _unreadable()
        keys = tuple(_public_key(body["owner"], key) for key in body["keys"])
        for key in keys:
            _check(key)
        by_id = {key.key_id: key for key in keys}
        signing, signed = by_id[signer], _signed_bytes(body)
    except (KeyError, TypeError, ValueError) as error:
        raise _unreadable() from error
    if len(by_id) != len(keys) or (signing.suite, signing.purpose, signing.state) != (suite, SIGNING, "active"):
        raise BadSignature
    of, public = suite_named(suite), bytes.fromhex(signing.public)
    of.verify(public, signed, signature)
    return PublicKeys(body["owner"], body["made_at"], signer, fingerprint(of, public), keys)


class KeyRing:
    """Other parties' keys as this node believes them, in ``ring.json`` of the key folder."""

    def __init__(self, path: Path, clock: Callable[[], str] = now) -> None:
        self._path, self._clock = path, clock

    def known(self) -> list[PublicKey]:
        """All of them, by owner."""
        data = self._read()
        try:
            return [
                _public_key(owner, {**key, "revoked": data["revoked"].get(key["key_id"], "")})
                for owner, party in sorted(data["parties"].items())
                for key in party["keys"]
            ]
        except (AttributeError, KeyError, TypeError) as error:
            raise folder.unreadable(self._file) from error

    def is_known(self, export: PublicKeys) -> bool:
        """Whether its signing key is one this node already believes to be that party's, and not revoked."""
        return any(
            (key.owner, key.key_id) == (export.owner, export.signer) and not key.revoked and _held_by(key, export)
            for key in self.known()
        )

    def accept(self, export: PublicKeys, read_out: str | None = None) -> None:
        """Believe it. ``read_out``: the fingerprint as the other party reads it out, needed unless its key is known.
        Raises ``KeysError`` (``fingerprint_needed``, ``fingerprint_differs``, ``export_old``, ``key_taken``)."""
        with folder.locked(self._path):
            if read_out is not None and _digits(read_out) != _digits(export.fingerprint):
                raise KeysError(
                    "fingerprint_differs",
                    f"The fingerprint differs from what the export of {export.owner} has. Do not use the file: "
                    "somebody may have put keys in place of theirs.",
                    f"指纹与 {export.owner} 的导出文件不符。请勿使用该文件：其中的密钥可能已被替换。",
                )
            if read_out is None and not self.is_known(export):
                raise KeysError(
                    "fingerprint_needed",
                    f"The signing key of {export.owner} is new here. Let its officer read out the fingerprint by "
                    "telephone or in person, and give it with --fingerprint.",
                    f"{export.owner} 的签名密钥尚未确认。请其负责人通过电话或当面读出指纹，并用 --fingerprint 提供。",
                )
            data = self._read()
            held = data["parties"].get(export.owner)
            if held and export.made_at < held["made_at"]:
                raise KeysError(
                    "export_old",
                    f"A later export of {export.owner} is here already, of {held['made_at']}. Ask for a fresh one.",
                    f"已有 {export.owner} 更新的导出（{held['made_at']}），请其重新导出。",
                )
            ours = {key.key_id for key in export.keys}
            if any(key.key_id in ours and key.owner != export.owner for key in self.known()):
                raise KeysError(
                    "key_taken",
                    f"A key in the export of {export.owner} belongs to another party here. Do not use the file.",
                    f"{export.owner} 的导出中有密钥已属于其他参与方，请勿使用该文件。",
                )
            data["parties"][export.owner] = {
                "made_at": export.made_at,
                "accepted_at": self._clock(),
                "signer": export.signer,
                "keys": [{name: getattr(key, name) for name in _SHOWN} for key in export.keys],
            }
            data["revoked"].update(
                {key.key_id: key.revoked for key in export.keys if key.revoked and key.key_id not in data["revoked"]}
            )
            folder.write(self._file, data)

    def revoke(self, wanted: str) -> PublicKey:
        """Trust another party's key no more at this node, whatever its owner says. Raises ``KeysError``
        (``unknown_key``)."""
        with folder.locked(self._path):
            key = self.find(wanted)
            data = self._read()
            data["revoked"].setdefault(wanted, self._clock())
            folder.write(self._file, data)
        return self.find(key.key_id)

    def find(self, wanted: str) -> PublicKey:
        """The key of that id. Raises ``KeysError`` (``unknown_key``)."""
        for key in self.known():
            if key.key_id == wanted:
                return key
        raise KeysError(
            "unknown_key",
            "No party known here has a key of this id. Ask for its public keys ('lianmo node keys import').",
            "已知参与方均无该编号的密钥。请向其索取公钥（lianmo node keys import）。",
        )

    def verify(self, signed: Made, message: bytes) -> str:
        """Who signed. Raises ``BadSignature``; ``KeysError`` for a key that is unknown, revoked or for other things."""
        (suite, wanted), signature = read_made(signed, "signature")
        key = self._usable(wanted, SIGNING)
        if key.suite != suite:
            raise BadSignature
        suite_named(suite).verify(bytes.fromhex(key.public), message, signature)
        return key.owner

    def sealed_to(self, owner: str, plaintext: bytes, context: bytes) -> Made:
        """For the eyes of ``owner``, under its active sealing key. Raises ``KeysError`` (``unknown_key``)."""
        active = [key for key in self.known() if (key.owner, key.purpose, key.state) == (owner, SEALING, "active")]
        if not active:
            raise KeysError(
                "unknown_key",
                f"No active sealing key of {owner} is known. Ask for its public keys ('lianmo node keys import').",
                f"未知 {owner} 的有效密封密钥。请向其索取公钥（lianmo node keys import）。",
            )
        of = suite_named(active[-1].suite)
        sealed = of.seal(bytes.fromhex(active[-1].public), plaintext, context)
        return made(of, active[-1].key_id, "sealed", sealed)

    def _usable(self, wanted: str, purpose: str) -> PublicKey:
        key = self.find(wanted)
        if key.purpose != purpose or key.revoked:
            raise KeysError(
                "key_revoked" if key.revoked else "wrong_purpose",
                f"The key {wanted} of {key.owner} is revoked or not for {purpose}: nothing made with it is trusted.",
                f"{key.owner} 的密钥 {wanted} 已吊销或用途不符，其生成的内容不再可信。",
            )
        return key

    @property
    def _file(self) -> Path:
        return self._path / "ring.json"

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {"format": FORMAT, "parties": {}, "revoked": {}}
        data = folder.read(self._file)
        if data.get("format") != FORMAT or not {"parties", "revoked"} <= data.keys():
            raise folder.unreadable(self._file)
        return data


def _public_key(owner: str, data: Mapping[str, Any]) -> PublicKey:
    return PublicKey(owner=owner, **{name: data[name] for name in _SHOWN})


def _check(key: PublicKey) -> None:
    """Raises ``BadKey``, or ``ValueError`` for what is not hexadecimal."""
    of, public = suite_named(key.suite), bytes.fromhex(key.public)
    if key_id(of, public) != key.key_id:
        raise BadKey
    if key.purpose == SEALING:
        of.seal(public, b"", b"")
        return
    if key.purpose != SIGNING:
        raise BadKey
    try:
        of.verify(public, b"", b"")
    except BadSignature:
        return


def _held_by(key: PublicKey, export: PublicKeys) -> bool:
    return any((k.key_id, k.public) == (key.key_id, key.public) for k in export.keys)


def _digits(shown: str) -> str:
    return "".join(c for c in shown.lower() if c in "0123456789abcdef")


def _signed_bytes(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"{_KIND} {FORMAT}\n{text}".encode()


def _unreadable() -> KeysError:
    return KeysError(
        "export_unreadable",
        "The file is no export of public keys of this release. Ask its sender for 'lianmo node keys export'.",
        "该文件不是本版本的公钥导出文件。请对方重新执行 lianmo node keys export。",
    )
