"""Sums under a shared key, a site's half: deals and receives shares of keys, encrypts its vectors, and helps to open
sums of at least as many sites as it insists on, one sum per turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from federation.ciphers import pairwise
from federation.ciphers.dealing import (
    check_points,
    commitments,
    is_dealt,
    is_proven,
    prove,
    scalar,
    total,
)
from federation.ciphers.elgamal import added, check_room, encrypt, n_blocks, partial
from federation.ciphers.oprf import POINT_BYTES, InvalidPoint
from federation.ciphers.shamir import ORDER, SHARE_BYTES, polynomial, random_scalar, value, weights
from federation.ciphers.suites.choice import suite
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError
from federation.horizontal.aggregation.envelopes import Envelopes, agreed
from federation.horizontal.aggregation.interface import Numbers
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.rules import check_bound, is_roster
from federation.horizontal.aggregation.signing import check_signature, statement
from federation.horizontal.aggregation.site import SumSite
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
from federation.horizontal.aggregation.threshold.state import ThresholdState
from federation.horizontal.aggregation.threshold.statements import (
    committed_statement,
    contribution_statement,
    keys_statement,
    opened,
    randomness_context,
    secrets_context,
)
from federation.messages import Message
from federation.responder import Transitions, bad_value

_PHASES: Final = ("closed", "opened", "dealt", "keyed", "ready", "contributed", "helped")
#: (phase, request) → next phase; what is absent is refused. Who has helped may be asked again, about the same sum.
TRANSITIONS: Final[Transitions] = {
    **{(phase, Open): "opened" for phase in _PHASES},
    ("opened", AllCommitted): "dealt",
    ("dealt", Deliver): "keyed",
    ("keyed", Confirm): "ready",
    ("contributed", OpenSum): "helped",
    ("helped", OpenSum): "helped",
}

MOST_KEYS: Final = 256


@dataclass(slots=True)
class ThresholdSite(SumSite):
    """See ``Contributor``."""

    transitions: ClassVar[Transitions] = TRANSITIONS

    state: ThresholdState = field(default_factory=ThresholdState)

    def reply(self, request: Message) -> Message:
        match request:
            case Open():
                return self._open(request)
            case AllCommitted():
                return self._deal(request)
            case Deliver():
                return self._receive(request)
            case Confirm():
                return self._confirm(request)
            case OpenSum():
                return self._help(request)
        raise AssertionError(request.kind)

    def contribute(self, values: Numbers, bound: int) -> Message:
        s = self.state
        if s.phase not in ("ready", "contributed", "helped"):
            raise LocalProtocolError(
                "out_of_turn", "No key is shared yet to encrypt under.", "尚无可用于加密的共享公钥。"
            )
        check_bound(values, bound)
        check_room(len(s.parties), bound)
        turn = s.turn if s.phase == "ready" else s.turn + 1  # whether it was asked to help with the last, or not
        found, scalars = encrypt(_cut(s.keys), values.tolist())
        proof = prove(scalars, found.randomness, randomness_context(self._epoch, turn, self.party))
        randomness = b"".join(found.randomness)
        signed = contribution_statement(self.signing.suite, self._epoch, turn, self.party, randomness)
        reply = Contribution(turn=turn, data=found.dump(), proof=proof, signature=self.signing.sign(signed))
        s.phase, s.turn, s.opened = "contributed", turn, b""
        return reply

    def _open(self, m: Open) -> Message:
        self.check_opening(m, m.epoch, m.n_keys, MOST_KEYS)
        sealing_key = pairwise.generate_key()
        own = [polynomial(random_scalar(), m.threshold) for _ in range(m.n_keys)]
        committed = b"".join(map(commitments, own))
        secrets = [scalar(coefficients[0]) for coefficients in own]
        proof = prove(secrets, _cut(committed)[:: m.threshold], secrets_context(m, self.party))
        public = pairwise.public_key(sealing_key)
        signed = committed_statement(self.signing.suite, m, self.party, public, committed, proof)
        signature = self.signing.sign(signed)
        self.state = ThresholdState(
            phase=self.state.phase,
            n_opened=self.state.n_opened,
            number=m.epoch,
            sites=m.sites,
            threshold=m.threshold,
            n_keys=m.n_keys,
            sealing_key=sealing_key,
            polynomials=b"".join(scalar(c) for coefficients in own for c in coefficients),
        )
        return Committed(sealing_key=public, commitments=committed, proof=proof, signature=signature)

    def _deal(self, m: AllCommitted) -> Message:
        s, epoch = self.state, self._epoch
        parties = tuple(party for party, *_ in m.sites)
        self.check_parties(parties, s.sites)
        for party, sealing_key, committed, proof, signature in m.sites:
            signed = committed_statement(self.signing.suite, epoch, party, sealing_key, committed, proof)
            check_signature(self.signing, party, signed, signature)
            self._check_commitments(party, committed, proof)
        dealt = {party: self._shares_of(party) for party in parties}
        envelopes = self._envelopes({party: key for party, key, *_ in m.sites})
        sealed = tuple((party, envelopes.seal(party, dealt[party])) for party in parties if party != self.party)
        s.parties = parties
        s.sealing_keys = tuple(key for _, key, *_ in m.sites)
        s.commitments = tuple(committed for _, _, committed, *_ in m.sites)
        s.own_shares, s.polynomials = dealt[self.party], b""
        return Dealt(shares=sealed)

    def _check_commitments(self, party: PartyId, committed: bytes, proof: bytes) -> None:
        """Raises ``RemoteProtocolError`` (``bad_point``) of ``party`` for points or a proof that are none."""
        s = self.state
        try:
            points = check_points(committed, s.n_keys * s.threshold)
        except InvalidPoint:
            raise _unproven(party) from None
        if not is_proven(points[:: s.threshold], proof, secrets_context(self._epoch, party)):
            raise _unproven(party)

    def _receive(self, m: Deliver) -> Message:
        s, sealed, parties = self.state, dict(m.shares), self.senders(m.shares)
        envelopes = self._envelopes(dict(zip(s.parties, s.sealing_keys, strict=True)))
        holder = s.sites.index(self.party) + 1
        sums = [0] * s.n_keys
        firsts: list[list[bytes]] = [[] for _ in range(s.n_keys)]
        for party in parties:
            place = s.parties.index(party)
            own = party == self.party
            shares = s.own_shares if own else envelopes.open(party, sealed[party])
            points = _cut(s.commitments[place])
            for k in range(s.n_keys):
                of_key = points[k * s.threshold : (k + 1) * s.threshold]
                share = shares[k * SHARE_BYTES : (k + 1) * SHARE_BYTES]
                if len(shares) != s.n_keys * SHARE_BYTES or not is_dealt(of_key, holder, share):
                    raise RemoteProtocolError(
                        party, "bad_value", "dealt a share that is none of its secret.", "分发的分片与其承诺不符。"
                    )
                sums[k] = (sums[k] + int.from_bytes(share, "little")) % ORDER
                firsts[k].append(of_key[0])
        keys = b"".join(map(total, firsts))
        check_points(keys, s.n_keys)
        signature = self.signing.sign(keys_statement(self.signing.suite, self._epoch, parties, keys))
        s.parties, s.keys, s.key_shares, s.turn = parties, keys, b"".join(map(scalar, sums)), 0
        s.sealing_key, s.sealing_keys, s.commitments, s.own_shares = b"", (), (), b""
        return KeyMade(signature=signature)

    def _confirm(self, m: Confirm) -> Message:
        s = self.state
        self.check_parties(tuple(party for party, _ in m.signatures), s.parties)
        signed = keys_statement(self.signing.suite, self._epoch, s.parties, s.keys)
        for party, signature in m.signatures:
            check_signature(self.signing, party, signed, signature)
        return Ready()

    def _help(self, m: OpenSum) -> Message:
        s = self.state
        if m.turn != s.turn:
            raise bad_value("turn", "轮次")
        contributors = tuple(party for party, *_ in m.contributions)
        self.check_parties(contributors, s.parties)
        if not is_roster(m.openers) or not set(m.openers) <= set(s.parties) or self.party not in m.openers:
            raise bad_value("names of openers", "开启站点名单")
        if len(m.openers) != s.threshold or m.n_numbers < 0:
            raise bad_value("number of openers", "开启站点数")
        summed: list[bytes] = []
        for party, *contribution in m.contributions:
            points = self._checked_randomness(party, m.n_numbers, *contribution)
            summed = added(summed, points) if summed else points
        # Sums that differ by one contributor would show it: one set per turn, whoever opens.
        of_sum = statement("threshold.sum", [[party, data.hex()] for party, data, *_ in m.contributions], m.n_numbers)
        digest = suite(self.signing.suite).digest(of_sum)
        if s.opened not in (b"", digest):
            raise bad_value("another sum in the same turn", "同一轮次的另一求和")
        check_points(b"".join(summed), len(summed))
        weight = weights([s.sites.index(party) + 1 for party in m.openers])[m.openers.index(self.party)]
        points = partial(_cut(s.key_shares), weight, summed, m.n_numbers)
        s.n_opened += not s.opened
        s.opened = digest
        return Partials(points=b"".join(points))

    def _checked_randomness(
        self, party: PartyId, n_numbers: int, data: bytes, proof: bytes, signature: bytes
    ) -> list[bytes]:
        """Points of ``party``, signed by it, of which it knows the randomness. Without that it could send what makes
        the sum of all points that of one contributor, whose vector would be opened.

        Raises:
            RemoteProtocolError: of ``party``: ``bad_signature``, ``bad_point``.
        """
        s, epoch = self.state, self._epoch
        signed = contribution_statement(self.signing.suite, epoch, s.turn, party, data)
        check_signature(self.signing, party, signed, signature)
        try:
            points = check_points(data, n_blocks(n_numbers, s.n_keys))
        except InvalidPoint:
            raise _unproven(party) from None
        if not is_proven(points, proof, randomness_context(epoch, s.turn, party)):
            raise _unproven(party)
        return points

    def _shares_of(self, party: PartyId) -> bytes:
        """What ``party`` gets of each of this site's own secrets."""
        s = self.state
        numbers = [int.from_bytes(c, "little") for c in _cut(s.polynomials)]
        holder = s.sites.index(party) + 1
        return b"".join(
            scalar(value(numbers[k * s.threshold : (k + 1) * s.threshold], holder)) for k in range(s.n_keys)
        )

    @property
    def _epoch(self) -> Open:
        s = self.state
        return Open(session=self.session, epoch=s.number, sites=s.sites, threshold=s.threshold, n_keys=s.n_keys)

    def _envelopes(self, keys: Mapping[PartyId, bytes]) -> Envelopes:
        others = {party: key for party, key in keys.items() if party != self.party}
        secrets = agreed(self.state.sealing_key, others)
        return Envelopes(self.signing.suite, opened(self._epoch), self.party, secrets)


def _cut(data: bytes) -> list[bytes]:
    return [data[k : k + POINT_BYTES] for k in range(0, len(data), POINT_BYTES)]


def _unproven(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "bad_point",
        "sent commitments that are no points, or did not prove that it knows its secret.",
        "发送的承诺不是有效点，或未能证明其知晓秘密。",
    )
