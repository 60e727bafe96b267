"""What a site remembers of either way to add up."""

from __future__ import annotations

from dataclasses import dataclass

from federation.errors import PartyId
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class SumState(SecretState):
    """Attributes:
    number: of the batch or epoch that is open; -1 before. Never lower than one seen before.
    sites, threshold: as opened.
    parties: of these, those with whom keys or shares are exchanged so far.
    turn: of the next or present sum.
    n_opened: sums that this site has helped to open, in all.
    """

    phase: str = "closed"
    number: int = -1
    sites: tuple[PartyId, ...] = ()
    threshold: int = 0
    parties: tuple[PartyId, ...] = ()
    turn: int = 0
    n_opened: int = 0
