"""What one site sends another through the coordinator, which cannot read it or make one up.

Authenticated encryption under a key that both sites agree on (Bonawitz et al. 2017, figure 4, round 1): X25519, then
the suite's key derivation and authenticated encryption. Public keys are signed by their owners. The agreement is X25519
in the suite ``sm``, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.ciphers import pairwise
from federation.ciphers.suites.choice import suite
from federation.errors import NotDecryptable, PartyId, RemoteProtocolError
from federation.horizontal.aggregation.signing import statement

_PURPOSE: Final = b"lianmo aggregation envelope 1"


@dataclass(frozen=True, slots=True, repr=False)
class Envelopes:
    """One site's, with a key of one batch; each pair and direction has a key that is used once.

    Attributes:
        suite: of all sites.
        context: what both sites know of the batch, bound into every envelope.
        party: this site.
        private: its X25519 private key.
    """

    suite: str
    context: bytes
    party: PartyId
    private: bytes

    def seal(self, receiver: PartyId, key: bytes, content: bytes) -> bytes:
        """Raises ``RemoteProtocolError`` (``bad_value``) of a receiver whose public key is none."""
        label = self._label(self.party, receiver)
        return suite(self.suite).encrypt(self._key(receiver, key, label), content, label)

    def open(self, sender: PartyId, key: bytes, sealed: bytes) -> bytes:
        """Raises ``RemoteProtocolError`` (``bad_value``) of a sender whose envelope is none to us."""
        label = self._label(sender, self.party)
        try:
            return suite(self.suite).decrypt(self._key(sender, key, label), sealed, label)
        except NotDecryptable:
            raise _bad(sender) from None

    def _label(self, sender: PartyId, receiver: PartyId) -> bytes:
        return statement("envelope", sender, receiver) + self.context

    def _key(self, other: PartyId, key: bytes, label: bytes) -> bytes:
        try:
            [shared] = pairwise.agree(self.private, [key], _PURPOSE)
        except ValueError:
            raise _bad(other) from None
        made = suite(self.suite)
        return made.derive(shared, label, made.secret_bytes)


def _bad(party: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        party,
        "bad_value",
        "what came in its name for this site does not open: it, or the coordinator in between, changed it.",
        "以其名义发给本站点的密封内容无法打开：该站点或中转的协调方改动了内容。",
    )
