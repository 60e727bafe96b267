"""Messages of joint bins over sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from federation.messages import Message

#: Bits of the cells of round 0, and how many more each later round has (``models.float_cells``).
FIRST_BITS: Final = 8
MORE_BITS: Final = 4
#: Rounds after the first: cells are then of 24 bits, 1/4096 of a power of two wide.
MOST_ROUNDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="horizontal.binning.open"):
    """Coordinator → site. ``features``: name, whether a category, and the levels that the data standard gives it;
    ``most_rows``: no site may have more.

    Reveals to site: which columns are used.
    向站点透露：所用的列。
    """

    features: tuple[tuple[str, bool, tuple[str, ...]], ...]
    most_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Message, kind="horizontal.binning.opened"):
    """Site → coordinator. Its table has these columns.

    Reveals to coordinator: that it has.
    向协调方透露：该站点具有这些列。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class CellsWanted(Message, kind="horizontal.binning.cells_wanted"):
    """Coordinator → site. Contribute counts of rows. Round 0: of each feature per level, then of other levels and of
    missing values; of a number per cell, then of missing values. Later: of each cell in ``cells`` (feature, cells of
    the round before) per finer cell.

    Reveals to site: which cells hold more than a small share of all rows.
    向站点透露：哪些取值区间包含的行数超过较小份额。
    """

    round: int
    cells: tuple[tuple[int, tuple[int, ...]], ...]
