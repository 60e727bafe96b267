"""Joint bins over sites, a site's half: counts its rows per level and per cell of numbers, ever finer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.horizontal.aggregation.interface import Contributing, Numbers
from federation.horizontal.binning.messages import FIRST_BITS, MORE_BITS, MOST_ROUNDS, CellsWanted, Open, Opened
from federation.messages import Message
from federation.responder import Transitions, bad_value, next_phase
from federation.state import SecretState
from models.errors import DataError
from models.float_cells import Keys, keys_of, prefixes_of
from models.table import Table, is_category

#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "opened",
    ("opened", CellsWanted): "counting",
    ("counting", CellsWanted): "counting",
}
ALLOWED: Final[tuple[type[Message], ...]] = tuple(dict.fromkeys(kind for _, kind in TRANSITIONS))

MOST_CELLS: Final = 2**16


@dataclass(slots=True, repr=False)
class BinningState(SecretState):
    """Attributes:
    features, most_rows: as opened.
    round: of the next counts.
    """

    phase: str = "closed"
    features: tuple[tuple[str, bool, tuple[str, ...]], ...] = ()
    most_rows: int = 0
    round: int = 0


@dataclass(slots=True)
class BinningSite:
    """Answers over ``table``."""

    table: Table
    contributor: Contributing
    state: BinningState = field(default_factory=BinningState)

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case CellsWanted():
                reply = self._count(request)
        self.state.phase = phase
        return reply

    def _open(self, m: Open) -> Message:
        if not m.features or len(self.table) > m.most_rows:
            raise bad_value("features, or rows allowed", "特征或允许的行数")
        columns = self.table.columns
        wrong = [n for n, category, _ in m.features if n not in columns or is_category(columns[n]) != category]
        if wrong:
            raise DataError(
                "missing_columns",
                f"The run needs columns that this site does not have, or has of another kind: {', '.join(wrong)}.",
                f"本站点缺少运行所需的列，或列类型不符：{'、'.join(wrong)}。",
            )
        self.state.features, self.state.most_rows = m.features, m.most_rows
        return Opened()

    def _count(self, m: CellsWanted) -> Message:
        s = self.state
        numbers = [k for k, (_, category, _) in enumerate(s.features) if not category]
        n_cells = sum(len(prefixes) for _, prefixes in m.cells)
        fits = m.round == s.round <= MOST_ROUNDS and (m.round > 0 or not m.cells) and n_cells <= MOST_CELLS
        bits = FIRST_BITS + MORE_BITS * (m.round - 1)
        if not fits or not all(f in numbers and all(0 <= p < 1 << bits for p in cells) for f, cells in m.cells):
            raise bad_value("cells", "区间")
        counts = [self._finer(f, cells, bits) for f, cells in m.cells] if m.round else map(self._coarse, s.features)
        reply = self.contributor.contribute(np.concatenate([np.empty(0), *counts]).astype(np.int64), s.most_rows)
        s.round += 1
        return reply

    def _coarse(self, feature: tuple[str, bool, tuple[str, ...]]) -> Numbers:
        name, category, levels = feature
        column = self.table.columns[name]
        if category:
            place = {level: k for k, level in enumerate(levels)}
            places = [len(levels) + 1 if v is None else place.get(v, len(levels)) for v in column]
            return np.bincount(np.array(places, dtype=np.int64), minlength=len(levels) + 2)
        keys = self._keys(name)
        cells = np.bincount(prefixes_of(keys, FIRST_BITS).astype(np.int64), minlength=1 << FIRST_BITS)
        return np.append(cells, len(column) - len(keys))

    def _finer(self, feature: int, cells: tuple[int, ...], bits: int) -> Numbers:
        """Counts of the cells of ``MORE_BITS`` more below each of these cells of ``bits``."""
        found = prefixes_of(self._keys(self.state.features[feature][0]), bits + MORE_BITS)
        values, counts = np.unique(found, return_counts=True)
        count_of = dict(zip(values.tolist(), counts.tolist(), strict=True))
        children = range(1 << MORE_BITS)
        return np.array([count_of.get((cell << MORE_BITS) + k, 0) for cell in cells for k in children], dtype=np.int64)

    def _keys(self, name: str) -> Keys:
        values = np.asarray(self.table.columns[name], dtype=np.float64)
        return keys_of(values[~np.isnan(values)])
