"""The walk through all trees at once: the same additions as ``trees.margins``, made ready for one row at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.boosting.splits import Mask
from models.boosting.trees import Owner, Routes, Tree
from models.losses import Floats

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Walk:
    """Nodes of all trees end to end.

    Attributes:
        n_cuts: owner → how many of its cuts there are.
        starts: owner → position of its first cut among those of all owners.
        cut: position of each node's cut, 0 at a leaf, shape ``(n_nodes,)``.
        left, right: where a row goes on; a leaf leads to itself.
        value: of leaves.
        roots: one per tree.
        depth: of the deepest leaf.
    """

    n_cuts: Mapping[Owner, int]
    starts: Mapping[Owner, int]
    cut: Indices
    left: Indices
    right: Indices
    value: Floats
    roots: Indices
    depth: int

    @classmethod
    def of(cls, trees: Sequence[Tree]) -> Self:
        n_cuts: dict[Owner, int] = {}
        for tree in trees:
            for node in tree:
                if node.owner:
                    n_cuts[node.owner] = max(n_cuts.get(node.owner, 0), node.handle + 1)
        ends = np.cumsum([0, *n_cuts.values()]).tolist()
        starts = dict(zip(n_cuts, ends, strict=False))
        roots = np.cumsum([0, *(len(tree) for tree in trees)])[:-1].astype(np.intp)
        cut: list[int] = []
        left: list[int] = []
        right: list[int] = []
        value: list[float] = []
        depth = 0
        for root, tree in zip(roots.tolist(), trees, strict=True):
            level = [0] * len(tree)
            for k, node in enumerate(tree):  # children stand behind their parent
                cut.append(starts[node.owner] + node.handle if node.owner else 0)
                left.append(root + (node.left if node.owner else k))
                right.append(root + (node.right if node.owner else k))
                value.append(node.value)
                if node.owner:
                    level[node.left] = level[node.right] = level[k] + 1
            depth = max(depth, *level)
        return cls(n_cuts, starts, _indices(cut), _indices(left), _indices(right), np.array(value), roots, depth)

    def sides(self, routes: Routes, n_rows: int) -> Mask:
        """Which rows go left at each cut of all owners, shape ``(n_cuts, n_rows)``."""
        used = [routes[owner][:n] for owner, n in self.n_cuts.items()]
        return np.concatenate([np.empty((0, n_rows), dtype=bool), *used])

    def margins(self, base: float, sides: Mask) -> Floats:
        """Log-odds of default, shape ``(n_rows,)``: added tree by tree, so one row gives the same bits as many."""
        n_rows = sides.shape[1]
        if n_rows == 1:
            return np.array([self._margin(base, sides[:, 0])])
        rows = np.arange(n_rows)
        at = np.repeat(self.roots[:, None], n_rows, axis=1)
        for _ in range(self.depth):
            at = np.where(sides[self.cut[at], rows], self.left[at], self.right[at])
        added = np.concatenate([np.full((1, n_rows), base), self.value[at]])
        total: Floats = np.add.accumulate(added)[-1]
        return total

    def _margin(self, base: float, sides: Mask) -> float:
        """Of one row, without what only many are worth."""
        at = self.roots
        for _ in range(self.depth):
            at = np.where(sides.take(self.cut.take(at)), self.left.take(at), self.right.take(at))
        for value in self.value.take(at).tolist():
            base += value
        return base


def _indices(numbers: Sequence[int]) -> Indices:
    return np.array(numbers, dtype=np.intp)
