"""What parties of a sum sign, so that a coordinator cannot tell them different things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from federation.audit.heads import canonical
from federation.ciphers.suites.choice import suite
from federation.errors import BadKey, BadSignature, PartyId, RemoteProtocolError

_TAG: Final = b"lianmo.aggregation."


class Signing(Protocol):
    """A party's signing key, and those of the others as it believes them (``transports.agreement.Seals`` is one).

    Attributes:
        suite: the crypto suite of all parties of the sum.
        sign: our signature of a message.
        known: party → its suite and public signing key.
    """

    @property
    def suite(self) -> str: ...

    @property
    def sign(self) -> Callable[[bytes], bytes]: ...

    @property
    def known(self) -> Mapping[PartyId, tuple[str, bytes]]: ...


def statement(what: str, *parts: Any) -> bytes:
    """Bytes to sign: words of their own, then canonical JSON of text, integers and lists of them."""
    return _TAG + what.encode() + b".1\0" + canonical(list(parts))


def check_signature(signing: Signing, party: PartyId, message: bytes, signature: bytes) -> None:
    """Raises ``RemoteProtocolError`` (``bad_signature``) unless ``party`` signed ``message`` with the key known."""
    name, key = signing.known.get(party, ("", b""))
    try:
        if name != signing.suite:
            raise BadKey
        suite(name).verify(key, message, signature)
    except (BadKey, BadSignature):
        raise RemoteProtocolError(
            party,
            "bad_signature",
            "its signature does not fit what it should have signed, or its key is not the one known here: parties of "
            "the sum were told different things, or keys must be exchanged anew.",
            "其签名与应签内容不符，或其公钥并非本方所知：求和各方所获信息不一致，或需重新交换公钥。",
        ) from None


def strangers(signing: Signing, parties: Sequence[PartyId]) -> list[PartyId]:
    """Those whose keys are not known: sums with them might be sums with inventions of the coordinator."""
    return [party for party in parties if signing.known.get(party, ("", b""))[0] != signing.suite]
