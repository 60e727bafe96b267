"""Masked sums, the coordinator's half: routes keys and shares, adds masked vectors, takes the masks off the sum."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

from federation.ciphers.shamir import ORDER, SECRET_BYTES, SHARE_BYTES, weights
from federation.ciphers.words import Residues, Words
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError, SiteLeft
from federation.horizontal.aggregation.interface import Total
from federation.horizontal.aggregation.masking import masks
from federation.horizontal.aggregation.masking.messages import (
    Agreed,
    AllKeys,
    Contributors,
    Deliver,
    Keys,
    Open,
    Ready,
    SealedShares,
    Unmask,
    Unmasked,
)
from federation.horizontal.aggregation.masking.statements import key_statement
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import SiteRules
from federation.horizontal.aggregation.signing import Signing, check_signature
from federation.messages import Message
from federation.script import Script

#: Most sums made ready at once: shares and keys of one take 96 bytes per pair of sites.
TURNS: Final = 64


def even_turns(n_sums: int) -> int:
    """Sums per batch of a run that will want so many: batches of about equal size, so that little is left over."""
    n_batches = max(1, -(-n_sums // TURNS))
    return max(1, -(-n_sums // n_batches))


@dataclass(slots=True)
class MaskedAggregation:
    """See ``Aggregation``.

    Attributes:
        presence: sites to begin with; add one that comes late, or again: the next sum is of a new batch.
        signing: to name a site whose signature is false; ``None`` leaves that to the sites.
        threshold: sites that must agree to open a sum; 0: over two thirds.
        n_turns: sums per batch; ``even_turns`` where it is known how many a run will want.
    """

    session: str
    presence: Presence
    signing: Signing | None = None
    rules: SiteRules = field(default_factory=SiteRules)
    threshold: int = 0
    n_turns: int = TURNS
    _batch: Open | None = None
    _n_batches: int = 0
    _turn: int = 0
    _asked: tuple[PartyId, ...] = ()
    _pair_keys: dict[PartyId, bytes] = field(default_factory=dict)
    _parties: tuple[PartyId, ...] = ()
    _present: tuple[PartyId, ...] = ()

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        if not set(only) <= set(self.presence.sites):
            raise SiteLeft
        late = not set(self.presence.sites) <= set(self._present)
        able = set(self._parties) & set(self.presence.sites) & set(requests)
        if late or self._batch is None or self._turn >= self._batch.n_turns or len(able) < self._batch.threshold:
            yield from self.open()
        assert self._batch is not None
        batch, turn = self._batch, self._turn
        words = Words.for_sum(len(self._parties), bound)
        asked = [party for party in self._parties if party in self.presence.sites and party in requests]
        replies = yield {party: requests[party] for party in asked}
        vectors = self.presence.arrived(replies, asked, Contribution)
        if not set(only) <= set(vectors):
            self._batch = None  # vectors that came stay hidden; the next sum begins anew
            raise SiteLeft
        self.rules.check_sites(len(vectors), batch.threshold)
        sum_: Residues = np.zeros(n_values, dtype=np.uint64)
        for party, vector in vectors.items():
            if vector.turn != turn or len(vector.data) != n_values * words.n_bytes:
                raise _unfit(party)
            sum_ += words.load(vector.data)
        contributors = tuple(vectors)
        self.presence.opening(contributors)
        replies = yield dict.fromkeys(contributors, Contributors(turn=turn, parties=contributors))
        agreed = self.presence.arrived(replies, contributors, Agreed)
        self.rules.check_sites(len(agreed), batch.threshold)
        replies = yield {
            party: Unmask(turn=turn, vouchers=_for(party, agreed, batch.threshold - 1)) for party in agreed
        }
        opened = self.presence.arrived(replies, agreed, Unmasked)
        self.rules.check_sites(len(opened), batch.threshold)
        sum_ -= self._masks(opened, contributors, n_values)
        self._turn, self._present = self._turn + 1, self.presence.sites
        return Total(words.signed(sum_), contributors)

    def open(self) -> Script[None]:
        """Rounds 0 and 1 for the next ``n_turns`` sums, with all that are present."""
        self.rules.check_sites(len(self.presence.sites))
        threshold = self.threshold or self.rules.threshold(len(self.presence.sites))
        self.rules.check_threshold(threshold, len(self.presence.sites))
        batch = Open(
            session=self.session,
            batch=self._n_batches,
            sites=tuple(sorted(self.presence.sites)),
            threshold=threshold,
            n_turns=self.n_turns,
        )
        self._n_batches += 1
        replies = yield dict.fromkeys(batch.sites, batch)
        keys = self.presence.arrived(replies, batch.sites, Keys)
        self.rules.check_sites(len(keys), threshold)
        for party, reply in keys.items():
            if self.signing:
                check_signature(self.signing, party, key_statement(batch, party, reply.sealing_key), reply.signature)
        all_keys = AllKeys(keys=tuple((party, k.sealing_key, k.signature) for party, k in keys.items()))
        replies = yield dict.fromkeys(keys, all_keys)
        shares = self.presence.arrived(replies, keys, SealedShares)
        self.rules.check_sites(len(shares), threshold)
        sealed = {party: dict(reply.shares) for party, reply in shares.items()}
        for party, to in sealed.items():
            n_bytes = batch.n_turns * masks.sealed_bytes(len(keys) - 1)
            if set(to) != set(keys) - {party} or len(shares[party].pair_keys) != n_bytes:
                raise _unfit(party)
        replies = yield {
            receiver: Deliver(
                shares=tuple((sender, to[receiver]) for sender, to in sealed.items() if sender != receiver)
            )
            for receiver in shares
        }
        self.presence.arrived(replies, shares, Ready)
        self._batch, self._turn = batch, 0
        self._pair_keys = {party: reply.pair_keys for party, reply in shares.items()}
        self._asked, self._parties, self._present = tuple(keys), tuple(shares), tuple(shares)

    def _masks(self, opened: Mapping[PartyId, Unmasked], contributors: Sequence[PartyId], n: int) -> Residues:
        """What is still on the sum: own masks of contributors, and pairwise masks with sites that have left."""
        assert self._batch is not None
        batch = self._batch
        gone = [party for party in self._parties if party not in contributors]
        for party, reply in opened.items():
            if (len(reply.seeds), len(reply.keys)) != (SHARE_BYTES * len(contributors), SHARE_BYTES * len(gone)):
                raise _unfit(party)
        helpers = list(opened)[: batch.threshold]
        counts = _weights(tuple(batch.sites.index(party) + 1 for party in helpers))
        total: Residues = np.zeros(n, dtype=np.uint64)
        for k in range(len(contributors)):
            seed = _seed_of(_combined([opened[party].seeds for party in helpers], counts, k))
            total += masks.own_mask(seed, n)
        places = {party: batch.sites.index(party) for party in self._parties}
        for k, party in enumerate(gone):
            seed = _seed_of(_combined([opened[helper].keys for helper in helpers], counts, k))
            keys = self._keys_of_turn(party, seed)
            # What the site would have added is what is missing for the others' masks to cancel.
            total -= masks.pair_masks(places[party], {places[other]: keys[other] for other in contributors}, n)
        return total

    def _keys_of_turn(self, party: PartyId, seed: bytes) -> dict[PartyId, bytes]:
        """Of the masks that a site shares with each other one in this turn. Raises ``LocalProtocolError``."""
        others = [other for other in self._asked if other != party]
        size = masks.sealed_bytes(len(others))
        try:
            keys = masks.open_pair_keys(seed, self._pair_keys[party][self._turn * size :][:size])
        except ValueError:
            raise _garbled() from None
        return dict(zip(others, keys, strict=True))


def _for(party: PartyId, agreed: Mapping[PartyId, Agreed], n: int) -> tuple[tuple[PartyId, bytes], ...]:
    """What ``n`` others vouch for to ``party``. Raises ``RemoteProtocolError`` of one that left it out."""
    found = []
    for other in [other for other in agreed if other != party][:n]:
        macs = dict(agreed[other].vouchers)
        if party not in macs:
            raise _unfit(other)
        found.append((other, macs[party]))
    return tuple(found)


@lru_cache(maxsize=64)  # mostly the same helpers, sum after sum
def _weights(holders: tuple[int, ...]) -> list[int]:
    return weights(holders)


def _combined(shares: Sequence[bytes], counts: Sequence[int], k: int) -> int:
    """The k-th secret from what helpers hold of it."""
    numbers = (int.from_bytes(data[k * SHARE_BYTES : (k + 1) * SHARE_BYTES], "little") for data in shares)
    return sum(count * number for count, number in zip(counts, numbers, strict=True)) % ORDER


def _seed_of(secret: int) -> bytes:
    """Shares of a seed never give a longer number. Raises ``LocalProtocolError`` if these do."""
    if secret.bit_length() > 8 * SECRET_BYTES:
        raise _garbled()
    return secret.to_bytes(SECRET_BYTES, "little")


def _garbled() -> LocalProtocolError:
    return LocalProtocolError(
        "bad_value",
        "Shares of the sites do not fit together: one of them sent a false share. The sum is lost, and nothing of it "
        "was learnt. Start again, with other sites if it happens twice.",
        "各站点的分片无法拼合：有站点发送了错误分片。本次求和作废，未泄露任何内容。请重新开始；若再次发生，请更换站点。",
    )


def _unfit(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "bad_value",
        "sent keys, shares or a vector that do not fit the sum.",
        "发送的公钥、分片或向量与求和不符。",
    )
