"""What a site remembers of sums under a shared key."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import PartyId
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class ThresholdState(SecretState):
    """Attributes:
    epoch: of what is open; -1 before. Never lower than one seen before.
    sites, threshold, n_keys: as opened.
    sealing_key: private key for shares, until they are there.
    polynomials: this site's own, 32 bytes per coefficient, until they are dealt.
    parties: who has committed, then who has dealt.
    sealing_keys, commitments: public, of each of ``parties``, until shares are there.
    own_shares: this site's shares of the keys it deals itself.
    key_shares: its shares of the joint keys, 32 bytes each.
    keys: the joint public keys, 32 bytes each.
    turn: of the next or present sum.
    opened: digest of the contributions of the present sum, once this site has helped to open it.
    """

    phase: str = "closed"
    epoch: int = -1
    sites: tuple[PartyId, ...] = ()
    threshold: int = 0
    n_keys: int = 0
    sealing_key: bytes = b""
    polynomials: bytes = b""
    parties: tuple[PartyId, ...] = ()
    sealing_keys: tuple[bytes, ...] = ()
    commitments: tuple[bytes, ...] = ()
    own_shares: bytes = b""
    key_shares: bytes = b""
    keys: bytes = b""
    turn: int = 0
    opened: bytes = b""
