"""What sites agree of a column before anything is counted, and the prebins that goods and bads are counted in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from federation.horizontal.prebinning.grid import GRID
from federation.horizontal.prebinning.messages import ColumnFields
from models.binning import FeatureBins
from models.woe.prebins import Prebins


@dataclass(frozen=True, slots=True)
class AgreedColumn:
    """Attributes:
    category: whether it holds text.
    levels: that are named, of a category: a public code list, as the catalogue has it. What else occurs is counted
        together and never named.
    special_codes: of a numeric column, values that are no measurements.
    """

    name: str
    category: bool = False
    levels: tuple[str, ...] = ()
    special_codes: tuple[float, ...] = ()

    @property
    def fields(self) -> ColumnFields:
        """For a message."""
        return self.name, self.category, self.levels, self.special_codes

    def prebins(self, cuts: Sequence[int]) -> Prebins:
        """To count in: all named levels have a code of their own. Raises ``DataError`` as ``Prebins`` does."""
        if self.category:
            return Prebins(FeatureBins(self.name, category=True, levels=self.levels, has_other=True, has_missing=True))
        edges = tuple(float(GRID[cut]) for cut in cuts)
        return Prebins(FeatureBins(self.name, category=False, edges=edges, has_missing=True), self.special_codes)


def counting_prebins(columns: Iterable[AgreedColumn], cuts: Sequence[Sequence[int]]) -> tuple[Prebins, ...]:
    """Of all columns; ``cuts``: of the numeric ones, in order."""
    of_numeric: Iterator[Sequence[int]] = iter(cuts)
    return tuple(c.prebins(() if c.category else next(of_numeric)) for c in columns)
