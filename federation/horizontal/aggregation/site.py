"""What a site does alike whichever way it adds up: what is due, and only with enough sites that it knows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.rules import MOST_SITES, SiteRules, is_roster
from federation.horizontal.aggregation.signing import Signing, strangers
from federation.horizontal.aggregation.state import SumState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase


class Opening(Protocol):
    """What both ways to add up begin with."""

    @property
    def session(self) -> str: ...

    @property
    def sites(self) -> tuple[PartyId, ...]: ...

    @property
    def threshold(self) -> int: ...


@dataclass(slots=True)
class SumSite(ABC):
    """See ``Contributor``.

    Attributes:
        session: the id this site knows the session by; another one is refused.
        signing: own signing key, and those of the other sites: sums are with these only.
    """

    transitions: ClassVar[Transitions]

    party: PartyId
    session: str
    signing: Signing
    rules: SiteRules = field(default_factory=SiteRules)
    state: SumState = field(default_factory=SumState)

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        return tuple(dict.fromkeys(kind for _, kind in self.transitions))

    @property
    def fewest_sites(self) -> int:
        return self.state.threshold

    @property
    def n_opened(self) -> int:
        return self.state.n_opened

    def answer(self, request: Message) -> Message:
        phase = next_phase(self.transitions, self.state.phase, request)
        reply = self.reply(request)
        self.state.phase = phase
        return reply

    @abstractmethod
    def reply(self, request: Message) -> Message:
        """To a request that is due."""

    def dump(self) -> bytes:
        return self.state.dump()

    def load(self, data: bytes) -> None:
        self.state = type(self.state).load(data)

    def check_opening(self, m: Opening, number: int, size: int, most: int) -> None:
        """Raises unless sums of ``number``, later than any before, are with enough sites, all of them known here.

        Args:
            size: sums or keys that are wanted at once, ``most`` of them at most.
        """
        if m.session != self.session or number <= self.state.number:
            raise bad_value("session, or its number of batch or epoch", "会话或批次")
        if not 1 <= size <= most or len(m.sites) > MOST_SITES:
            raise bad_value("size of the batch or epoch", "批次规模")
        if not is_roster(m.sites) or self.party not in m.sites:
            raise bad_value("names of sites", "站点名单")
        if strangers(self.signing, m.sites):
            raise LocalProtocolError(
                "policy",
                "The sum would be with sites whose keys are not known here. Import their keys first.",
                "求和涉及本方不知其公钥的站点，请先导入其公钥。",
            )
        self.rules.check_threshold(m.threshold, len(m.sites))

    def check_parties(self, parties: tuple[PartyId, ...], among: tuple[PartyId, ...]) -> None:
        """Raises unless ``parties`` is a roster of enough of ``among``, this site with them."""
        if not is_roster(parties) or not set(parties) <= set(among) or self.party not in parties:
            raise bad_value("names of sites", "站点名单")
        self.rules.check_sites(len(parties), self.state.threshold)

    def senders(self, sealed: Sequence[tuple[PartyId, bytes]]) -> tuple[PartyId, ...]:
        """Whose shares these are, this site with them. Raises unless they are enough of those that keys are with."""
        others = {party for party, _ in sealed}
        if len(others) != len(sealed) or self.party in others:
            raise bad_value("senders of shares", "分片发送方")
        parties = tuple(sorted({*others, self.party}))
        self.check_parties(parties, self.state.parties)
        return parties
