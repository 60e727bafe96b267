"""All cuts of one party as tables: the sides of ``splits.goes_left`` for every code a feature can have, looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.binning import Codes, FeatureBins
from models.boosting.splits import Mask, Split, goes_left

_CODES: Final = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Attributes:
    features: those with a cut, ascending: indices of the party's features.
    tables: of each of them, whether a code goes left at each of its cuts, shape ``(256, n_cuts of it)``.
    order: where each cut stands among those of all tables, end to end.
    """

    features: tuple[int, ...]
    tables: tuple[Mask, ...]
    order: NDArray[np.intp]

    @classmethod
    def of(cls, splits: Sequence[Split], bins: Sequence[FeatureBins]) -> Self:
        features = tuple(sorted({s.feature for s in splits}))
        tables = tuple(
            np.stack([goes_left(s, bins[f], _CODES) for s in splits if s.feature == f], axis=1) for f in features
        )
        return cls(features, tables, np.argsort(np.argsort([s.feature for s in splits], kind="stable")))

    def left(self, codes: Sequence[Codes]) -> Mask:
        """Which rows go left at each cut, shape ``(n_cuts, n_rows)``.

        Args:
            codes: of each of ``features``, shape ``(n_rows,)``.
        """
        found = [table[of_feature].T for table, of_feature in zip(self.tables, codes, strict=True)]
        left: Mask = np.concatenate(found)[self.order]
        return left

    def left_of(self, codes: Sequence[int]) -> Mask:
        """As ``left``, of one row: shape ``(n_cuts, 1)``."""
        found = [table[code] for table, code in zip(self.tables, codes, strict=True)]
        left: Mask = np.concatenate(found)[self.order, np.newaxis]
        return left
