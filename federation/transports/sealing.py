"""Frames sealed from party to party, so that the relay between them can neither read nor change them. Bytes in, bytes
out.

Each direction of a pair has a key and a counter of its own (``agreement``). A frame's nonce is the first nonce XOR the
counter (RFC 8446 §5.3); words, session, sender, receiver, counter and kind of frame are its associated data. A frame
that is changed, repeated, moved, left out before another, of another session, pair or direction, or whose message ends
elsewhere does not open, and ends the session. What the relay can still do: keep back the last frames, or everything;
then deadlines pass.
"""

from __future__ import annotations

from typing import Final

from federation.ciphers.suites.choice import suite
from federation.ciphers.suites.interface import Suite
from federation.errors import LocalProtocolError, NotDecryptable, PartyId
from federation.transports.agreement import (
    NONCE_BYTES,
    Agreement,
    DirectionKey,
    Seals,
    joined,
    not_sealed,
    seal_broken,
)
from federation.transports.frames import LAST

#: Most frames under one key. Of 1 MiB they are 2³⁶ blocks: an advantage of 2⁻⁵⁷ against GCM, the margin at which
#: RFC 8446 §5.5 stops, too; NIST SP 800-38D §8.3 allows 2³² messages.
MOST_FRAMES: Final = 2**20


class _Direction:
    """What one party sends to another: the counter is that of the next frame."""

    def __init__(self, chosen: Suite, key: DirectionKey, session: str, sender: PartyId, receiver: PartyId) -> None:
        self._suite = chosen
        self._key = key
        self._head = joined("lianmo.seal.frame.1", session, sender, receiver)
        self._next = 0

    def _place(self, kind: int) -> tuple[bytes, bytes]:
        """Nonce and associated data of the next frame; no place is given twice."""
        if self._next >= MOST_FRAMES:
            raise LocalProtocolError(
                "seal_exhausted",
                "A session has sent as many frames as one key may seal. Use larger batches.",
                "本会话的帧数已达单个密钥的上限。请增大批量。",
            )
        counter = self._next.to_bytes(NONCE_BYTES, "big")
        self._next += 1
        nonce = bytes(a ^ b for a, b in zip(self._key.nonce, counter, strict=True))
        return nonce, self._head + counter + bytes((kind,))

    def seal(self, kind: int, body: bytes) -> bytes:
        nonce, context = self._place(kind)
        return self._suite.raw_encrypt(self._key.secret, nonce, body, context)

    def open(self, kind: int, body: bytes) -> bytes:
        nonce, context = self._place(kind)
        return self._suite.raw_decrypt(self._key.secret, nonce, body, context)


class SealedSession:
    """One party's sealed lines to all others of a session.

    ``arrived`` and ``take`` are called by whoever reads frames, in their order; ``seal`` by whoever sends, once
    ``ready``.
    """

    def __init__(self, seals: Seals, session: str, party: PartyId) -> None:
        self._seals = seals
        self._suite = suite(seals.suite)
        self._session, self._party = session, party
        self._agreements: dict[PartyId, Agreement] = {}
        self._outgoing: dict[PartyId, _Direction] = {}
        self._incoming: dict[PartyId, _Direction] = {}

    def check(self, peer: PartyId) -> None:
        """Raises RemoteProtocolError ("seal_unknown_key", "seal_other_suite") for one we cannot talk to."""
        self._seals.key_of(peer)

    def ready(self, peer: PartyId) -> bool:
        """Whether keys are agreed with it."""
        return peer in self._outgoing

    def arrived(self, peer: PartyId) -> bytes | None:
        """``peer`` has joined: what to send it, in clear, if it is ours to begin. Strangers get nothing."""
        if peer in self._agreements or peer not in self._seals.known:
            return None
        return self._agreement(peer).opening()

    def take(self, peer: PartyId, kind: int, body: bytes) -> tuple[bytes | None, bytes | None]:
        """One frame of ``peer``: what to send back in clear, and what was in it, if anything.

        Raises:
            RemoteProtocolError: of ``peer``: "not_sealed", "seal_broken", and as ``Agreement.take``.
        """
        if peer in self._incoming:
            try:
                return None, self._incoming[peer].open(kind, body)
            except (NotDecryptable, LocalProtocolError):
                raise seal_broken(peer) from None
        agreement = self._agreement(peer)
        if kind != LAST:  # a message of an agreement is one frame
            raise not_sealed(peer)
        reply, keys = agreement.take(body)
        if keys:
            self._incoming[peer] = _Direction(self._suite, keys.receiving, self._session, peer, self._party)
            self._outgoing[peer] = _Direction(self._suite, keys.sending, self._session, self._party, peer)
        return reply, None

    def seal(self, peer: PartyId, kind: int, body: bytes) -> bytes:
        """The next frame to ``peer``, 16 bytes longer. Raises LocalProtocolError: "seal_exhausted"."""
        return self._outgoing[peer].seal(kind, body)

    def _agreement(self, peer: PartyId) -> Agreement:
        if peer not in self._agreements:
            self._agreements[peer] = Agreement(self._seals, self._session, self._party, peer)
        return self._agreements[peer]
