"""A site of horizontal learning: one responder for sums, joint bins, trees and scorecards."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack

from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.binning.site import ALLOWED as BINNING
from federation.horizontal.binning.site import BinningSite, BinningState
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import ALLOWED as BOOSTING
from federation.horizontal.boosting.site import BoostingSite
from federation.horizontal.prebinning.site import ALLOWED as PREBINNING
from federation.horizontal.prebinning.site import PrebinningSite
from federation.horizontal.prebinning.state import PrebinningState
from federation.horizontal.scorecard.site import ALLOWED as SCORECARD
from federation.horizontal.scorecard.site import ScorecardSite
from federation.horizontal.scorecard.state import ScorecardState
from federation.messages import Message
from models.losses import Floats
from models.table import Table


@dataclass(slots=True)
class HorizontalSite:
    """Hands each message to the part it is for. ``label``: 1 is a default; ``seed``: as ``PrebinningSite``."""

    table: Table
    label: Floats
    contributor: Contributor
    seed: int | None = None
    binning: BinningSite = field(init=False)
    boosting: BoostingSite = field(init=False)
    prebinning: PrebinningSite = field(init=False)
    scorecard: ScorecardSite = field(init=False)

    def __post_init__(self) -> None:
        self.binning = BinningSite(self.table, self.contributor)
        self.boosting = BoostingSite(TableFeatures(self.table), self.label, self.contributor)
        self.prebinning = PrebinningSite(self.table, self.label, self.contributor, self.seed)
        self.scorecard = ScorecardSite(self.table, self.label, self.contributor)

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """All that ``answer`` is for."""
        return (*BINNING, *BOOSTING, *PREBINNING, *SCORECARD, *self.contributor.allowed)

    def answer(self, request: Message) -> Message:
        if isinstance(request, BINNING):
            return self.binning.answer(request)
        if isinstance(request, PREBINNING):
            return self.prebinning.answer(request)
        if isinstance(request, SCORECARD):
            return self.scorecard.answer(request)
        if isinstance(request, self.contributor.allowed):
            return self.contributor.answer(request)
        return self.boosting.answer(request)

    def dump(self) -> bytes:
        """All that this site remembers, for its own disk."""
        parts = (self.binning.state, self.boosting, self.prebinning.state, self.scorecard.state, self.contributor)
        return bytes(msgpack.packb([part.dump() for part in parts]))

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        of_binning, of_boosting, of_prebinning, of_scorecard, of_sums = msgpack.unpackb(data)
        self.binning.state = BinningState.load(of_binning)
        self.boosting.load(of_boosting)
        self.prebinning.state = PrebinningState.load(of_prebinning)
        self.scorecard = ScorecardSite(self.table, self.label, self.contributor, ScorecardState.load(of_scorecard))
        self.contributor.load(of_sums)
