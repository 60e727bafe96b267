"""A party's rows in memory: ids beside columns, nothing hidden in an index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: float64 with NaN for missing, or object holding ``str`` with None for missing (a category).
Column = NDArray[np.float64] | NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one party.

    Attributes:
        ids: one identifier per row, unique.
        columns: name → array of ``len(ids)`` values.
    """

    ids: tuple[str, ...]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Table of {len(self)} rows, {len(self.columns)} columns>"  # never a value

    def take(self, rows: NDArray[np.intp]) -> Table:
        """The given rows, in the given order."""
        return Table(tuple(self.ids[r] for r in rows), {name: c[rows] for name, c in self.columns.items()})

    def select(self, names: tuple[str, ...]) -> Table:
        """The given columns, in the given order."""
        return Table(self.ids, {name: self.columns[name] for name in names})


def is_category(column: Column) -> bool:
    """Whether the column holds levels rather than numbers."""
    return column.dtype == object
