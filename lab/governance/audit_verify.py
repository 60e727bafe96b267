"""Is a log as it was written? Every line, digest, signature and link of one log; what others hold of it is
``audit_heads``.

The keys come from the log itself: its first entry introduces one, each rotation the next, signed with the one before.
Whether they are the party's is for ``registered`` to say, or for the other parties' logs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from federation.ciphers.suites.interface import Suite
from federation.ciphers.workers import cut, spread
from federation.errors import PartyId
from lab.errors import ServiceError
from lab.governance.audit import keys_of
from lab.governance.audit_entry import (
    KEYED,
    NOTHING,
    AuditKey,
    Entry,
    Pieces,
    is_digested,
    is_signed,
    parse,
    says,
)
from lab.governance.audit_file import lines_of, torn_bytes
from lab.governance.audit_findings import Finding

#: party and key id → its key, or None where it is not known
Registered = Callable[[PartyId, str], AuditKey | None]

_BLOCK: Final = 50_000  # lines held at a time
_TOLD: Final = ("heads_countersigned", "head_disputed", "session_opened", "tail_recovered")


@dataclass(slots=True)
class Examined:
    """One log, read to its end.

    Attributes:
        digests: number → digest of each entry that was good, or at least whole.
        keys: id → key, as introduced.
        told: entries that heads are checked with.
        findings: in the order of the lines.
    """

    path: Path
    party: PartyId
    keys: dict[str, AuditKey] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    told: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def last(self) -> int:
        """Number of the last entry."""
        return max(self.digests, default=0)

    def find(self, code: str, number: int, about: PartyId = "", keeper: PartyId = "", session: str = "") -> None:
        self.findings.append(Finding(code, about or self.party, keeper or self.party, number, session))


def examine(
    path: Path, suites: Mapping[str, Suite], party: PartyId = "", registered: Registered = lambda *_: None
) -> Examined:
    """Read the log at ``path`` and check all that it alone can show. Work is spread over joblib's active backend.

    Args:
        party: whose log it should be; "": whose the first entry says.

    Raises:
        ServiceError: ``audit_missing``; ``audit_suite`` for one that is not in ``suites``.
    """
    ends = _ends(path)
    named = [entry.suite for entry in ends]
    if named and not set(named) & set(suites):
        raise ServiceError(
            "audit_suite",
            f"{path} is signed with the suite {named[0]}; this installation has {', '.join(suites)}.",
            f"{path} 使用密码套件 {named[0]} 签名，本机仅支持 {'、'.join(suites)}。",
        )
    log = Examined(path, party or (ends[0].party if ends else "?"))
    log.keys = keys_of(_introduced(path))
    chain = _Chain(log, registered)
    for links in _links(path, suites, log.keys):
        chain.follow(links)
    if torn := torn_bytes(path):
        log.find("torn", log.last + 1)
    if not chain.position and not torn:
        log.find("no_beginning", 1)
    return log


class Link(NamedTuple):
    """What the chain needs of one line.

    Attributes:
        digest_holds, signature_holds: as computed anew; an entry without signature is covered by the next that has one,
            and the log is read up to the last that has.
        entry: where its content matters to somebody.
    """

    party: PartyId
    number: int
    previous: str
    digest: str
    suite: str
    key: str
    digest_holds: bool
    signature_holds: bool
    entry: Entry | None


def link_of(line: bytes, suites: Mapping[str, Suite], keys: Mapping[str, AuditKey]) -> Link | None:
    """One line examined by itself; None if it is no entry."""
    try:
        entry = parse(line)
    except ValueError:
        return None
    pieces = Pieces.of(line, entry.digest, entry.signature)
    signature = bytes.fromhex(entry.signature)
    return Link(
        entry.party,
        entry.number,
        entry.previous,
        entry.digest,
        entry.suite,
        entry.key,
        is_digested(suites, entry, pieces),
        not signature or is_signed(suites, keys.get(entry.key), pieces.signed(), signature),
        entry if entry.kind in (*_TOLD, *KEYED) else None,
    )


def _links_of(lines: Sequence[bytes], suites: Mapping[str, Suite], keys: Mapping[str, AuditKey]) -> list[Link | None]:
    return [link_of(line, suites, keys) for line in lines]


def _links(path: Path, suites: Mapping[str, Suite], keys: Mapping[str, AuditKey]) -> Iterator[Iterator[Link | None]]:
    lines = lines_of(path)
    while block := list(islice(lines, _BLOCK)):
        pieces = [(piece, suites, keys) for piece in cut(block, least=1000)]
        yield (link for links in spread(_links_of, pieces) for link in links)


def _ends(path: Path) -> list[Entry]:
    """The first and the last line, as far as they are entries: they say whose log it is, and in which suite."""
    lines = lines_of(path)
    ends = [line for line in (next(lines, None), next(iter(deque(lines, 1)), None)) if line is not None]
    found = []
    for line in ends:
        with suppress(ValueError):
            found.append(parse(line))
    return found


def _introduced(path: Path) -> list[Entry]:
    """Entries that introduce keys, wherever they stand; their signatures are checked later like all others."""
    found = []
    for line in lines_of(path):
        if says(line, KEYED):
            with suppress(ValueError):
                found.append(parse(line))
    return found


@dataclass(slots=True)
class _Chain:
    """Where the reading stands: lines read, number and digest of the last entry, the key that must sign the next.

    After a finding ``previous`` and ``key`` are unknown ("") until the next good entry: one deed, one finding.
    """

    log: Examined
    registered: Registered
    position: int = 0
    number: int = 0
    previous: str = NOTHING
    key: str = ""

    def follow(self, links: Iterator[Link | None]) -> None:
        for link in links:
            self.position += 1
            if link is None:
                self._lose("unreadable", self.position)
                self.number += 1
            elif link.party != self.log.party:
                self._lose("foreign", link.number)
            else:
                self._follow(link)

    def _follow(self, link: Link) -> None:
        if self.position == 1 and (link.number, link.previous) != (1, NOTHING):
            self.log.find("no_beginning", link.number)
            self.previous, self.number = "", link.number - 1
        if link.number <= self.number:
            self._lose("out_of_order", link.number)
            return
        fault = self._fault(link)
        self.number = link.number
        self.log.digests[link.number] = link.digest
        if fault:
            self._lose(fault, link.number)
            return
        self.previous, self.key = link.digest, link.key
        if link.entry:
            self._take(link.entry)

    def _fault(self, link: Link) -> str:
        if not link.digest_holds:
            return "edited"
        if link.number > self.number + 1:
            return "deleted"
        if self.previous and link.previous != self.previous:
            return "chain_broken"
        if not link.signature_holds and self.log.keys:  # without its beginning a log has none, and that is said
            return "bad_signature"
        if self.log.keys and (self.key or link.key) != link.key:
            return "wrong_key"
        if self.log.keys and link.suite != self.log.keys[link.key].suite:
            return "wrong_key"
        return ""

    def _take(self, entry: Entry) -> None:
        if entry.kind in KEYED:
            self.key = entry.references["key"]
            known = self.registered(entry.party, self.key)
            if known is not None and known != self.log.keys[self.key]:
                self.log.find("unregistered", entry.number)
        elif entry.kind == "tail_recovered":
            self.log.find("recovered", entry.number)
        if entry.kind in _TOLD:
            self.log.told.append(entry)

    def _lose(self, code: str, number: int) -> None:
        self.log.find(code, number)
        self.previous = self.key = ""
