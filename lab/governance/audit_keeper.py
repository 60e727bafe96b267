"""A party's own log as countersigning uses it (``federation.audit.keeper.Keeper``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from federation.audit.heads import Countersigned, SignedHead
from federation.errors import CipherError, PartyId
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import Event, parse
from lab.governance.audit_file import lines_of
from lab.governance.audit_verify import Registered


@dataclass(frozen=True, slots=True)
class LogKeeper:
    """Attributes:
    registered: which keys the party accepts as whose; others' keys are never taken from the wire.
    """

    log: AuditLog
    registered: Registered

    @property
    def suite(self) -> str:
        return self.log.suite.name

    @property
    def key(self) -> str:
        return self.log.signer.key_id

    def last(self) -> tuple[int, bytes]:
        entry = self.log.last()
        return entry.number, bytes.fromhex(entry.digest)

    def contains(self, number: int, digest: bytes) -> bool:
        line = next(islice(lines_of(self.log.path), number - 1, None), b"")
        try:
            entry = parse(line)
        except ValueError:
            return False
        found = self.log.suite.digest(entry.digested_bytes())
        return (entry.number, found.hex()) == (number, entry.digest) and found == digest

    def sign(self, message: bytes) -> bytes:
        return self.log.signer.sign(message)

    def verify(self, party: PartyId, suite: str, key: str, message: bytes, signature: bytes) -> None:
        public = self._public(party, key)
        if public is None or suite != self.suite:
            raise CipherError(
                "bad_signature",
                f"No key of that name and suite is known for {party}.",
                f"没有登记 {party} 的该密钥与套件。",
            )
        self.log.suite.verify(public, message, signature)

    def held(self, party: PartyId) -> tuple[str, SignedHead] | None:
        found = None
        for entry in self.log.entries("heads_countersigned", "log_accepted"):
            if entry.kind == "log_accepted":
                found = None if entry.references["party"] == party else found
                continue
            for head in entry.references["heads"]:
                if head["party"] == party:
                    found = entry.references["session"], signed_head(head)
        return found

    def keep(self, statement: Countersigned) -> None:
        signatures = {party: s.hex() for party, s in statement.countersignatures.items()}
        self._append("heads_countersigned", statement.session, statement.heads, signatures)

    def dispute(self, session: str, head: SignedHead) -> None:
        self._append("head_disputed", session, (head,), {})

    def _append(
        self, kind: str, session: str, heads: tuple[SignedHead, ...], countersignatures: Mapping[PartyId, str]
    ) -> None:
        kept: list[dict[str, Any]] = [
            {
                "party": head.party,
                "number": head.number,
                "digest": head.digest.hex(),
                "suite": head.suite,
                "key": head.key,
                "public": (self._public(head.party, head.key) or b"").hex(),
                "signature": head.signature.hex(),
                "countersignature": countersignatures.get(head.party, ""),
            }
            for head in heads
        ]
        self.log.append(Event(kind, {"session": session, "heads": kept}))

    def _public(self, party: PartyId, key: str) -> bytes | None:
        if party == self.log.party:
            return self.log.keys().get(key)
        return self.registered(party, key)


def signed_head(head: Mapping[str, Any]) -> SignedHead:
    """A head as it stands in an entry's references."""
    return SignedHead(
        head["party"],
        head["number"],
        bytes.fromhex(head["digest"]),
        head["suite"],
        head["key"],
        bytes.fromhex(head["signature"]),
    )
