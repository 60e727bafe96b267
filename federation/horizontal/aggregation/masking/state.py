"""What a site remembers of masked sums."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import PartyId
from federation.horizontal.aggregation.state import SumState


@dataclass(slots=True, repr=False)
class MaskingState(SumState):
    """Attributes:
    n_turns: as opened.
    sealing_key: private key, until shares have come.
    pair_seeds, own_seeds: of all turns, 31 bytes each.
    parties: sites whose keys are agreed, then those whose shares have come: whom pairwise masks are with.
    secrets: agreed with each of ``parties``, until shares have come; empty for this site itself.
    pair_keys: with each of ``parties``, of all turns, 32 bytes each; empty for this site itself.
    vouchers: keys for MACs with each of ``parties``; empty for this site itself.
    shares: of each of ``parties``, of all turns: pair seed and own seed, 32 bytes each.
    contributors: of the present sum, as told; ``vouched``: what this site vouched for of them.
    """

    n_turns: int = 0
    sealing_key: bytes = b""
    pair_seeds: bytes = b""
    own_seeds: bytes = b""
    secrets: tuple[bytes, ...] = ()
    pair_keys: tuple[bytes, ...] = ()
    vouchers: tuple[bytes, ...] = ()
    shares: tuple[bytes, ...] = ()
    contributors: tuple[PartyId, ...] = ()
    vouched: bytes = b""
