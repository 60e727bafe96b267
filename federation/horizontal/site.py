"""A site of horizontal learning: one responder for sums, joint bins and trees."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack

from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.binning.site import ALLOWED as BINNING
from federation.horizontal.binning.site import BinningSite, BinningState
from federation.horizontal.boosting.site import ALLOWED as BOOSTING
from federation.horizontal.boosting.site import BoostingSite
from federation.messages import Message
from models.losses import Floats
from models.table import Table


@dataclass(slots=True)
class HorizontalSite:
    """Hands each message to the part it is for. ``label``: 1 is a default."""

    table: Table
    label: Floats
    contributor: Contributor
    binning: BinningSite = field(init=False)
    boosting: BoostingSite = field(init=False)

    def __post_init__(self) -> None:
        self.binning = BinningSite(self.table, self.contributor)
        self.boosting = BoostingSite(self.table, self.label, self.contributor)

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """All that ``answer`` is for."""
        return (*BINNING, *BOOSTING, *self.contributor.allowed)

    def answer(self, request: Message) -> Message:
        if isinstance(request, BINNING):
            return self.binning.answer(request)
        if isinstance(request, self.contributor.allowed):
            return self.contributor.answer(request)
        return self.boosting.answer(request)

    def dump(self) -> bytes:
        """All that this site remembers, for its own disk."""
        parts = [self.binning.state.dump(), self.boosting.dump(), self.contributor.dump()]
        return bytes(msgpack.packb(parts))

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        of_binning, of_boosting, of_sums = msgpack.unpackb(data)
        self.binning.state = BinningState.load(of_binning)
        self.boosting.load(of_boosting)
        self.contributor.load(of_sums)
