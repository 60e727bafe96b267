"""Federated averaging, a site's half: trains scikit-learn's model on its rows and contributes its share of the mean."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.aggregation.once import give, may_give_again
from federation.horizontal.averaging.messages import BITS, BOUND, MOST_PARAMETER, Open, Opened, RowsWanted, Train
from federation.horizontal.averaging.state import AveragingState
from federation.horizontal.boosting.features import codes_of, from_fields
from federation.horizontal.boosting.site import MOST_ROWS
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.averaging import estimators
from models.averaging.design import design, width
from models.bundle import digest
from models.errors import DataError, LianmoError
from models.losses import Floats
from models.table import Table

#: (phase, request) → next phase; what is absent is refused. Rows are counted again only if no sum was opened since: a
#: second count, over fewer sites, would tell those of a site that left.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", RowsWanted): "counted",
    ("counted", RowsWanted): "counted",
    ("opened", Train): "training",
    ("counted", Train): "training",
    ("training", Train): "training",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_ROUNDS: Final = 10_000
MOST_EPOCHS: Final = 10_000


@dataclass(slots=True)
class AveragingSite:
    """Answers over ``table`` and ``label``.

    A site whose rows have one class cannot train scikit-learn's models: it counts as none, and gives back what it got.

    Attributes:
        seed: of the order in which rows are seen, with the number of the round; None: another one each time.
    """

    table: Table
    label: Floats
    contributor: Contributor
    seed: int | None = None
    state: AveragingState = field(default_factory=AveragingState)
    _inputs: Floats | None = None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply: Message = self._open(request)
            case RowsWanted():
                reply = self._count()
            case Train():
                reply = self._train(request)
        self.state.phase = phase
        return reply

    def _open(self, m: Open) -> Message:
        if not 1 <= m.most_rows <= MOST_ROWS or not m.features or not 1 <= m.n_epochs <= MOST_EPOCHS:
            raise bad_value("size of the run", "运行规模")
        if len(self.table) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        bins = from_fields(m.features)
        try:
            settings = json.loads(m.settings)
            estimators.check_settings(m.estimator, settings)
            n = estimators.n_parameters(m.estimator, settings, width(bins))
        except (LianmoError, TypeError, ValueError, AttributeError):
            raise bad_value("model or its settings", "模型或其参数") from None
        if n > estimators.MOST_PARAMETERS:
            raise bad_value("number of parameters", "参数数量")
        self._check_table(m)
        s = self.state
        s.features, s.estimator, s.settings = m.features, m.estimator, m.settings
        s.n_epochs, s.most_rows = m.n_epochs, m.most_rows
        self._inputs = None
        return Opened()

    def _check_table(self, m: Open) -> None:
        codes_of(self.table, from_fields(m.features))
        if not np.isin(self.label, (0.0, 1.0)).all():
            raise DataError(
                "label_not_binary", "The rows hold labels other than 0 and 1.", "数据行存在 0 和 1 以外的标签。"
            )

    def _count(self) -> Message:
        if self.state.phase == "counted" and not may_give_again(self.contributor, self.state):
            raise bad_value("counts, which were given before", "已提交过的计数")
        rows = np.array([self._n_rows], dtype=np.int64)
        return give(self.contributor, self.state, rows, self.state.most_rows)

    def _train(self, m: Train) -> Message:
        s = self.state
        settings: dict[str, Any] = json.loads(s.settings)
        inputs = self._known_inputs
        n = estimators.n_parameters(s.estimator, settings, inputs.shape[1])
        place = digest({"parameters": m.parameters.hex()})
        again = (m.round, (place,)) == (s.round, s.told[-1:]) and may_give_again(self.contributor, s)
        if len(m.parameters) != 8 * n or not (s.round < m.round <= MOST_ROUNDS or again):
            raise bad_value("round, or number of parameters", "轮次或参数数量")
        if m.n_rows and m.n_rows < self._n_rows:
            raise bad_value("fewer rows in all than there are here", "总行数少于本站点行数")
        if place in s.told and not again:
            # The same sum once more, over other sites, would tell what the sites between them contributed.
            raise bad_value("parameters from which it trained before", "曾据以训练的参数")
        start = np.frombuffer(m.parameters, dtype="<f8").astype(np.float64)
        if not (np.abs(start) <= MOST_PARAMETER).all():
            raise bad_value("parameters", "参数")
        found = start
        if self._n_rows:
            drawn = np.random.SeedSequence([self.seed, m.round] if self.seed is not None else None)
            seed = int(drawn.generate_state(1)[0])
            found = estimators.trained(s.estimator, settings, start, inputs, self.label, s.n_epochs, seed)
        if not (np.abs(found) <= MOST_PARAMETER).all():
            raise DataError(
                "parameters_too_large",
                f"Training here gave parameters beyond {MOST_PARAMETER}. Use stronger penalties or fewer epochs.",
                f"本站点训练所得参数超过 {MOST_PARAMETER}。请加大正则化或减少本地轮数。",
            )
        share = self._n_rows / m.n_rows if m.n_rows else 1.0
        values = np.rint(np.ldexp(found * share, BITS)).astype(np.int64)
        reply = give(self.contributor, s, values, BOUND)
        s.round, s.told = m.round, (*s.told, place)
        return reply

    @property
    def _n_rows(self) -> int:
        """That can train a model."""
        return len(self.label) if len(np.unique(self.label)) > 1 else 0

    @property
    def _known_inputs(self) -> Floats:
        if self._inputs is None:
            self._inputs = design(self.table, from_fields(self.state.features))
        return self._inputs
