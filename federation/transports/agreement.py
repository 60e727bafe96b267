"""How two parties of a session agree on keys that the relay does not learn. Bytes in, bytes out.

SIGMA, "sign and MAC" (Krawczyk, "SIGMA: the SIGn-and-MAc approach to authenticated Diffie-Hellman", CRYPTO 2003, §5.1),
with a key encapsulation in the place of Diffie-Hellman (Peikert, "Lattice cryptography for the Internet", PQCrypto
2014, §6), so that it is the same for suites with and without Diffie-Hellman. I initiates: its name sorts first.

    I → R  offer    suite, ek                     ek: sealing key made for this pair and session
    R → I  answer   c, SIG_R(T), MAC_k(R)         c: a fresh secret s sealed to ek
    I → R  confirm  SIG_I(T), MAC_k(I)

T holds words, versions, suite, session, both names, ek and c. From s and T come k and the keys of each direction
(HKDF, RFC 5869; the transcript in the label as in RFC 8446 §7.1). Signatures say who speaks, MACs that the speaker
knows the key (SIGMA's answer to misbinding of identities); words differ by role, so nothing can be reflected. Neither
ek's private half nor s outlives the agreement: who steals signing keys later opens nothing of before (forward secrecy).

In the suite ``international`` the encapsulation is HPKE's base mode (RFC 9180), which resists chosen ciphertexts; in
``sm`` an envelope of SM2 and SM4-GCM (see ``suites.sm``).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self, TypeVar

from federation.ciphers.suites.choice import suite
from federation.codec import decode, encode
from federation.errors import BadKey, BadSignature, NotSealedToUs, PartyId, RemoteProtocolError
from federation.messages import PROTOCOL_VERSION, Message
from federation.transports.messages import SealAnswer, SealConfirm, SealOffer
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="SIGMA with a key encapsulation",
        purpose="keys of frames between two parties of a session",
        purpose_zh="会话双方帧密封密钥的认证协商",
        standard="Krawczyk 2003; Peikert 2014; algorithms as in federation.ciphers.suites",
        library="secrets",
    ),
    Declared(
        algorithm="comparison in constant time",
        purpose="confirmation of keys",
        purpose_zh="密钥确认值的比对",
        standard="none",
        library="hmac",
    ),
)

_M = TypeVar("_M", bound=Message)

_SECRET_BYTES: Final = 32
NONCE_BYTES: Final = 12
#: Longest message of an agreement: keys, a sealed secret and a signature, with room.
_MESSAGE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Seals:
    """What a party needs to seal what it sends, and to open what it gets.

    Attributes:
        suite: our crypto suite; of peers no other is accepted.
        sign: our signature of a message, with the suite's signing key.
        known: party → its suite and public signing key, as believed; nobody else is spoken to.
    """

    suite: str
    sign: Callable[[bytes], bytes] = field(repr=False)
    known: Mapping[PartyId, tuple[str, bytes]]

    @classmethod
    def with_key(cls, suite_name: str, private: bytes, known: Mapping[PartyId, tuple[str, bytes]]) -> Self:
        """Seals that sign with a private key in memory."""
        return cls(suite_name, lambda message: suite(suite_name).sign(private, message), known)

    def key_of(self, party: PartyId) -> bytes:
        """Its public signing key. Raises RemoteProtocolError: "seal_unknown_key", "seal_other_suite"."""
        if party not in self.known:
            raise RemoteProtocolError(
                party,
                "seal_unknown_key",
                "we know no signing key of it, so nothing is sent to it or read from it. Import its keys.",
                "本方没有其签名公钥，故不与其收发任何内容。请先导入其公钥。",
            )
        name, key = self.known[party]
        if name != self.suite:
            raise other_suite(party)
        return key


class DirectionKey(NamedTuple):
    """Key and first nonce for what one party sends to the other."""

    secret: bytes
    nonce: bytes


class Keys(NamedTuple):
    """What came of an agreement."""

    sending: DirectionKey
    receiving: DirectionKey


class Agreement:
    """One party's side of an agreement with one peer; done after one pass.

    Raises:
        RemoteProtocolError: of the peer: "seal_unknown_key", "seal_other_suite"; here and in ``take``.
    """

    def __init__(self, seals: Seals, session: str, party: PartyId, peer: PartyId) -> None:
        self._seals = seals
        self._suite = suite(seals.suite)
        self._peer_key = seals.key_of(peer)
        self._session, self._party, self._peer = session, party, peer
        self._initiates = party < peer
        self._private = b""
        self._offered = b""
        self._unconfirmed: tuple[bytes, bytes] | None = None

    def opening(self) -> bytes | None:
        """The offer; None for the one who waits for it."""
        if not self._initiates:
            return None
        self._private = self._suite.new_sealing_key()
        self._offered = self._suite.sealing_key(self._private)
        return encode(SealOffer(suite=self._seals.suite, key=self._offered))

    def take(self, body: bytes) -> tuple[bytes | None, Keys | None]:
        """What to reply to the peer's next message, if anything, and the keys, once they are agreed.

        Raises:
            RemoteProtocolError: "not_sealed": no message of an agreement; "seal_unknown_key": signed with another key
                than the one we know, or changed on its way; "seal_broken"; "wrong_version", "bad_value".
        """
        if self._initiates:
            return self._confirm(self._read(body, SealAnswer))
        if self._unconfirmed is None:
            return self._answer(self._read(body, SealOffer)), None
        return None, self._finish(self._read(body, SealConfirm), *self._unconfirmed)

    def _answer(self, offer: SealOffer) -> bytes:
        if offer.suite != self._seals.suite:
            raise other_suite(self._peer)
        secret = secrets.token_bytes(_SECRET_BYTES)
        try:
            sealed = self._suite.seal(offer.key, secret, self._head(offer.key))
        except BadKey:
            raise seal_broken(self._peer) from None
        transcript = self._transcript(offer.key, sealed)
        self._unconfirmed = (secret, transcript)
        signature, mac = self._proof("answer", secret, transcript)
        return encode(SealAnswer(secret=sealed, signature=signature, mac=mac))

    def _confirm(self, answer: SealAnswer) -> tuple[bytes, Keys]:
        transcript = self._transcript(self._offered, answer.secret)
        # Nothing is done with the private key for a peer that did not sign what we offered.
        self._check_signature("answer", transcript, answer.signature)
        try:
            secret = self._suite.unseal(self._private, answer.secret, self._head(self._offered))
        except NotSealedToUs:
            raise seal_broken(self._peer) from None
        self._private = b""
        self._check_mac("answer", secret, transcript, answer.mac)
        signature, mac = self._proof("confirm", secret, transcript)
        return encode(SealConfirm(signature=signature, mac=mac)), self._keys(secret, transcript)

    def _finish(self, confirm: SealConfirm, secret: bytes, transcript: bytes) -> Keys:
        self._check_signature("confirm", transcript, confirm.signature)
        self._check_mac("confirm", secret, transcript, confirm.mac)
        self._unconfirmed = None
        return self._keys(secret, transcript)

    def _proof(self, role: str, secret: bytes, transcript: bytes) -> tuple[bytes, bytes]:
        return self._seals.sign(_words(role) + transcript), self._mac(role, secret, transcript, self._party)

    def _check_signature(self, role: str, transcript: bytes, signature: bytes) -> None:
        try:
            self._suite.verify(self._peer_key, _words(role) + transcript, signature)
        except (BadKey, BadSignature):
            raise RemoteProtocolError(
                self._peer,
                "seal_unknown_key",
                "it signed with another key than the one we know of it, or the relay changed what it signed. Compare "
                "fingerprints with it before you trust a new key.",
                "其签名与本方所知的公钥不符，或中继改动了被签内容。采信新公钥前，请与其核对指纹。",
            ) from None

    def _check_mac(self, role: str, secret: bytes, transcript: bytes, mac: bytes) -> None:
        if not hmac.compare_digest(mac, self._mac(role, secret, transcript, self._peer)):
            raise seal_broken(self._peer)

    def _mac(self, role: str, secret: bytes, transcript: bytes, speaker: PartyId) -> bytes:
        key = self._suite.derive(secret, _words("mac") + self._suite.digest(transcript), _SECRET_BYTES)
        return self._suite.mac(key, _words(role) + speaker.encode())

    def _keys(self, secret: bytes, transcript: bytes) -> Keys:
        size = self._suite.secret_bytes
        digest = self._suite.digest(transcript)
        of_initiator, of_responder = (
            DirectionKey(made[:size], made[size:])
            for made in (
                self._suite.derive(secret, _words(role) + digest, size + NONCE_BYTES)
                for role in ("initiator", "responder")
            )
        )
        return Keys(of_initiator, of_responder) if self._initiates else Keys(of_responder, of_initiator)

    def _head(self, key: bytes) -> bytes:
        names = sorted((self._party, self._peer))
        return joined(str(PROTOCOL_VERSION), self._seals.suite, self._session, *names, key)

    def _transcript(self, key: bytes, sealed: bytes) -> bytes:
        return joined(self._head(key), sealed)

    def _read(self, body: bytes, kind: type[_M]) -> _M:
        try:
            message = decode(body, self._peer, allowed=(kind,), max_bytes=_MESSAGE_BYTES)
        except RemoteProtocolError as error:
            if error.code in ("unreadable", "unknown_kind", "too_large"):
                raise not_sealed(self._peer) from None
            raise
        assert isinstance(message, kind)
        return message


def joined(*parts: str | bytes) -> bytes:
    """Parts behind one another, each after its length in four bytes: other parts never give the same bytes."""
    encoded = (part.encode() if isinstance(part, str) else part for part in parts)
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def not_sealed(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "not_sealed",
        "what came in its name is not sealed, and we read nothing else. Are its seals on, in the same release?",
        "以其名义发来的内容未经密封，本方一律不读取。请确认其已启用密封且版本一致。",
    )


def seal_broken(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "seal_broken",
        "a frame in its name does not carry its seal at this place: it, or the relay in between, changed, repeated, "
        "moved or dropped something. The session ends; nothing of that frame was read.",
        "以其名义发来的帧在此处密封无效：该方或其间的中继改动、重放、调换或丢弃了内容。会话终止，该帧内容未被读取。",
    )


def other_suite(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "seal_other_suite",
        "it seals with another crypto suite than ours. All parties of a session use one suite.",
        "其密封所用密码套件与本方不同。同一会话各方须使用同一套件。",
    )


def _words(role: str) -> bytes:
    return f"lianmo.seal.{role}.1\0".encode()
