"""What one site sends another through the coordinator, which cannot read it or make one up.

Authenticated encryption under a key that both sites agree on (Bonawitz et al. 2017, figure 4, round 1): X25519, then
the suite's key derivation and authenticated encryption; for what need not be hidden, the suite's MAC. Public keys are
signed by their owners. The agreement is X25519 in the suite ``sm``, too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from federation.ciphers import pairwise
from federation.ciphers.suites.choice import suite
from federation.errors import NotDecryptable, PartyId, RemoteProtocolError
from federation.horizontal.aggregation.signing import statement
from models.declared import Declared

CRYPTO: Final = (
    Declared(
        algorithm="comparison in constant time",
        purpose="what sites vouch for to each other",
        purpose_zh="站点间互证值的比对",
        standard="none",
        library="hmac",
    ),
)

_PURPOSE: Final = b"lianmo aggregation agreement 2"
_MAC_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class Envelopes:
    """One site's, of one batch; each pair and direction has a key that is used once.

    Attributes:
        suite: of all sites.
        context: what both sites know of the batch, bound into every envelope.
        party: this site.
        secrets: agreed with each other site (``agreed``), of this batch alone.
    """

    suite: str
    context: bytes
    party: PartyId
    secrets: Mapping[PartyId, bytes]

    def seal(self, receiver: PartyId, content: bytes) -> bytes:
        """For ``receiver`` alone."""
        label = self._label(self.party, receiver)
        return suite(self.suite).encrypt(self._key(receiver, label), content, label)

    def open(self, sender: PartyId, sealed: bytes) -> bytes:
        """Raises ``RemoteProtocolError`` (``bad_value``) of a sender whose envelope is none to us."""
        label = self._label(sender, self.party)
        try:
            return suite(self.suite).decrypt(self._key(sender, label), sealed, label)
        except NotDecryptable:
            raise _bad(sender) from None

    def voucher(self, other: PartyId) -> bytes:
        """A key for MACs between the two, 32 bytes."""
        label = statement("voucher", *sorted((self.party, other))) + self.context
        return suite(self.suite).derive(self.secrets[other], label, _MAC_BYTES)

    def _label(self, sender: PartyId, receiver: PartyId) -> bytes:
        return statement("envelope", sender, receiver) + self.context

    def _key(self, other: PartyId, label: bytes) -> bytes:
        return suite(self.suite).derive(self.secrets[other], label, suite(self.suite).secret_bytes)


def agreed(private: bytes, keys: Mapping[PartyId, bytes]) -> dict[PartyId, bytes]:
    """What a site with this X25519 key shares with each other one, given by their public keys: derive keys from it.

    Raises:
        RemoteProtocolError: ``bad_value``, of a site whose public key is none.
    """
    try:
        return dict(zip(keys, pairwise.agree(private, list(keys.values()), _PURPOSE), strict=True))
    except ValueError:
        raise _bad(next(party for party, key in keys.items() if not _is_key(private, key))) from None


def _is_key(private: bytes, key: bytes) -> bool:
    try:
        return bool(pairwise.agree(private, [key], _PURPOSE))
    except ValueError:
        return False


def vouch(suite_name: str, key: bytes, sender: PartyId, message: bytes) -> bytes:
    """A MAC of ``message`` by ``sender`` for the one other party that has ``key``."""
    return suite(suite_name).mac(key, _vouched(sender) + message)


@lru_cache(maxsize=1024)  # in every sum, of every pair of sites
def _vouched(sender: PartyId) -> bytes:
    return statement("vouched", sender)


def check_vouched(suite_name: str, key: bytes, sender: PartyId, message: bytes, mac: bytes) -> None:
    """Raises ``RemoteProtocolError`` (``bad_signature``) unless ``sender`` vouched for ``message`` to us."""
    if not hmac.compare_digest(mac, vouch(suite_name, key, sender, message)):
        raise RemoteProtocolError(
            sender,
            "bad_signature",
            "it was told something else than we were, or the coordinator changed its word. Nothing is opened.",
            "其所获信息与本方不一致，或协调方改动了其证明。本方不予开启。",
        )


def _bad(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "bad_value",
        "what came in its name for this site does not open: it, or the coordinator in between, changed it.",
        "以其名义发给本站点的密封内容无法打开：该站点或中转的协调方改动了内容。",
    )
