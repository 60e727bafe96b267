"""Horizontal boosting, a site's half: bins its rows, contributes sums per bin, and keeps its margins up to date."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.interface import Contributing
from federation.horizontal.boosting.messages import (
    CutFields,
    Finish,
    Finished,
    Grow,
    LabelsWanted,
    Open,
    Opened,
    Start,
    Started,
)
from federation.horizontal.boosting.rows import Features
from federation.horizontal.boosting.state import BoostingState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.boosting.derivatives import DERIVATIVE_BITS, Derivatives
from models.errors import DataError
from models.losses import Floats, logistic_derivatives

#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", LabelsWanted): "counted",
    ("counted", Start): "between",
    ("between", Grow): "growing",
    ("growing", Grow): "growing",
    ("growing", Finish): "between",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_DEPTH: Final = 12
MOST_ROWS: Final = 2**22


@dataclass(slots=True)
class BoostingSite:
    """Answers over rows with these ``features`` and ``label``; ``contributor`` hides its sums."""

    features: Features
    label: Floats
    contributor: Contributing
    state: BoostingState = field(default_factory=BoostingState)
    _open_here: bool = False

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case LabelsWanted():
                reply = self._count()
            case Start():
                reply = self._start(request)
            case Grow():
                reply = self._grow(request)
            case Finish():
                reply = self._finish(request)
        self.state.phase = phase
        return reply

    def dump(self) -> bytes:
        """What this part of a site remembers."""
        return self.state.dump()

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        self.state = BoostingState.load(data)
        self._open_here = False

    def _open(self, m: Open) -> Message:
        if not 1 <= m.most_rows <= MOST_ROWS or not 1 <= m.max_depth <= MOST_DEPTH or not m.features:
            raise bad_value("size of the run", "运行规模")
        if len(self.label) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        if not np.isin(self.label, (0.0, 1.0)).all():
            raise DataError(
                "label_not_binary", "The rows hold labels other than 0 and 1.", "数据行存在 0 和 1 以外的标签。"
            )
        self.features.open(m.features)
        self.state.model_id, self.state.features = m.model_id, m.features
        self.state.most_rows, self.state.max_depth = m.most_rows, m.max_depth
        self._open_here = True
        return Opened()

    def _count(self) -> Message:
        counts = np.array([len(self.label), int(self.label.sum())], dtype=np.int64)
        return self.contributor.contribute(counts, self.state.most_rows)

    def _start(self, m: Start) -> Message:
        self.state.margin = np.full(len(self.label), m.base_margin)
        self.state.at = np.zeros(len(self.label), dtype=np.int64)
        return Started()

    def _grow(self, m: Grow) -> Message:
        s = self.state
        if m.tree != s.tree:
            raise bad_value("number of the tree", "树的编号")
        at, n_nodes = self._parted(m.tree, m.cuts)
        if not 0 < len(m.nodes) <= 2**s.max_depth or not all(0 <= node < n_nodes for node in m.nodes):
            raise bad_value("nodes", "节点")
        everybody = np.arange(len(self.label))
        told = Derivatives.exact(*logistic_derivatives(self.label, s.margin), everybody, 1.0)
        values = self._binned.sums(m.tree, told, at, m.cuts, m.nodes)
        reply = self.contributor.contribute(values, self.features.bound or s.most_rows << DERIVATIVE_BITS)
        s.at, s.n_nodes = at, n_nodes
        return reply

    def _finish(self, m: Finish) -> Message:
        s = self.state
        if m.tree != s.tree:
            raise bad_value("number of the tree", "树的编号")
        at, n_nodes = self._parted(m.tree, m.cuts)
        value = np.full(n_nodes, np.nan)
        if not all(0 <= node < n_nodes for node, _ in m.leaves):
            raise bad_value("leaves", "叶子")
        for node, leaf in m.leaves:
            value[node] = leaf
        added = value[at]
        if np.isnan(added).any():
            raise bad_value("leaves", "叶子")
        s.margin = s.margin + added
        s.at, s.n_nodes, s.tree = np.zeros_like(s.at), 1, s.tree + 1
        return Finished()

    def _parted(self, tree: int, cuts: tuple[CutFields, ...]) -> tuple[NDArray[np.int64], int]:
        """Node of each row after these cuts, and how many nodes there are then."""
        at, n_nodes = self.state.at.copy(), self.state.n_nodes
        most = 2 ** (self.state.max_depth + 1)
        for k, (node, *_, left, right) in enumerate(cuts):
            if not 0 <= node < n_nodes + 2 * k < most or (left, right) != (n_nodes + 2 * k, n_nodes + 2 * k + 1):
                raise bad_value("cuts", "切分")
        for (node, *_, left, right), goes in zip(cuts, self._binned.left(tree, cuts), strict=True):
            here = at == node
            at[here] = np.where(goes[here], left, right)
        return at, n_nodes + 2 * len(cuts)

    @property
    def _binned(self) -> Features:
        """The features, binned."""
        if not self._open_here:
            self.features.open(self.state.features)
            self._open_here = True
        return self.features
