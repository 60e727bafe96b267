"""Heads of audit logs, and the two statements that are signed about them.

A head is the number and digest of a log's last entry; entries are chained, so it stands for all of them. Its owner
signs ``head_statement``. Every party signs ``heads_statement``, which names the heads of all: who was shown another
head than the others signs another statement, and that shows. The signed bytes are a tag of their own, a zero byte, and
canonical JSON (RFC 8785 for text and integers), so no signature serves for anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from federation.ciphers.suites.interface import DIGEST_BYTES
from federation.errors import PartyId

_HEAD: Final = b"lianmo.audit.head.1\0"
_HEADS: Final = b"lianmo.audit.heads.1\0"
_CANONICAL: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

#: party, number, digest, suite, key id, signature: a signed head on the wire
HeadFields = tuple[PartyId, int, bytes, str, str, bytes]


@dataclass(frozen=True, slots=True)
class SignedHead:
    """Where a party says its log ended.

    Attributes:
        number: of the last entry, from 1.
        digest: of the last entry, 32 bytes.
        suite, key: what the owner signs with.
        signature: the owner's, of ``head_statement``.
    """

    party: PartyId
    number: int
    digest: bytes
    suite: str
    key: str
    signature: bytes

    @property
    def fields(self) -> HeadFields:
        return (self.party, self.number, self.digest, self.suite, self.key, self.signature)

    @property
    def is_formed(self) -> bool:
        """Whether numbers and lengths are possible; says nothing of the signature."""
        return self.number >= 1 and len(self.digest) == DIGEST_BYTES and 0 < len(self.signature) <= 1024

    def contradicts(self, earlier: SignedHead) -> bool:
        """Whether no log that only grows can have had both heads, ``earlier`` first."""
        return self.number < earlier.number or (self.number == earlier.number and self.digest != earlier.digest)


@dataclass(frozen=True, slots=True)
class Countersigned:
    """What every party keeps of a session's end.

    Attributes:
        heads: of all parties, by name.
        countersignatures: party → its signature of ``heads_statement``, under the key of its head.
    """

    session: str
    heads: tuple[SignedHead, ...]
    countersignatures: Mapping[PartyId, bytes]


def head_statement(session: str, party: PartyId, number: int, digest: bytes) -> bytes:
    """What the owner of a log signs: at the end of this session my log ends here."""
    return _HEAD + canonical([session, party, number, digest.hex()])


def heads_statement(session: str, heads: Sequence[SignedHead]) -> bytes:
    """What every party signs: at the end of this session I saw these heads, all signed by their owners."""
    seen = sorted((head.party, head.number, head.digest.hex()) for head in heads)
    return _HEADS + canonical([session, seen])


def canonical(data: Any) -> bytes:
    """The one JSON of ``data``: sorted keys, no spaces, UTF-8; for text, integers, lists and objects with ASCII keys.

    Raises:
        ValueError: text that is no Unicode (lone surrogates).
    """
    return _CANONICAL.encode(data).encode("utf-8")
