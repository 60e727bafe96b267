"""Horizontal boosting, a site's half: bins its rows, contributes sums per bin, and keeps its margins up to date."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.horizontal.boosting.features import from_fields
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
from federation.horizontal.boosting.state import BoostingState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.binning import Codes, encode
from models.boosting.derivatives import DERIVATIVE_BITS, Derivatives
from models.boosting.histograms import bin_sums
from models.boosting.splits import Candidates, Split, goes_left
from models.errors import DataError
from models.losses import Floats, logistic_derivatives
from models.table import Table

#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", LabelsWanted): "counted",
    ("counted", LabelsWanted): "counted",  # a sum was not opened, as a site had left
    ("opened", Start): "between",  # a site that stands aside
    ("counted", Start): "between",
    ("between", Grow): "growing",
    ("growing", Grow): "growing",
    ("growing", Finish): "between",
    ("between", Finish): "between",  # a site that stands aside
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_DEPTH: Final = 12
MOST_ROWS: Final = 2**22


@dataclass(slots=True)
class BoostingSite:
    """Answers over ``table`` and ``label``; ``contributor`` hides its sums."""

    table: Table
    label: Floats
    contributor: Contributor
    state: BoostingState = field(default_factory=BoostingState)
    _binned: tuple[Candidates, Codes] | None = None

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
        self._binned = None

    def _open(self, m: Open) -> Message:
        if not 1 <= m.most_rows <= MOST_ROWS or not 1 <= m.max_depth <= MOST_DEPTH or not m.features:
            raise bad_value("size of the run", "运行规模")
        if len(self.table) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        if not np.isin(self.label, (0.0, 1.0)).all():
            raise DataError(
                "label_not_binary", "The rows hold labels other than 0 and 1.", "数据行存在 0 和 1 以外的标签。"
            )
        bins = from_fields(m.features)
        absent = [b.name for b in bins if b.name not in self.table.columns]
        if absent:
            raise DataError(
                "missing_columns",
                f"The run needs columns that this site does not have: {', '.join(absent)}.",
                f"本站点缺少运行所需的列：{'、'.join(absent)}。",
            )
        codes = encode(self.table, bins)
        beyond = [b.name for b, c in zip(bins, codes, strict=True) if (c >= b.n_bins).any()]
        if beyond:
            raise DataError(
                "bins_do_not_fit",
                f"Columns {', '.join(beyond)} have missing values or levels here that the joint bins have no room for.",
                f"列 {'、'.join(beyond)} 存在共同分箱未包含的缺失值或类别。",
            )
        self.state.model_id, self.state.features = m.model_id, m.features
        self.state.most_rows, self.state.max_depth = m.most_rows, m.max_depth
        self._binned = Candidates(bins), codes
        return Opened()

    def _count(self) -> Message:
        counts = np.array([len(self.label), int(self.label.sum())], dtype=np.int64)
        return self.contributor.contribute(counts, self.state.most_rows)

    def _start(self, m: Start) -> Message:
        self.state.margin = np.full(len(self.table), m.base_margin)
        self.state.at = np.zeros(len(self.table), dtype=np.int64)
        return Started()

    def _grow(self, m: Grow) -> Message:
        s = self.state
        if m.tree != s.tree:
            raise bad_value("number of the tree", "树的编号")
        at, n_nodes = self._parted(m.cuts)
        if not 0 < len(m.nodes) <= 2**s.max_depth or not all(0 <= node < n_nodes for node in m.nodes):
            raise bad_value("nodes", "节点")
        reply = self.contributor.contribute(self._sums(at, m.nodes), s.most_rows << DERIVATIVE_BITS)
        s.at, s.n_nodes = at, n_nodes
        return reply

    def _finish(self, m: Finish) -> Message:
        s = self.state
        if m.tree != s.tree:
            raise bad_value("number of the tree", "树的编号")
        at, n_nodes = self._parted(m.cuts)
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

    def _sums(self, at: NDArray[np.int64], nodes: tuple[int, ...]) -> Numbers:
        """Sums of g, then of h, per bin, node after node, shape ``(2 * n_nodes * n_bins,)``."""
        everybody = np.arange(len(self.label))
        told = Derivatives.exact(*logistic_derivatives(self.label, self.state.margin), everybody, 1.0)
        candidates, codes = self._known
        flat = candidates.flat(codes)
        found = []
        for node in nodes:
            rows = np.flatnonzero(at == node)
            found += [bin_sums(flat[:, rows], values[rows], candidates.n_bins) for values in (told.g, told.h)]
        return np.concatenate(found)

    def _parted(self, cuts: tuple[CutFields, ...]) -> tuple[NDArray[np.int64], int]:
        """Node of each row after these cuts, and how many nodes there are then."""
        at, n_nodes = self.state.at.copy(), self.state.n_nodes
        candidates, codes = self._known
        bins, most = candidates.bins, 2 ** (self.state.max_depth + 1)
        for node, feature, code, missing_left, left, right in cuts:
            known = 0 <= node < n_nodes < most and 0 <= feature < len(bins)
            if not known or not 0 <= code < bins[feature].n_bins or (left, right) != (n_nodes, n_nodes + 1):
                raise bad_value("cuts", "切分")
            here = at == node
            goes = goes_left(Split(feature, code, missing_left), bins[feature], codes[feature][here])
            at[here] = np.where(goes, left, right)
            n_nodes += 2
        return at, n_nodes

    @property
    def _known(self) -> tuple[Candidates, Codes]:
        """All cuts there are, and the bin of each row, shape ``(n_features, n_rows)``."""
        if self._binned is None:
            bins = from_fields(self.state.features)
            self._binned = Candidates(bins), encode(self.table, bins)
        return self._binned
