"""The horizontal scorecard, a site's half: contributes sums over its rows, at no coefficients to two sums."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.aggregation.once import give, may_give_again
from federation.horizontal.prebinning.site import MOST_ROWS
from federation.horizontal.scorecard import moments
from federation.horizontal.scorecard.features import from_fields
from federation.horizontal.scorecard.messages import Finish, Finished, Open, Opened, Step
from federation.horizontal.scorecard.state import ScorecardState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.errors import LianmoError
from models.losses import Floats
from models.scorecard.card import ScorecardHalf, WoeFeature, woe_of
from models.table import Table

#: (phase, request) → next phase; what is absent is refused. Who stands aside is asked for no step.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", Step): "fitting",
    ("opened", Finish): "finished",
    ("fitting", Step): "fitting",
    ("fitting", Finish): "finished",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_STEPS: Final = 1000
MOST_WOE: Final = 100.0
#: Beyond this no coefficient of WOE means anything, and margins would overflow.
MOST_COEFFICIENT: Final = 1e6


@dataclass(slots=True)
class ScorecardSite:
    """Answers over ``table`` and ``label``."""

    table: Table
    label: Floats
    contributor: Contributor
    state: ScorecardState = field(default_factory=ScorecardState)
    _woe: Floats | None = None

    @property
    def scorecard(self) -> ScorecardHalf | None:
        """The finished one."""
        return ScorecardHalf.from_json(json.loads(self.state.scorecard)) if self.state.scorecard else None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case Step():
                reply = self._step(request)
            case Finish():
                reply = self._finish(request)
        self.state.phase = phase
        return reply

    def _open(self, m: Open) -> Message:
        if not 1 <= m.most_rows <= MOST_ROWS or not m.features:
            raise bad_value("size of the run", "运行规模")
        if len(self.table) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        features = from_fields(m.features)
        if len({f.name for f in features}) < len(features) or not all(map(_sound, features)):
            raise bad_value("features", "特征")
        self._woe = woe_of(features, self.table)
        self.state.model_id, self.state.features, self.state.most_rows = m.model_id, m.features, m.most_rows
        return Opened()

    def _step(self, m: Step) -> Message:
        s = self.state
        places = list(m.places)
        if not all(0 <= k < len(s.features) for k in places) or sorted(set(places)) != places or not places:
            raise bad_value("places of features", "特征位置")
        if len(m.coefficients) != 1 + len(places) or not all(abs(b) <= MOST_COEFFICIENT for b in m.coefficients):
            raise bad_value("coefficients", "系数")
        whole = np.zeros(1 + len(s.features))
        whole[[0, *(1 + k for k in places)]] = m.coefficients
        at = tuple(whole.tolist())
        again = s.told[-1:] == (at,) and may_give_again(self.contributor, s)
        if (at in s.told and not again) or len(s.told) >= MOST_STEPS:
            # The same sum once more, over other sites, would tell what the sites between them contributed.
            raise bad_value("coefficients at which sums were contributed before", "已提交过求和的系数")
        features, woe = self._features, self._known_woe
        scales = moments.scales_of([features[k] for k in places])
        values = moments.contribution(woe[:, places], self.label, np.array(m.coefficients), scales)
        reply = give(self.contributor, s, values, moments.bound(s.most_rows))
        s.told = (*s.told, at)
        return reply

    def _finish(self, m: Finish) -> Message:
        try:
            card = ScorecardHalf.from_json(json.loads(m.scorecard))
        except (ValueError, LianmoError):
            raise bad_value("scorecard", "评分卡") from None
        if card.model_id != self.state.model_id or not set(card.features) <= set(self._features):
            raise bad_value("scorecard", "评分卡")
        self.state.scorecard = m.scorecard
        return Finished()

    @property
    def _features(self) -> tuple[WoeFeature, ...]:
        return from_fields(self.state.features)

    @property
    def _known_woe(self) -> Floats:
        if self._woe is None:
            self._woe = woe_of(self._features, self.table)
        return self._woe


def _sound(feature: WoeFeature) -> bool:
    """Whether every code has a final bin, and every final bin a WOE."""
    p, b = feature.prebins, feature.bins
    woe = (*b.woe, b.unseen_woe)
    return (
        len(b.bin_of) == p.n_codes
        and sorted(set(b.bin_of)) == list(range(b.n_bins))
        and all(math.isfinite(w) and abs(w) <= MOST_WOE for w in woe)
    )
