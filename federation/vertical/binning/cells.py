"""Which prebins a host shows together, so that no count it shows, and no difference of counts, is under its floor.

All prebins of a feature add up to all rows, so a small one cannot just be left out: it would be the total minus the
others (complementary disclosure: Hundepool et al., Statistical Disclosure Control, 2012, ch. 4). It is merged instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cells:
    """What is shown of one feature.

    Attributes:
        cell_of: prebin code → cell. Cells stand in the order of their first code.
        n_regular: the cells with a regular prebin in them; they come first.
        counts: rows of each cell: none, or at least the floor.
    """

    cell_of: tuple[int, ...]
    n_regular: int
    counts: tuple[int, ...]


def merge_cells(counts: Sequence[int], n_regular: int, floor: int) -> Cells:
    """The cells of one feature; without small prebins each is a cell by itself.

    The smallest goes first. A regular prebin joins its regular neighbour, of two the one with fewer rows. A missing or
    special code, or a regular prebin that is the only one with rows, joins the fullest: of the regular ones if they
    have rows, else of the others.

    Args:
        counts: rows per prebin code, together at least ``floor``.
        n_regular: codes below it are regular prebins.
        floor: fewest rows of a cell that is not empty.
    """
    cells = [_Cell((code,), count, code < n_regular) for code, count in enumerate(counts)]
    while small := [cell for cell in cells if 0 < cell.count < floor]:
        one = min(small, key=lambda cell: cell.count)
        other = _partner(cells, one)
        both = _Cell(tuple(sorted(one.codes + other.codes)), one.count + other.count, one.regular or other.regular)
        cells = sorted([both, *(cell for cell in cells if cell not in (one, other))], key=lambda cell: cell.codes)
    cell_of = {code: place for place, cell in enumerate(cells) for code in cell.codes}
    in_code_order = tuple(cell_of[code] for code in range(len(counts)))
    return Cells(in_code_order, sum(cell.regular for cell in cells), tuple(cell.count for cell in cells))


@dataclass(frozen=True, slots=True)
class _Cell:
    codes: tuple[int, ...]
    count: int
    regular: bool


def _partner(cells: list[_Cell], one: _Cell) -> _Cell:
    regular = [cell for cell in cells if cell.regular]
    filled = [cell for cell in cells if cell.count and cell != one]
    filled_regular = [cell for cell in filled if cell.regular]
    if one.regular and filled_regular:
        i = regular.index(one)
        beside = [regular[j] for j in (i - 1, i + 1) if 0 <= j < len(regular)]
        return min(beside, key=lambda cell: cell.count or math.inf)
    return max(filled_regular or filled, key=lambda cell: cell.count)
