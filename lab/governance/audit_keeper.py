"""A party's own log as countersigning uses it (``federation.audit.keeper.Keeper``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from federation.audit.heads import Countersigned, SignedHead
from federation.errors import PartyId
from lab.governance.audit import AuditLog
from lab.governance.audit_entry import AuditKey, Event, is_digested, is_signed, parse
from lab.governance.audit_file import lines_of
from lab.governance.audit_verify import Registered


@dataclass(frozen=True, slots=True)
class LogKeeper:
    """Attributes:
    registered: which keys the party accepts as whose; others' keys are never taken from the wire.
    closing: what the party has to say last of the session, asked for when its head is: the head then covers it.
    """

    log: AuditLog
    registered: Registered
    closing: Callable[[], Sequence[Event]] = tuple

    @property
    def suite(self) -> str:
        return self.log.signer.suite.name

    @property
    def key(self) -> str:
        return self.log.signer.key_id

    def last(self) -> tuple[int, bytes]:
        closing = self.closing()
        entry = self.log.append(*closing)[-1] if closing else self.log.last()
        return entry.number, bytes.fromhex(entry.digest)

    def contains(self, number: int, digest: bytes) -> bool:
        line = next(islice(lines_of(self.log.path), number - 1, None), b"")
        try:
            entry = parse(line)
        except ValueError:
            return False
        return (entry.number, entry.digest) == (number, digest.hex()) and is_digested(self.log.suites, entry)

    def sign(self, message: bytes) -> bytes:
        return self.log.signer.sign(message)

    def is_signed(self, party: PartyId, suite: str, key: str, message: bytes, signature: bytes) -> bool:
        known = self._key(party, key)
        return known is not None and known.suite == suite and is_signed(self.log.suites, known, message, signature)

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
        keys = [self._key(head.party, head.key) for head in heads]
        kept: list[dict[str, Any]] = [
            {
                "party": head.party,
                "number": head.number,
                "digest": head.digest.hex(),
                "suite": head.suite,
                "key": head.key,
                "public": key.public.hex() if key else "",
                "signature": head.signature.hex(),
                "countersignature": countersignatures.get(head.party, ""),
            }
            for head, key in zip(heads, keys, strict=True)
        ]
        self.log.append(Event(kind, {"session": session, "heads": kept}))

    def _key(self, party: PartyId, key: str) -> AuditKey | None:
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
