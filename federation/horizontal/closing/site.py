"""The end of a horizontal run, a site's half: takes the model, checks it, and counts its held-out rows by score."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.horizontal.boosting.coordinator import OWNER
from federation.horizontal.boosting.site import MOST_ROWS
from federation.horizontal.closing.messages import BANDS_PER_UNIT, FIRST_EDGE, N_BANDS, Count, Take, Taken
from federation.horizontal.closing.state import ClosingState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.averaging.model import AveragedModel
from models.boosting.trees import margins
from models.bundle import JointModel
from models.errors import LianmoError
from models.losses import Floats
from models.scorecard.card import JointScorecard
from models.table import Table

#: (phase, request) → next phase; what is absent is refused. Counts are given once: counts over fewer sites, beside
#: them, would tell those of a site that left.
TRANSITIONS: Final[Transitions] = {
    ("closed", Take): "taken",
    ("taken", Count): "counted",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

SitesModel = JointModel | JointScorecard | AveragedModel


def model_of(kind: str, data: Mapping[str, Any]) -> SitesModel:
    """A model that sites trained, as stored.

    Raises:
        ModelError: as its ``from_json``.
        KeyError: no such kind.
    """
    kinds: dict[str, Callable[[Mapping[str, Any]], SitesModel]] = {
        "trees": JointModel.from_json,
        "scorecard": JointScorecard.from_json,
        "averaged": AveragedModel.from_json,
    }
    return kinds[kind](data)


def margin_of(model: SitesModel, rows: Table) -> Floats:
    """Log-odds of default, shape ``(n_rows,)``: every site has all of the model, and needs no other."""
    match model:
        case JointModel():
            return margins(model.trees, model.base_margin, {OWNER: model.own.routes(rows)}, len(rows))
        case JointScorecard():
            return model.half.margin(rows)
        case _:
            return model.margin(rows)


def band_counts(margin: Floats, label: Floats) -> Numbers:
    """Non-defaults per band, then defaults, shape ``(2 * N_BANDS,)``."""
    band = np.clip(np.floor((margin - FIRST_EDGE) * BANDS_PER_UNIT).astype(np.int64) + 1, 0, N_BANDS - 1)
    return np.concatenate([np.bincount(band[label == of], minlength=N_BANDS) for of in (0.0, 1.0)]).astype(np.int64)


@dataclass(slots=True)
class ClosingSite:
    """Answers over rows that were held out.

    Attributes:
        is_ours: whether a model is the one this site helped to train.
        score: log-odds of default of rows.
    """

    held_out: tuple[Table, Floats] | None
    contributor: Contributor
    is_ours: Callable[[SitesModel], bool]
    score: Callable[[SitesModel, Table], Floats] = margin_of
    state: ClosingState = field(default_factory=ClosingState)

    @property
    def model(self) -> SitesModel | None:
        """The one that was taken."""
        return model_of(self.state.model_kind, json.loads(self.state.model)) if self.state.model else None

    @property
    def margin(self) -> Floats | None:
        """Of the held-out rows, by the model that was taken."""
        return self.state.margin if self.state.model else None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Take():
                reply: Message = self._take(request)
            case Count():
                reply = self._count()
        self.state.phase = phase
        return reply

    def _take(self, m: Take) -> Message:
        try:
            model = model_of(m.model_kind, json.loads(m.model))
        except (KeyError, TypeError, ValueError, LianmoError):
            raise bad_value("model", "模型") from None
        if not self.is_ours(model):
            raise bad_value("a model that is not the one trained here", "并非本站点参与训练的模型")
        margin = self.score(model, self.held_out[0]) if self.held_out and len(self.held_out[1]) else np.empty(0)
        self.state.model_kind, self.state.model, self.state.margin = m.model_kind, m.model, margin
        return Taken()

    def _count(self) -> Message:
        if self.state.counted:
            raise bad_value("held-out rows, which were counted before the run died", "运行中断前已计数的留出行")
        reply = self.contributor.contribute(self._counts(), MOST_ROWS)
        self.state.counted = True
        return reply

    def _counts(self) -> Numbers:
        label = self.held_out[1] if self.held_out else np.empty(0)
        return band_counts(self.state.margin, label)
