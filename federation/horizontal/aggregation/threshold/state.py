"""What a site remembers of sums under a shared key."""

from __future__ import annotations

from dataclasses import dataclass

from federation.horizontal.aggregation.state import SumState


@dataclass(slots=True, repr=False)
class ThresholdState(SumState):
    """Attributes:
    n_keys: as opened.
    sealing_key: private key for shares, until they are there.
    polynomials: this site's own, 32 bytes per coefficient, until they are dealt.
    sealing_keys, commitments: public, of each of ``parties``, until shares are there.
    own_shares: this site's shares of the keys it deals itself.
    key_shares: its shares of the joint keys, 32 bytes each.
    keys: the joint public keys, 32 bytes each.
    opened: digest of the contributions of the present sum, once this site has helped to open it.
    """

    n_keys: int = 0
    sealing_key: bytes = b""
    polynomials: bytes = b""
    sealing_keys: tuple[bytes, ...] = ()
    commitments: tuple[bytes, ...] = ()
    own_shares: bytes = b""
    key_shares: bytes = b""
    keys: bytes = b""
    opened: bytes = b""
