"""Horizontal boosting, a site's half: bins its rows, contributes sums per bin, and keeps its margins up to date."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.horizontal.boosting.messages import (
    CutFields,
    Finish,
    Finished,
    Grow,
    Keep,
    Kept,
    LabelsWanted,
    Open,
    Opened,
    Start,
    Started,
)
from federation.horizontal.boosting.noise import COUNT_UNIT, NoiseTerms, room, sensitivity, share, weighted
from federation.horizontal.boosting.rows import Features
from federation.horizontal.boosting.state import BoostingState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.boosting.derivatives import DERIVATIVE_BITS, Derivatives
from models.errors import DataError
from models.losses import Floats, logistic_derivatives
from models.shared_noise import LEAST_MULTIPLIER, MOST_MULTIPLIER

#: (phase, request) → next phase; what is absent is refused. A site that comes late, or back, or stands
#: aside, is not asked for counts: it is told the trees there are, one ``Finish`` each.
TRANSITIONS: Final[Transitions] = {
    **{(phase, Open): "opened" for phase in ("closed", "opened", "counted", "between", "growing")},
    ("opened", LabelsWanted): "counted",
    ("counted", LabelsWanted): "counted",  # a sum was not opened, as a site had left
    ("opened", Start): "between",
    ("counted", Start): "between",
    ("between", Finish): "between",
    ("between", Grow): "growing",
    ("growing", Grow): "growing",
    ("growing", Finish): "between",
    ("between", Keep): "between",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_DEPTH: Final = 12
MOST_ROWS: Final = 2**22
MOST_SUMS: Final = 2**16


@dataclass(slots=True)
class BoostingSite:
    """Answers over rows with these ``features`` and ``label``; ``contributor`` hides its sums.

    Attributes:
        terms: noise that this site demands; ``None``: what the coordinator announces.
        kept: what it remembers of this very run, if that died.
    """

    features: Features
    label: Floats
    contributor: Contributor
    terms: NoiseTerms | None = None
    kept: BoostingState | None = None
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
            case Keep():
                reply = self._keep(request)
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
        if not 1 <= m.most_sums <= MOST_SUMS or not (m.noise == 0 or LEAST_MULTIPLIER <= m.noise <= MOST_MULTIPLIER):
            raise bad_value("number of sums, or noise", "求和次数或噪声")
        if m.noise and self.features.bound is not None:
            raise bad_value("noise, where features lie at hosts", "特征位于数据方时的噪声")
        if self.terms:
            self.terms.check(m.noise, m.most_sums)
        if len(self.label) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        if not np.isin(self.label, (0.0, 1.0)).all():
            raise DataError(
                "label_not_binary", "The rows hold labels other than 0 and 1.", "数据行存在 0 和 1 以外的标签。"
            )
        s = self._taken_up(m)
        begun, asked = (s.model_id, s.features, s.noise), (m.model_id, m.features, m.noise)
        if s.phase != "closed" and asked != begun:
            raise bad_value("another model than this site has begun", "与本站点已开始的模型不同")
        self.features.open(m.features)
        self.state, contributed = s, s.phase == "growing"
        # It comes back: no sum of a tree that it has had a part in is given once more.
        s.first_tree, s.tree = max(s.first_tree, s.tree + contributed), 0
        s.model_id, s.features, s.most_rows, s.max_depth = m.model_id, m.features, m.most_rows, m.max_depth
        s.most_sums, s.noise = m.most_sums, m.noise
        self._open_here = True
        return Opened()

    def _taken_up(self, m: Open) -> BoostingState:
        """What this site remembers of the run: of this session, or from its disk."""
        if self.state.phase != "closed" or (self.kept is None and m.goes_on <= 0):
            return self.state
        if self.kept is None or m.goes_on < self.kept.first_tree:
            raise bad_value("a run of which the parties remember different parts", "各方对运行进度的记录不一致")
        # What was given after that checkpoint is given again; that it was given still counts (``n_sums``).
        n = m.goes_on
        return replace(self.kept, phase="opened", tree=0, first_tree=n, kept=n, counted=n > 0)

    def _keep(self, m: Keep) -> Message:
        s = self.state
        if m.trees != s.tree:
            raise bad_value("number of trees", "树的数量")
        s.first_tree, s.kept = max(s.first_tree, s.kept), m.trees
        return Kept()

    def _count(self) -> Message:
        if self.state.counted and self.state.phase != "counted":
            raise bad_value("counts, which were given before", "已提交过的计数")
        counts = np.array([len(self.label), int(self.label.sum())], dtype=np.int64)
        reply = self._contribute(counts * COUNT_UNIT, math.sqrt(2) * COUNT_UNIT)
        self.state.counted = True
        return reply

    def _start(self, m: Start) -> Message:
        self.state.margin = np.full(len(self.label), m.base_margin)
        self.state.at, self.state.n_nodes = np.zeros(len(self.label), dtype=np.int64), 1
        return Started()

    def _grow(self, m: Grow) -> Message:
        s = self.state
        if m.tree != s.tree or m.tree < s.first_tree:
            raise bad_value("number of the tree", "树的编号")
        at, n_nodes = self._parted(m.tree, m.cuts)
        if not 0 < len(m.nodes) <= 2**s.max_depth or not all(0 <= node < n_nodes for node in m.nodes):
            raise bad_value("nodes", "节点")
        everybody = np.arange(len(self.label))
        told = Derivatives.exact(*logistic_derivatives(self.label, s.margin), everybody, 1.0)
        sums = self._binned.sums(m.tree, told, at, m.cuts, m.nodes)
        if s.noise:
            sums = weighted(sums, len(sums) // (2 * len(m.nodes)))
        reply = self._contribute(sums, sensitivity(len(s.features)), self.features.bound)
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

    def _contribute(self, values: Numbers, moved: float, bound: int | None = None) -> Message:
        """``values``, in units of 2**-32, with this site's share of the noise. ``moved``: by one row, L2."""
        s = self.state
        if s.n_sums >= s.most_sums:
            raise bad_value("more sums than announced", "求和次数超过约定")
        bound = bound or s.most_rows << DERIVATIVE_BITS
        if s.noise:
            bound += room(s.noise, moved)
            knowing = self.terms.knowing if self.terms else 1
            values = values + share(s.noise, moved, self.contributor.fewest_sites, knowing, len(values))
        reply = self.contributor.contribute(values, bound)
        s.n_sums += 1
        return reply

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
