"""Which groups of sites send histograms unlike the others': what a site that poisons can do is bounded by that.

Sums are compared per row. A group is left out if its sums are none that rows could have, or if it lies further from the
median over groups than chance and the usual spread between groups explain. Honest groups differ: sizes, default rates.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.aggregation.interface import Numbers
from federation.horizontal.boosting.noise import COUNT_UNIT
from models.binning import FeatureBins
from models.boosting.derivatives import DERIVATIVE_BITS
from models.losses import Floats

#: How many times what chance and spread explain a group may lie from the median.
TOLERANCE: Final = 3.0


@dataclass(slots=True)
class HistogramScreen:
    """A ``Screen`` for the sums of ``HorizontalBoosting``: first rows and defaults, then g and h per node and bin,
    without noise: under noise features do not add up alike.

    Attributes:
        bins: of the features.
        most_rows: of a whole group.
    """

    bins: tuple[FeatureBins, ...]
    most_rows: int
    tolerance: float = TOLERANCE
    _rows: dict[int, int] = field(default_factory=dict)
    _chance: float = 0.0
    _spread: float = 0.0

    def __call__(self, sums: Mapping[int, Numbers]) -> Collection[int]:
        if not self._rows:
            self._rows = {k: int(n_rows) // COUNT_UNIT for k, (n_rows, _) in sums.items()}
            return [k for k, (n, bad) in sums.items() if not 0 <= bad <= n <= self.most_rows * COUNT_UNIT]
        n_bins = sum(b.n_bins for b in self.bins)
        levels = {k: values.reshape(-1, 2, n_bins) for k, values in sums.items()}
        impossible = {k for k, level in levels.items() if not self._possible(level, self._rows[k])}
        rest = {k: level for k, level in levels.items() if k not in impossible and self._rows[k]}
        return impossible | (self._far(rest) if len(rest) > 2 else set())

    def _possible(self, level: Numbers, n_rows: int) -> bool:
        """Each row is in one bin of every feature, so all features add up alike; 0 < h <= 1/4, -1 <= g <= 1."""
        starts = np.concatenate([[0], np.cumsum([b.n_bins for b in self.bins])])[:-1]
        totals = np.add.reduceat(level, starts, axis=2)
        g, h = totals[:, 0, 0], totals[:, 1, 0]
        most = n_rows << DERIVATIVE_BITS
        return bool(
            (totals == totals[:, :, :1]).all()
            and (level[:, 1] >= 0).all()
            and 4 * h.sum() <= most
            and np.abs(g).sum() <= most
            and (np.abs(level[:, 0]) <= most).all()
        )

    def _far(self, levels: Mapping[int, Numbers]) -> set[int]:
        groups = np.array(list(levels))
        n_rows: Floats = np.array([self._rows[k] for k in levels], dtype=np.float64)
        unit = 2.0**-DERIVATIVE_BITS
        means = np.stack([level.ravel() for level in levels.values()]) * unit / n_rows[:, None]
        apart: Floats = ((means - np.median(means, axis=0)) ** 2).sum(axis=1)
        # Of a row, the mean of g squared is about h, in each feature; this is the variance of a mean over n_rows.
        chance = np.median([level[:, 1].sum() * unit / n for level, n in zip(levels.values(), n_rows, strict=True)])
        # Of small nodes most groups may have no row: then what was usual before counts.
        self._chance = max(self._chance, float(chance))
        self._spread = max(self._spread, float(np.median(apart)))
        far: NDArray[np.bool_] = apart > self.tolerance**2 * (self._chance / n_rows + self._spread)
        return set(groups[far].tolist())
