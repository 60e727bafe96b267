"""What countersigning needs of a party's own audit log, and what it checks of the others' heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from federation.audit.heads import Countersigned, HeadFields, SignedHead, head_statement
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError

Held = tuple[tuple[str, HeadFields], ...]


class Keeper(Protocol):
    """A party's own log and the keys it accepts. May use the party's disk; never waits for another party."""

    @property
    def suite(self) -> str:
        """Name of the suite the party signs with."""
        ...

    @property
    def key(self) -> str:
        """Id of the key the party signs with."""
        ...

    def last(self) -> tuple[int, bytes]:
        """Number, from 1, and digest of the own log's last entry, once all that is to be said of the session is."""
        ...

    def contains(self, number: int, digest: bytes) -> bool:
        """Whether the own log's entry of that number has that digest."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Sign with the party's audit key."""
        ...

    def is_signed(self, party: PartyId, suite: str, key: str, message: bytes, signature: bytes) -> bool:
        """Whether ``key`` is one that this party accepts as ``party``'s, of that suite, and signed ``message``."""
        ...

    def held(self, party: PartyId) -> tuple[str, SignedHead] | None:
        """Session and head of ``party`` as last kept in the own log."""
        ...

    def keep(self, statement: Countersigned) -> None:
        """Write it into the own log."""
        ...

    def dispute(self, session: str, head: SignedHead) -> None:
        """Write a head into the own log that contradicts one kept before: evidence against its owner."""
        ...


@dataclass(frozen=True, slots=True)
class HeadChecks:
    """What guest and host do alike in one session, each over its own log."""

    party: PartyId
    session: str
    keeper: Keeper

    def own_head(self) -> SignedHead:
        """Where the own log stands now, signed."""
        number, digest = self.keeper.last()
        signature = self.keeper.sign(head_statement(self.session, self.party, number, digest))
        return SignedHead(self.party, number, digest, self.keeper.suite, self.keeper.key, signature)

    def held_of(self, party: PartyId) -> Held:
        """What the own log keeps of ``party``, to be shown to it."""
        held = self.keeper.held(party)
        return ((held[0], held[1].fields),) if held else ()

    def read_head(self, sender: PartyId, party: PartyId, fields: HeadFields) -> SignedHead:
        """The head of ``party`` as ``sender`` showed it: its owner's signature is good and it contradicts none kept.

        Raises:
            RemoteProtocolError: ``bad_value`` of the sender; ``audit_mismatch`` of the sender for a head its owner did
            not sign, of the owner for one that contradicts an earlier one, which is noted as evidence.
        """
        head = SignedHead(*fields)
        if head.party != party or not head.is_formed:
            raise RemoteProtocolError(sender, "bad_value", "sent a broken head of a log.", "发送的日志头有误。")
        self._check_signature(sender, self.session, head)
        held = self.keeper.held(party)
        if held and head.contradicts(held[1]):
            self.keeper.dispute(self.session, head)
            raise RemoteProtocolError(
                party,
                "audit_mismatch",
                f"its audit log ends at entry {head.number:,} and contradicts the head kept from an earlier session "
                f"(entry {held[1].number:,}): it was cut or rewritten. Both heads, signed by it, stand in our log.",
                f"其审计日志止于第 {head.number:,} 条，与我方留存的先前日志头（第 {held[1].number:,} 条）矛盾："
                "日志被截断或改写。两份由其签名的日志头均已记入我方日志。",
            )
        return head

    def check_held(self, sender: PartyId, held: Held) -> None:
        """Whether the own log still has what ``sender`` keeps of it.

        Raises:
            RemoteProtocolError: ``audit_mismatch``: the sender shows a head that this party never signed.
            LocalProtocolError: ``audit_damaged``: the own log was cut or rewritten.
        """
        for session, fields in held:
            head = SignedHead(*fields)
            if head.party != self.party or len(held) > 1:
                raise RemoteProtocolError(sender, "bad_value", "sent a broken head of a log.", "发送的日志头有误。")
            self._check_signature(sender, session, head)
            if not self.keeper.contains(head.number, head.digest):
                raise LocalProtocolError(
                    "audit_damaged",
                    f"Our own audit log no longer holds entry {head.number:,} as {sender} keeps it, signed by us: it "
                    "was cut or rewritten. Run `lianmo audit verify` and restore it from a copy.",
                    f"我方审计日志的第 {head.number:,} 条与 {sender} 留存的、由我方签名的记录不符：日志被截断或改写。"
                    "请运行 lianmo audit verify 并从备份恢复。",
                )

    def check_countersignature(
        self, sender: PartyId, head: SignedHead, statement: bytes, countersignature: bytes
    ) -> None:
        """Raises ``RemoteProtocolError`` (``audit_mismatch``) of the sender unless ``head``'s owner signed this."""
        if not self.keeper.is_signed(head.party, head.suite, head.key, statement, countersignature):
            raise RemoteProtocolError(
                sender,
                "audit_mismatch",
                f"showed a countersignature of {head.party} that is not one of these heads.",
                f"出示的 {head.party} 会签与这些日志头不符。",
            )

    def _check_signature(self, sender: PartyId, session: str, head: SignedHead) -> None:
        statement = head_statement(session, head.party, head.number, head.digest)
        if not self.keeper.is_signed(head.party, head.suite, head.key, statement, head.signature):
            raise RemoteProtocolError(
                sender,
                "audit_mismatch",
                f"showed a head of {head.party}'s audit log that no known key of {head.party} signed.",
                f"出示的 {head.party} 审计日志头没有其已知密钥的签名。",
            )
