"""Cuts of a category into two sets of levels, as LightGBM finds them.

Of all ways to part levels in two, the best lies in the order of their mean gradient (Fisher 1958, "On grouping for
maximum homogeneity"): levels are sorted by ``g / (h + cat_smooth)`` and runs from either end go left. What LightGBM
bounds to keep rare levels from being learnt by heart is bounded in the same way.

Who looks for cuts knows sums per level and the number of rows in the node, but may not know rows per level: they are
estimated from hessians, as in LightGBM. ``min_child_samples`` holds for certain: no fewer rows can have so much of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.boosting.splits import Candidates, Split
from models.losses import Integers

#: A cut as its owner is told it: the first candidates, and so many of the second, which are alike but for the owner's
#: own order, go left together.
Way = tuple[tuple[int, ...], tuple[int, ...], int]


@dataclass(frozen=True, slots=True)
class SetRules:
    """What a cut into sets must satisfy, under LightGBM's names."""

    max_cat_threshold: int
    cat_smooth: float
    min_data_per_group: int
    min_child_samples: int
    min_child_weight: float


@dataclass(frozen=True, slots=True)
class NodeTotals:
    """All rows of a node that take part in the tree, in fixed point.

    Attributes:
        g, h: sums over these rows.
        g_absolute: bounds what any part of them can sum to.
        h_most: largest hessian of a row.
    """

    g: int
    h: int
    g_absolute: int
    h_most: int
    n_rows: int

    @classmethod
    def of(cls, g: Integers, h: Integers) -> NodeTotals:
        return cls(int(g.sum()), int(h.sum()), int(np.abs(g).sum()), int(h.max(initial=0)), len(h))

    def rows_at_least(self, h: int) -> int:
        """Fewest rows of the node whose hessians can sum to ``h``."""
        return -(-h // self.h_most) if self.h_most else 0


@dataclass(frozen=True, slots=True)
class LevelSet:
    """The first ``size`` levels of an order, which go left.

    Attributes:
        order: levels, as positions among those that were given.
        backward: whether the order is that of falling mean gradients.
        g, h: sums of the set.
    """

    order: Integers
    size: int
    backward: bool
    g: int
    h: int


def level_sets(
    g: Integers, h: Integers, node: NodeTotals, units: tuple[float, float], rules: SetRules
) -> Iterator[LevelSet]:
    """The sets that may go left in a node.

    Args:
        g, h: sums per level of one category, shape ``(n_levels,)``; levels without rows are left out.
        units: what one unit of g and of h stands for.
    """
    if node.h <= 0:
        return
    n_estimated = np.floor(h * (node.n_rows / node.h) + 0.5).astype(np.int64)
    frequent = np.flatnonzero(n_estimated >= rules.cat_smooth)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = g[frequent] * units[0] / (h[frequent] * units[1] + rules.cat_smooth)
    # Levels alike in everything that is known here stay neighbours, whatever order they were given in.
    rising = frequent[np.lexsort((g[frequent], h[frequent], mean))]
    largest = min(rules.max_cat_threshold, (len(rising) + 1) // 2)
    least = max(1, rules.min_child_samples)
    for backward, order in ((False, rising), (True, rising[::-1])):
        g_left = h_left = n_left = n_group = 0
        for size, level in enumerate(order[:largest].tolist(), start=1):
            g_left += int(g[level])
            h_left += int(h[level])
            n_left += int(n_estimated[level])
            n_group += int(n_estimated[level])
            h_right = node.h - h_left
            if node.rows_at_least(h_left) < least or h_left * units[1] < rules.min_child_weight:
                continue
            if node.rows_at_least(h_right) < least or h_right * units[1] < rules.min_child_weight:
                break
            if node.n_rows - n_left < rules.min_data_per_group:
                break
            if n_group >= rules.min_data_per_group:
                n_group = 0
                yield LevelSet(order, size, backward, g_left, h_left)


def way_of(found: LevelSet, g: Integers, h: Integers, candidates: Integers) -> Way:
    """How to tell a set to its owner, who settles which of several levels alike belong to it.

    Args:
        g, h: as given to ``level_sets``.
        candidates: of each level, the candidate that stands for it.
    """
    last = found.order[found.size - 1]
    chosen = found.order[: found.size]
    alike = found.order[(g[found.order] == g[last]) & (h[found.order] == h[last])]
    sure = chosen[~np.isin(chosen, alike)]
    return tuple(candidates[sure].tolist()), tuple(sorted(candidates[alike].tolist())), found.size - len(sure)


def settled(ways: Sequence[Way], candidates: Candidates) -> Split:
    """Of cuts that gain the same the one that comes first in the owner's order; nothing else decides."""
    first, *more = min(sorted((*sure, *sorted(alike)[:n])) for sure, alike, n in ways)
    return replace(candidates.splits[first], also=tuple(candidates.splits[j].code for j in more))
