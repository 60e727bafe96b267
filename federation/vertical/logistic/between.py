"""Products between features of two hosts, guest side: it deals numbers, passes on what is veiled, adds the parts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.logistic.layout import fixed
from federation.vertical.logistic.messages import Pair, Paired, Ready, Veil, Veiled
from federation.vertical.logistic.products import (
    SEED_BYTES,
    Ring,
    drawn,
    fraction_for,
    from_bytes,
    signed,
    summed,
    to_bytes,
)
from models.losses import Floats

#: Two hosts, that of the smaller mask key first.
Couple = tuple[PartyId, PartyId]


@dataclass(slots=True)
class BetweenHosts:
    """Attributes:
    hosts: in the order in which they were introduced.
    terms: what each said when it opened.
    sizes: features that each still uses.
    n_fit: fitted rows.
    batch_bytes: most bytes that a host veils for another in one message.
    """

    hosts: Sequence[PartyId]
    terms: Mapping[PartyId, Ready]
    sizes: Mapping[PartyId, int]
    n_fit: int
    batch_bytes: int
    couples: tuple[Couple, ...] = field(init=False)

    def __post_init__(self) -> None:
        in_order = sorted(self.hosts, key=lambda host: self.terms[host].mask_key)
        self.couples = tuple(combinations(in_order, 2))

    def sums(self, turn: int, weight: Floats) -> Script[dict[Couple, Floats]]:
        """For every couple the sum over fitted rows of weight times both WOE, shape ``(n_first, n_second)``.

        Args:
            weight: per fitted row, in [0, 1/4].

        Raises:
            RemoteProtocolError: naming a host whose answers do not fit.
        """
        if not self.couples:
            return {}
        fraction = fraction_for(self.n_fit)
        whole = fixed(weight, fraction).astype(np.uint64)
        totals: dict[Couple, Ring] = {c: np.zeros(self._shape(c), dtype=np.uint64) for c in self.couples}
        batch = max(1, self.batch_bytes // (16 * max(1, *self.sizes.values())))
        for start in range(0, self.n_fit, batch):
            piece = whole[start : start + batch]
            paired = yield from self._batch(turn, start, piece, totals)
        for couple in self.couples:
            for host, other in (couple, couple[::-1]):
                totals[couple] = totals[couple] + self._part(host, other, paired[host], self._shape(couple))
        exponents = {c: self.terms[c[0]].exponent + self.terms[c[1]].exponent for c in self.couples}
        return {c: signed(total, fraction, exponents[c]) for c, total in totals.items()}

    def _batch(self, turn: int, start: int, weight: Ring, totals: dict[Couple, Ring]) -> Script[dict[PartyId, Paired]]:
        """One batch of rows; what the guest dealt is taken into ``totals``."""
        n = len(weight)
        seeds: dict[Couple, bytes] = {}
        shares: dict[Couple, Ring] = {}
        for a, b in self.couples:
            seeds[a, b], seeds[b, a] = os.urandom(SEED_BYTES), os.urandom(SEED_BYTES)
            shares[a, b] = drawn(os.urandom(SEED_BYTES), n)
            shares[b, a] = weight - shares[a, b]
            left, right = drawn(seeds[a, b], 2, n, self.sizes[a]), drawn(seeds[b, a], 2, n, self.sizes[b])
            totals[a, b] = totals[a, b] + summed(left, right)
        replies = yield {
            host: Veil(
                round=turn,
                start=start,
                seeds=tuple(seeds[host, other] for other in self._others(host)),
                shares=tuple(to_bytes(shares[host, other]) for other in self._others(host)),
            )
            for host in self.hosts
        }
        veiled = {host: expect(replies, host, Veiled).factors for host in self.hosts}
        for host, factors in veiled.items():
            if [len(f) for f in factors] != [16 * n * self.sizes[host]] * (len(self.hosts) - 1):
                raise RemoteProtocolError(host, "bad_value", "veiled factors of other rows.", "掩盖的因子行数不符。")
        # What ``other`` veiled for ``host`` stands where ``host`` stands among the others of ``other``.
        replies = yield {
            host: Pair(factors=tuple(veiled[other][self._others(other).index(host)] for other in self._others(host)))
            for host in self.hosts
        }
        paired = {host: expect(replies, host, Paired) for host in self.hosts}
        for host, reply in paired.items():
            if reply.n_rows != start + n:
                raise RemoteProtocolError(host, "bad_value", "paired other rows.", "配对的行数不符。")
        return paired

    def _others(self, host: PartyId) -> list[PartyId]:
        return [other for other in self.hosts if other != host]

    def _shape(self, couple: Couple) -> tuple[int, int]:
        return self.sizes[couple[0]], self.sizes[couple[1]]

    def _part(self, host: PartyId, other: PartyId, reply: Paired, shape: tuple[int, int]) -> Ring:
        try:
            return from_bytes(reply.sums[self._others(host).index(other)], *shape)
        except (IndexError, ValueError):
            raise RemoteProtocolError(
                host, "bad_value", "sent sums of other features.", "发送的合计与特征不符。"
            ) from None
