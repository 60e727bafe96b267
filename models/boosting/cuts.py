"""All cuts of one party as arrays: the same sides as ``splits.goes_left``, for all cuts at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from models.binning import Codes, FeatureBins
from models.boosting.splits import Mask, Split, goes_left

#: Rows at a time: what stands in between is as large as the result.
_ROWS: Final = 8192


@dataclass(frozen=True, slots=True)
class Cuts:
    """Attributes:
    features: those with a cut, ascending: indices of the party's features.
    place: of each cut's feature among these, shape ``(n_cuts,)``.
    code, missing: of each cut; ``missing``: its feature's code of missing values, 255 where the feature is a category.
    category, missing_left: of each cut.
    sets: cuts that put several levels left, by position.
    """

    features: tuple[int, ...]
    place: NDArray[np.intp]
    code: Codes
    missing: Codes
    category: Mask
    missing_left: Mask
    sets: tuple[tuple[int, Split, FeatureBins], ...]

    @classmethod
    def of(cls, splits: Sequence[Split], bins: Sequence[FeatureBins]) -> Self:
        features = tuple(sorted({s.feature for s in splits}))
        place_of = {f: k for k, f in enumerate(features)}
        of = [bins[s.feature] for s in splits]
        return cls(
            features,
            np.array([place_of[s.feature] for s in splits], dtype=np.intp),
            np.array([s.code for s in splits], dtype=np.uint8)[:, None],
            np.array([255 if b.category else b.missing_code for b in of], dtype=np.uint8)[:, None],
            np.array([b.category for b in of], dtype=bool)[:, None],
            np.array([s.missing_left for s in splits], dtype=bool)[:, None],
            tuple((k, s, b) for k, (s, b) in enumerate(zip(splits, of, strict=True)) if b.category and s.also),
        )

    def left(self, codes: Codes) -> Mask:
        """Which rows go left at each cut, shape ``(n_cuts, n_rows)``.

        Args:
            codes: of ``features``, shape ``(n_features, n_rows)``.
        """
        n_rows = codes.shape[1]
        left = np.empty((len(self.place), n_rows), dtype=bool)
        for start in range(0, n_rows, _ROWS):
            piece = codes[:, start : start + _ROWS][self.place]
            number = np.where(piece == self.missing, self.missing_left, piece <= self.code)
            left[:, start : start + _ROWS] = np.where(self.category, piece == self.code, number)
        for k, split, bins in self.sets:
            left[k] = goes_left(split, bins, codes[self.place[k]])
        return left
