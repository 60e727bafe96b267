"""Masked sums, a site's half: Bonawitz et al. 2017, figure 4, with the rounds that do not depend on vectors (0 and 1)
made for many sums at once. Each sum has seeds, and keys of masks, of its own, so nothing that is given away for one
tells of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from federation.ciphers import pairwise
from federation.ciphers.shamir import SECRET_BYTES, SHARE_BYTES, share
from federation.ciphers.words import Words
from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.envelopes import Envelopes, agreed, check_vouched, vouch
from federation.horizontal.aggregation.interface import Numbers
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
from federation.horizontal.aggregation.masking.state import MaskingState
from federation.horizontal.aggregation.masking.statements import contributors_statement, key_statement, opened
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.rules import check_bound, is_roster
from federation.horizontal.aggregation.signing import check_signature
from federation.horizontal.aggregation.site import SumSite
from federation.messages import Message
from federation.responder import Transitions, bad_value

#: (phase, request) → next phase; what is absent is refused. A batch may be opened anew at any time: its keys are new.
TRANSITIONS: Final[Transitions] = {
    **{(phase, Open): "opened" for phase in ("closed", "opened", "shared", "ready", "contributed", "agreed")},
    ("opened", AllKeys): "shared",
    ("shared", Deliver): "ready",
    ("contributed", Contributors): "agreed",
    ("agreed", Unmask): "ready",
}

MOST_TURNS: Final = 1024
_PAIR_BYTES: Final = 2 * SHARE_BYTES


@dataclass(slots=True)
class MaskingSite(SumSite):
    """See ``Contributor``."""

    transitions: ClassVar[Transitions] = TRANSITIONS

    state: MaskingState = field(default_factory=MaskingState)

    def reply(self, request: Message) -> Message:
        match request:
            case Open():
                return self._open(request)
            case AllKeys():
                return self._share(request)
            case Deliver():
                return self._receive(request)
            case Contributors():
                return self._agree(request)
            case Unmask():
                return self._unmask(request)
        raise AssertionError(request.kind)

    def contribute(self, values: Numbers, bound: int) -> Message:
        """Round 2: the vector with both masks on."""
        s = self.state
        if s.phase != "ready" or s.turn >= s.n_turns:
            raise LocalProtocolError(
                "out_of_turn",
                "No sum is open that this site has not yet contributed to.",
                "当前没有本站点尚未提交的求和。",
            )
        check_bound(values, bound)
        words, n = Words.for_sum(len(s.parties), bound), len(values)
        others = {
            s.sites.index(party): _key(keys, s.turn)
            for party, keys in zip(s.parties, s.pair_keys, strict=True)
            if party != self.party
        }
        pairs = masks.pair_masks(s.sites.index(self.party), others, n)
        own = masks.own_mask(_seed(s.own_seeds, s.turn), n)
        data = words.dump(values.astype(np.int64).view(np.uint64) + own + pairs)
        s.phase = "contributed"
        return Contribution(turn=s.turn, data=data, proof=b"", signature=b"")

    def _open(self, m: Open) -> Message:
        self.check_opening(m, m.batch, m.n_turns, MOST_TURNS)
        sealing_key = pairwise.generate_key()
        public = pairwise.public_key(sealing_key)
        signature = self.signing.sign(key_statement(m, self.party, public))
        self.state = MaskingState(
            phase=self.state.phase,
            n_opened=self.state.n_opened,
            number=m.batch,
            sites=m.sites,
            threshold=m.threshold,
            n_turns=m.n_turns,
            sealing_key=sealing_key,
            pair_seeds=b"".join(masks.new_seed() for _ in range(m.n_turns)),
            own_seeds=b"".join(masks.new_seed() for _ in range(m.n_turns)),
        )
        return Keys(sealing_key=public, signature=signature)

    def _share(self, m: AllKeys) -> Message:
        s, batch = self.state, self._batch
        parties = tuple(party for party, *_ in m.keys)
        self.check_parties(parties, s.sites)
        for party, sealing_key, signature in m.keys:
            check_signature(self.signing, party, key_statement(batch, party, sealing_key), signature)
        if len({sealing for _, sealing, _ in m.keys}) < len(parties):
            raise bad_value("keys that two sites have alike", "两站点公钥相同")
        holders = [s.sites.index(party) + 1 for party in parties]
        shares = self._deal(holders)
        secrets = agreed(s.sealing_key, {party: key for party, key, _ in m.keys if party != self.party})
        envelopes = self._envelopes(secrets)
        sealed = tuple(
            (party, envelopes.seal(party, content))
            for party, content in zip(parties, shares, strict=True)
            if party != self.party
        )
        pair_keys = {party: masks.pair_keys(secret, s.n_turns) for party, secret in secrets.items()}
        turns = [
            masks.seal_pair_keys(_seed(s.pair_seeds, turn), [_key(keys, turn) for keys in pair_keys.values()])
            for turn in range(s.n_turns)
        ]
        s.parties = parties
        s.secrets = tuple(secrets.get(party, b"") for party in parties)
        s.vouchers = tuple(b"" if party == self.party else envelopes.voucher(party) for party in parties)
        s.pair_keys = tuple(pair_keys.get(party, b"") for party in parties)
        s.shares = tuple(
            content if party == self.party else b"" for party, content in zip(parties, shares, strict=True)
        )
        return SealedShares(shares=sealed, pair_keys=b"".join(turns))

    def _receive(self, m: Deliver) -> Message:
        s, sealed, parties = self.state, dict(m.shares), self.senders(m.shares)
        envelopes, shares = self._envelopes(dict(zip(s.parties, s.secrets, strict=True))), []
        for party in parties:
            place = s.parties.index(party)
            own = s.shares[place]
            shares.append(own or envelopes.open(party, sealed[party]))
            if len(shares[-1]) != s.n_turns * _PAIR_BYTES:
                raise bad_value("shares", "分片")
        kept = [s.parties.index(party) for party in parties]
        s.pair_keys, s.vouchers = (tuple(of[k] for k in kept) for of in (s.pair_keys, s.vouchers))
        s.parties, s.shares, s.turn = parties, tuple(shares), 0
        s.sealing_key, s.secrets = b"", ()  # nothing more is agreed on
        return Ready()

    def _agree(self, m: Contributors) -> Message:
        s = self.state
        if m.turn != s.turn:
            raise bad_value("turn", "轮次")
        self.check_parties(m.parties, s.parties)
        s.contributors = m.parties
        # Bonawitz et al. sign this; a MAC for each other site convinces it as well, and nobody else needs to be.
        s.vouched = message = contributors_statement(self._batch, s.turn, m.parties)
        keys = {p: key for p, key in zip(s.parties, s.vouchers, strict=True) if p in m.parties and p != self.party}
        return Agreed(
            vouchers=tuple((p, vouch(self.signing.suite, key, self.party, message)) for p, key in keys.items())
        )

    def _unmask(self, m: Unmask) -> Message:
        s = self.state
        if m.turn != s.turn:
            raise bad_value("turn", "轮次")
        others = tuple(party for party, _ in m.vouchers)
        if not is_roster(others) or not set(others) <= set(s.contributors) - {self.party}:
            raise bad_value("names of those who vouch", "互证方名单")
        self.rules.check_sites(len(others) + 1, s.threshold)
        key_of = dict(zip(s.parties, s.vouchers, strict=True))
        for party, mac in m.vouchers:
            check_vouched(self.signing.suite, key_of[party], party, s.vouched, mac)
        # Of each site one of the two, never both: its own seed and its pair seed together open its vector.
        contributed, seeds, keys = set(s.contributors), b"", b""
        for party, shares in zip(s.parties, s.shares, strict=True):
            place = s.turn * _PAIR_BYTES
            if party in contributed:
                seeds += shares[place + SHARE_BYTES : place + _PAIR_BYTES]
            else:
                keys += shares[place : place + SHARE_BYTES]
        s.contributors, s.vouched, s.turn, s.n_opened = (), b"", s.turn + 1, s.n_opened + 1
        return Unmasked(seeds=seeds, keys=keys)

    def _deal(self, holders: list[int]) -> list[bytes]:
        """Per holder, of all turns: its share of the pair seed and of the own seed."""
        dealt = [b""] * len(holders)
        for turn in range(self.state.n_turns):
            for seeds in (self.state.pair_seeds, self.state.own_seeds):
                secret = int.from_bytes(_seed(seeds, turn), "little")
                shares = share(secret, self.state.threshold, holders)
                dealt = [known + x.to_bytes(SHARE_BYTES, "little") for known, x in zip(dealt, shares, strict=True)]
        return dealt

    @property
    def _batch(self) -> Open:
        s = self.state
        return Open(session=self.session, batch=s.number, sites=s.sites, threshold=s.threshold, n_turns=s.n_turns)

    def _envelopes(self, secrets: Mapping[PartyId, bytes]) -> Envelopes:
        return Envelopes(self.signing.suite, opened(self._batch), self.party, secrets)


def _key(keys: bytes, turn: int) -> bytes:
    return keys[turn * pairwise.KEY_BYTES : (turn + 1) * pairwise.KEY_BYTES]


def _seed(seeds: bytes, turn: int) -> bytes:
    return seeds[turn * SECRET_BYTES : (turn + 1) * SECRET_BYTES]
