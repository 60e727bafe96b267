"""A site of horizontal learning: one responder for sums, joint bins, trees, scorecards and averaged models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgpack
import numpy as np

from federation.checkpoint import need_same_rows, rows_digest
from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.averaging.site import ALLOWED as AVERAGING
from federation.horizontal.averaging.site import AveragingSite
from federation.horizontal.averaging.state import AveragingState
from federation.horizontal.binning.site import ALLOWED as BINNING
from federation.horizontal.binning.site import BinningSite, BinningState
from federation.horizontal.boosting.features import from_fields
from federation.horizontal.boosting.messages import Grow, Keep, LabelsWanted
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import ALLOWED as BOOSTING
from federation.horizontal.boosting.site import BoostingSite
from federation.horizontal.boosting.state import BoostingState
from federation.horizontal.checkpoint import SiteCheckpoint
from federation.horizontal.closing.messages import Count
from federation.horizontal.closing.site import ALLOWED as CLOSING
from federation.horizontal.closing.site import ClosingSite, SitesModel, margin_of
from federation.horizontal.closing.state import ClosingState
from federation.horizontal.prebinning.site import ALLOWED as PREBINNING
from federation.horizontal.prebinning.site import PrebinningSite
from federation.horizontal.prebinning.state import PrebinningState
from federation.horizontal.scorecard.site import ALLOWED as SCORECARD
from federation.horizontal.scorecard.site import ScorecardSite
from federation.horizontal.scorecard.state import ScorecardState
from federation.messages import Message
from models.averaging.model import AveragedModel
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table


@dataclass(slots=True)
class HorizontalSite:
    """Hands each message to the part it is for.

    Attributes:
        label: 1 is a default.
        seed: as of ``PrebinningSite`` and ``AveragingSite``.
        held_out: rows and labels that nothing is fitted on.
        keep: takes a checkpoint to this site's own disk before the answer that rests on it is given.
    """

    table: Table
    label: Floats
    contributor: Contributor
    seed: int | None = None
    held_out: tuple[Table, Floats] | None = None
    keep: Callable[[SiteCheckpoint], None] | None = None
    binning: BinningSite = field(init=False)
    boosting: BoostingSite = field(init=False)
    prebinning: PrebinningSite = field(init=False)
    scorecard: ScorecardSite = field(init=False)
    averaging: AveragingSite = field(init=False)
    closing: ClosingSite = field(init=False)
    _digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.binning = BinningSite(self.table, self.contributor)
        self.boosting = BoostingSite(TableFeatures(self.table), self.label, self.contributor)
        self.prebinning = PrebinningSite(self.table, self.label, self.contributor, self.seed)
        self.scorecard = ScorecardSite(self.table, self.label, self.contributor)
        self.averaging = AveragingSite(self.table, self.label, self.contributor, self.seed)
        self.closing = ClosingSite(self.held_out, self.contributor, self.is_ours)

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """All that ``answer`` is for."""
        return (*BINNING, *BOOSTING, *PREBINNING, *SCORECARD, *AVERAGING, *CLOSING, *self.contributor.allowed)

    def answer(self, request: Message) -> Message:
        reply = self._answer(request)
        if self.keep and self._must_last(request):
            self.keep(self.checkpoint)
        return reply

    def _must_last(self, request: Message) -> bool:
        """Whether this site has to remember what it answered, even if it dies: what it would not do twice."""
        s = self.boosting.state
        return (
            isinstance(request, Keep)
            or (bool(s.noise) and isinstance(request, (LabelsWanted, Grow)))
            or (bool(s.kept) and isinstance(request, Count))
        )

    @property
    def checkpoint(self) -> SiteCheckpoint:
        """What this site has to know of a run of trees if it dies, for its own disk."""
        boosting = replace(self.boosting.state, margin=np.empty(0), at=np.empty(0, dtype=np.int64))
        return SiteCheckpoint(self._rows, boosting.dump(), self.closing.state.counted)

    def take_up(self, kept: SiteCheckpoint) -> None:
        """Go on with a run that died.

        Raises:
            LocalProtocolError: ``rows_changed``: the model would be another.
        """
        need_same_rows(kept.rows, self._rows)
        self.boosting.kept = BoostingState.load(kept.boosting)
        self.closing.state.counted = kept.tested

    @property
    def _rows(self) -> str:
        """Digest of all that this site's part of a run follows from."""
        if not self._digest:
            table, label = self.held_out or (self.table.take(np.empty(0, dtype=np.intp)), np.empty(0))
            terms = {"seed": self.seed, "held_out": rows_digest(table, {}, label)}
            self._digest = rows_digest(self.table, terms, self.label)
        return self._digest

    def _answer(self, request: Message) -> Message:
        if isinstance(request, BINNING):
            return self.binning.answer(request)
        if isinstance(request, PREBINNING):
            return self.prebinning.answer(request)
        if isinstance(request, SCORECARD):
            return self.scorecard.answer(request)
        if isinstance(request, AVERAGING):
            return self.averaging.answer(request)
        if isinstance(request, CLOSING):
            return self.closing.answer(request)
        if isinstance(request, self.contributor.allowed):
            return self.contributor.answer(request)
        return self.boosting.answer(request)

    def is_ours(self, model: SitesModel) -> bool:
        """Whether a model is the one this site helped to train, as far as it can tell: trees score its rows as it did
        itself, a scorecard is the one it was told, an averaged model is of its bins and kind."""
        match model:
            case JointModel():
                trained = self.boosting.state
                return trained.tree == len(model.trees) and np.array_equal(margin_of(model, self.table), trained.margin)
            case AveragedModel():
                opened = self.averaging.state
                known = (from_fields(opened.features), opened.estimator, json.loads(opened.settings or b"{}"))
                return (model.bins, model.kind, dict(model.settings)) == known
            case _:
                return model.half == self.scorecard.scorecard

    def dump(self) -> bytes:
        """All that this site remembers, for its own disk."""
        parts = (
            self.binning.state,
            self.boosting,
            self.prebinning.state,
            self.scorecard.state,
            self.averaging.state,
            self.closing.state,
            self.contributor,
        )
        return bytes(msgpack.packb([part.dump() for part in parts]))

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        of_binning, of_boosting, of_prebinning, of_scorecard, of_averaging, of_closing, of_sums = msgpack.unpackb(data)
        self.binning.state = BinningState.load(of_binning)
        self.boosting.load(of_boosting)
        self.prebinning.state = PrebinningState.load(of_prebinning)
        self.scorecard = ScorecardSite(self.table, self.label, self.contributor, ScorecardState.load(of_scorecard))
        self.averaging.state = AveragingState.load(of_averaging)
        self.closing.state = ClosingState.load(of_closing)
        self.contributor.load(of_sums)
