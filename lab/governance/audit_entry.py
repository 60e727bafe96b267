"""One entry of an audit log, and the one line of text it is.

A line is a JSON object, canonical as in RFC 8785: sorted keys, no spaces, UTF-8. ``signature`` is of the object
without ``signature`` and ``digest``; ``digest`` is of the object without ``digest``, so it covers the signature too;
``previous`` is the digest of the line before. Before each stand a tag and a zero byte. A line that is not, byte for
byte, the canonical form of what it says is refused: there is one way to write an entry.

An entry of ``COVERED`` may have an empty signature: the next one signed covers it, through the digests between (ADR
0040; as RFC 5848 signs blocks of log messages).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from federation.audit.heads import canonical
from federation.ciphers.suites.interface import DIGEST_BYTES, Suite
from federation.errors import CipherError, PartyId
from lab.errors import ServiceError
from lab.governance.audit_kinds import KINDS, MAX_COUNT, REFERENCES, is_name

FORMAT: Final = 1
MAX_LINE: Final = 256 * 1024
#: ``previous`` of a first entry.
NOTHING: Final = "0" * (2 * DIGEST_BYTES)

#: Kinds that introduce the party's audit keys.
KEYED: Final = ("log_opened", "audit_key_rotated")

#: Kinds written by the thousand, whose entries need no signature of their own. Never one that introduces a key.
COVERED: Final = ("score_answered",)
_UNSIGNED: Final = b',"signature":"",'

_SIGNED: Final = b"lianmo.audit.entry.1\0"
_DIGESTED: Final = b"lianmo.audit.line.1\0"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, before it is numbered, dated and signed.

    Attributes:
        kind: of ``audit_kinds.KINDS``.
        references: as the kind allows.
        actor: the party that did it; "": the one that keeps the log.
        operator: the person's name in that party; "": no person did it.

    Raises:
        ServiceError: ``audit_entry`` if any of these does not fit; no content is repeated.
    """

    kind: str
    references: Mapping[str, Any] = field(default_factory=dict)
    actor: PartyId = ""
    operator: str = ""

    def __post_init__(self) -> None:
        fault = fault_of(self.kind, self.references)
        if not fault and not all(name == "" or is_name(name) for name in (self.actor, self.operator)):
            fault = "actor"
        if fault:
            raise ServiceError(
                "audit_entry",
                f"An audit entry does not fit its kind ({fault}): only ids, digests, counts and codes may stand there.",
                f"审计条目与其类型不符（{fault}）：只能记录编号、摘要、计数与代码。",
            )


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a log.

    Attributes:
        party: whose log it is.
        number: from 1, without gaps.
        time: UTC, ``YYYY-MM-DDTHH:MM:SS.ffffffZ``.
        previous, digest, signature: hexadecimal.
        suite, key: signed with.
        signature: "" if a later entry's covers this one.
    """

    party: PartyId
    number: int
    time: str
    kind: str
    actor: PartyId
    operator: str
    references: Mapping[str, Any]
    previous: str
    suite: str
    key: str
    signature: str = ""
    digest: str = ""

    def signed_bytes(self) -> bytes:
        """What ``signature`` is of."""
        return self.pieces().signed()

    def digested_bytes(self) -> bytes:
        """What ``digest`` is of."""
        return self.pieces().digested(self.signature)

    def line(self) -> bytes:
        """Without the newline."""
        return canonical(self.as_dict())

    def pieces(self) -> Pieces:
        return Pieces.of(self.line(), self.digest, self.signature)

    def as_dict(self) -> dict[str, Any]:
        return {"format": FORMAT, **{name: getattr(self, name) for name in self.__slots__}}


class Pieces(NamedTuple):
    """A line without its digest and its signature: what stands before, between and after them."""

    before: bytes
    between: bytes
    after: bytes

    @classmethod
    def of(cls, line: bytes, digest: str = "", signature: str = "") -> Self:
        """Cut from a canonical line that has these two. In it bare quotes stand in no text, and only ``actor`` stands
        before the digest, only ``suite`` and ``time`` after the signature."""
        before, _, rest = line.partition(b'"digest":"%b",' % digest.encode())
        between, _, after = rest.rpartition(b'"signature":"%b",' % signature.encode())
        return cls(before, between, after)

    def signed(self) -> bytes:
        """What the signature is of."""
        return b"".join((_SIGNED, *self))

    def digested(self, signature: str) -> bytes:
        """What the digest is of."""
        return b'%b%b%b"signature":"%b",%b' % (_DIGESTED, self.before, self.between, signature.encode(), self.after)

    def line(self, digest: str, signature: str) -> bytes:
        given = (self.before, digest.encode(), self.between, signature.encode(), self.after)
        return b'%b"digest":"%b",%b"signature":"%b",%b' % given


_NAMES: Final = frozenset({"format", *Entry.__slots__})


def parse(line: bytes) -> Entry:
    """The entry a line is; neither digest nor signature is checked. Raises ``ValueError``: it is none."""
    if len(line) > MAX_LINE:
        raise ValueError("line too long")
    try:
        data = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(data, dict) or set(data) != _NAMES or data.pop("format") != FORMAT:
        raise ValueError("no entry of this format")
    entry = Entry(**data)
    if not _is_formed(entry) or fault_of(entry.kind, entry.references) or entry.line() != line:
        raise ValueError("not an entry, or not in its one form")
    return entry


def is_covered(line: bytes) -> bool:
    """Whether a line has no signature of its own, without reading it."""
    return _UNSIGNED in line


def says(line: bytes, kinds: Iterable[str]) -> bool:
    """Whether a line can be of one of the kinds, without reading it: bare quotes stand in no text of a line."""
    return any(f'"kind":"{kind}"'.encode() in line for kind in kinds)


def fault_of(kind: Any, references: Any) -> str:
    """Name of what does not fit the kind; "" if all does."""
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        return "kind"
    if not isinstance(references, Mapping):
        return "references"
    if absent := known.needs - references.keys():
        return min(absent)
    if not references.keys() <= known.named:
        return "another reference"
    return next((name for name, value in references.items() if not REFERENCES[name](value)), "")


class AuditKey(NamedTuple):
    """A public key and the name of its suite."""

    suite: str
    public: bytes


def is_signed(suites: Mapping[str, Suite], key: AuditKey | None, message: bytes, signature: bytes) -> bool:
    """Whether the key signed this; no key signed nothing.

    Raises:
        CipherError: the suite cannot be used on this machine, which says nothing of the signature.
    """
    if key is None or key.suite not in suites:
        return False
    try:
        suites[key.suite].verify(key.public, message, signature)
    except CipherError as error:
        if error.code not in ("bad_signature", "bad_key"):
            raise
        return False
    return True


def is_digested(suites: Mapping[str, Suite], entry: Entry, pieces: Pieces | None = None) -> bool:
    """Whether the entry's digest is that of its line, in the suite it names.

    Args:
        pieces: of its line, if they are at hand.
    """
    suite = suites.get(entry.suite)
    digested = (pieces or entry.pieces()).digested(entry.signature)
    return suite is not None and suite.digest(digested).hex() == entry.digest


def keyed_digest(suite: Suite, secret: bytes, identifier: str) -> str:
    """What stands for an applicant or a record in a log: the suite's HMAC (RFC 2104), hexadecimal.

    Args:
        secret: the party's own, at least 32 random bytes, never used for anything else. Without it nobody can test
            guesses; with it the party finds all entries about one identifier.
    """
    if len(secret) < DIGEST_BYTES:
        raise ValueError("the secret is too short")
    return suite.mac(secret, identifier.encode("utf-8")).hex()


def _is_formed(entry: Entry) -> bool:
    return (
        type(entry.number) is int
        and 0 < entry.number < MAX_COUNT
        and all(is_name(name) for name in (entry.party, entry.actor))
        and (entry.operator == "" or is_name(entry.operator))
        and isinstance(entry.time, str)
        and bool(_TIME.fullmatch(entry.time))
        and all(isinstance(t, str) and len(t) == len(NOTHING) for t in (entry.previous, entry.digest))
        and all(isinstance(t, str) and bool(_HEX.fullmatch(t)) for t in (entry.previous, entry.digest))
        and isinstance(entry.signature, str)
        and (bool(_HEX.fullmatch(entry.signature)) or (entry.signature == "" and entry.kind in COVERED))
        and all(is_name(t) for t in (entry.suite, entry.key))
    )
