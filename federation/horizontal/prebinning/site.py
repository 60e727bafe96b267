"""Horizontal prebinning, a site's half: counts its rows between bounds, each row in one round, and all of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np

from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.horizontal.aggregation.once import give, may_give_again
from federation.horizontal.prebinning.columns import AgreedColumn, counting_prebins
from federation.horizontal.prebinning.grid import GRID, PARTS
from federation.horizontal.prebinning.messages import Count, Open, Opened, Search
from federation.horizontal.prebinning.state import PrebinningState
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from models.binning import MAX_BINS
from models.errors import DataError
from models.losses import Floats
from models.table import Table, is_category

#: (phase, request) → next phase; what is absent is refused. A round, and the count, may be asked again if no sum was
#: opened since: a second one, over fewer sites, would tell those of a site that left.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", Search): "searching",
    ("searching", Search): "searching",
    ("opened", Count): "counted",
    ("searching", Count): "counted",
    ("counted", Count): "counted",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_ROWS: Final = 2**22
MOST_ROUNDS: Final = 16
MOST_BOUNDS: Final = (PARTS + 1) * MAX_BINS


@dataclass(slots=True)
class PrebinningSite:
    """Answers over ``table`` and ``label``.

    Attributes:
        seed: of the draw that gives each row its round; None: another one each time.
    """

    table: Table
    label: Floats
    contributor: Contributor
    seed: int | None = None
    state: PrebinningState = field(default_factory=PrebinningState)

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case Search():
                reply = self._search(request)
            case Count():
                reply = self._count(request)
        self.state.phase = phase
        return reply

    def _open(self, m: Open) -> Message:
        if not 1 <= m.most_rows <= MOST_ROWS or not 1 <= m.n_rounds <= MOST_ROUNDS:
            raise bad_value("size of the run", "运行规模")
        if len(self.table) > m.most_rows:
            raise bad_value("fewer rows allowed than there are here", "允许的行数少于本站点行数")
        names = [name for name, *_ in m.columns]
        n_codes = [len(levels) + len(specials) for _, _, levels, specials in m.columns]
        if not names or len(set(names)) < len(names) or max(n_codes) >= MAX_BINS:
            raise bad_value("columns", "列")
        if any(len(set(levels)) < len(levels) for _, _, levels, _ in m.columns):
            raise bad_value("levels", "类别取值")
        if not np.isin(self.label, (0.0, 1.0)).all():
            raise DataError(
                "label_not_binary", "The rows hold labels other than 0 and 1.", "数据行存在 0 和 1 以外的标签。"
            )
        self._check_columns(m)
        s = self.state
        s.columns, s.most_rows, s.n_rounds = m.columns, m.most_rows, m.n_rounds
        drawn = np.random.default_rng(self.seed).permutation(len(self.table))
        s.round_of = (drawn % m.n_rounds).astype(np.uint8)
        return Opened()

    def _check_columns(self, m: Open) -> None:
        absent = [name for name, *_ in m.columns if name not in self.table.columns]
        if absent:
            raise DataError(
                "missing_columns",
                f"The run needs columns that this site does not have: {', '.join(absent)}.",
                f"本站点缺少运行所需的列：{'、'.join(absent)}。",
            )
        other = [name for name, category, *_ in m.columns if is_category(self.table.columns[name]) != category]
        if other:
            raise DataError(
                "wrong_column_type",
                f"Columns {', '.join(other)} hold text here and numbers in the run, or the reverse.",
                f"列 {'、'.join(other)} 的类型（文本或数值）与运行约定不一致。",
            )

    def _search(self, m: Search) -> Message:
        s = self.state
        again = m.round == s.round - 1 and may_give_again(self.contributor, s)
        if not (m.round == s.round or again) or not 0 <= m.round < s.n_rounds:
            raise bad_value("number of the round", "轮次")
        columns = self._numeric
        self._check_places(m.bounds, MOST_BOUNDS)
        rows = np.flatnonzero(s.round_of == m.round)  # of this round only: no two sums are over the same rows
        counts = [self._between(c, bounds, rows) for c, bounds in zip(columns, m.bounds, strict=True)]
        reply = give(self.contributor, s, np.concatenate(counts), s.most_rows)
        s.round = m.round + 1
        return reply

    def _between(self, column: AgreedColumn, bounds: Sequence[int], rows: Numbers) -> Numbers:
        values = np.asarray(self.table.columns[column.name], dtype=np.float64)[rows]
        values = values[~(np.isnan(values) | np.isin(values, column.special_codes))]
        return np.bincount(np.searchsorted(GRID[list(bounds)], values, side="left"), minlength=len(bounds) + 1)

    def _count(self, m: Count) -> Message:
        if self.state.phase == "counted" and not may_give_again(self.contributor, self.state):
            raise bad_value("counts, which were given before", "已提交过的计数")
        self._check_places(m.cuts, MAX_BINS - 1)
        prebins = counting_prebins(self._columns, m.cuts)
        codes = [p.encode(self.table.columns[p.name]) for p in prebins]
        counts = [
            np.bincount(found[self.label == y], minlength=p.n_codes)
            for y in (0, 1)
            for p, found in zip(prebins, codes, strict=True)
        ]
        return give(self.contributor, self.state, np.concatenate(counts).astype(np.int64), self.state.most_rows)

    def _check_places(self, of_columns: Sequence[Sequence[int]], most: int) -> None:
        if len(of_columns) != len(self._numeric):
            raise bad_value("number of columns", "列数")
        for places in of_columns:
            rising = all(a < b for a, b in pairwise(places))
            if not rising or len(places) > most or (places and not 0 <= places[0] <= places[-1] < len(GRID)):
                raise bad_value("places on the grid", "网格位置")

    @property
    def _columns(self) -> list[AgreedColumn]:
        return [AgreedColumn(*fields) for fields in self.state.columns]

    @property
    def _numeric(self) -> list[AgreedColumn]:
        return [c for c in self._columns if not c.category]
