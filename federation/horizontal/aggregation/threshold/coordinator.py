"""Sums under a shared key, the coordinator's half: routes shares of keys, adds ciphertexts, has sites open the sum."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.ciphers.dealing import check_points
from federation.ciphers.elgamal import added, check_room, n_blocks, opened
from federation.ciphers.oprf import POINT_BYTES, InvalidPoint
from federation.ciphers.workers import cut, spread
from federation.errors import PartyId, RemoteProtocolError, SiteLeft
from federation.horizontal.aggregation.interface import Total
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.threshold.messages import (
    AllCommitted,
    Committed,
    Confirm,
    Dealt,
    Deliver,
    KeyMade,
    Open,
    OpenSum,
    Partials,
    Ready,
)
from federation.messages import Message
from federation.script import Script

#: Numbers that share one point of randomness. More make keys dearer and vectors shorter.
KEYS: Final = 16


@dataclass(slots=True)
class ThresholdAggregation:
    """See ``Aggregation``.

    Attributes:
        presence: sites to begin with; add one that comes late, or again, and new keys are made before the next sum.
        threshold: sites that open a sum; 0: over two thirds.
        n_keys: see ``KEYS``.
    """

    session: str
    presence: Presence
    rules: SiteRules = field(default_factory=SiteRules)
    threshold: int = 0
    n_keys: int = KEYS
    _epoch: Open | None = None
    _n_epochs: int = 0
    _turn: int = 0
    _parties: tuple[PartyId, ...] = ()

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        if not set(only) <= set(self.presence.sites):
            raise SiteLeft
        able = set(self._parties) & set(self.presence.sites) & set(requests)
        fits = self._epoch and set(self.presence.sites) <= set(self._parties) and len(able) >= self._epoch.threshold
        if not fits:
            yield from self.open()
        assert self._epoch is not None
        epoch = self._epoch
        check_room(len(self._parties), bound)
        asked = [party for party in self._parties if party in self.presence.sites and party in requests]
        replies = yield {party: requests[party] for party in asked}
        vectors = self.presence.arrived(replies, asked, Contribution)
        if not set(only) <= set(vectors):
            self._epoch = None  # vectors that came stay hidden; the next sum begins anew
            raise SiteLeft
        self.rules.check_sites(len(vectors), epoch.threshold)
        blocks = n_blocks(n_values, epoch.n_keys)
        numbers: list[bytes] = []
        for party, vector in vectors.items():
            try:
                points = check_points(vector.data, blocks + n_values)
            except InvalidPoint:
                raise _unfit(party) from None
            if vector.turn != self._turn:
                raise _unfit(party)
            numbers = added(numbers, points[blocks:]) if numbers else points[blocks:]
        contributions = tuple(
            (party, vector.data[: blocks * POINT_BYTES], vector.proof, vector.signature)
            for party, vector in vectors.items()
        )
        partials = yield from self._partials(tuple(vectors), contributions, n_values)
        columns = [[points[k] for points in partials] for k in range(n_values)]
        limit = len(vectors) * bound
        work = list(zip(numbers, columns, strict=True))
        found = [m for piece in spread(_open_piece, [(p, limit) for p in cut(work, least=256)]) for m in piece]
        self._turn += 1
        self._parties = tuple(party for party in self._parties if party in self.presence.sites)
        return Total(np.array(found, dtype=np.int64), tuple(vectors))

    def _partials(
        self,
        contributors: tuple[PartyId, ...],
        contributions: tuple[tuple[PartyId, bytes, bytes, bytes], ...],
        n_values: int,
    ) -> Script[list[list[bytes]]]:
        """What openers take off each number; others are asked if one of them leaves."""
        assert self._epoch is not None
        while True:
            able = [party for party in contributors if party in self.presence.sites]
            self.rules.check_sites(len(able), self._epoch.threshold)
            openers = tuple(able[: self._epoch.threshold])
            request = OpenSum(turn=self._turn, contributions=contributions, openers=openers, n_numbers=n_values)
            replies = yield dict.fromkeys(openers, request)
            came = self.presence.arrived(replies, openers, Partials)
            if len(came) == len(openers):
                break
        found = []
        for party, reply in came.items():
            try:
                found.append(check_points(reply.points, n_values))
            except InvalidPoint:
                raise _unfit(party) from None
        return found

    def open(self) -> Script[None]:
        """Make keys with all that are present."""
        self.rules.check_sites(len(self.presence.sites))
        threshold = self.threshold or self.rules.threshold(len(self.presence.sites))
        self.rules.check_threshold(threshold, len(self.presence.sites))
        sites = tuple(sorted(self.presence.sites))
        epoch = Open(session=self.session, epoch=self._n_epochs, sites=sites, threshold=threshold, n_keys=self.n_keys)
        self._n_epochs += 1
        replies = yield dict.fromkeys(sites, epoch)
        committed = self.presence.arrived(replies, sites, Committed)
        self.rules.check_sites(len(committed), threshold)
        everyone = AllCommitted(
            sites=tuple((party, c.sealing_key, c.commitments, c.proof, c.signature) for party, c in committed.items())
        )
        replies = yield dict.fromkeys(committed, everyone)
        dealt = self.presence.arrived(replies, committed, Dealt)
        self.rules.check_sites(len(dealt), threshold)
        sealed = {party: dict(reply.shares) for party, reply in dealt.items()}
        for party, to in sealed.items():
            if set(to) != set(committed) - {party}:
                raise _unfit(party)
        replies = yield {
            receiver: Deliver(
                shares=tuple((sender, to[receiver]) for sender, to in sealed.items() if sender != receiver)
            )
            for receiver in dealt
        }
        made = self.presence.arrived(replies, dealt, KeyMade)
        self.rules.check_sites(len(made), threshold)
        signatures = tuple((party, reply.signature) for party, reply in made.items())
        replies = yield dict.fromkeys(made, Confirm(signatures=signatures))
        ready = self.presence.arrived(replies, made, Ready)
        self.rules.check_sites(len(ready), threshold)
        self._epoch, self._turn, self._parties = epoch, 0, tuple(dealt)


def _open_piece(work: list[tuple[bytes, list[bytes]]], bound: int) -> list[int]:
    return [opened(number, partials, bound) for number, partials in work]


def _unfit(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party, "bad_value", "sent points or shares that do not fit the sum.", "发送的点或分片与求和不符。"
    )
