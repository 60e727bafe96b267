"""Trees as the guest keeps them, and the walk through them.

A node names the owner of its cut and the owner's handle, never a feature or a threshold: those stay in the owner's
half. To predict, every owner tells for each of its cuts which rows go left; the walk needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.boosting.splits import Mask
from models.losses import Floats

Owner = str
#: owner → which rows go left at each of its cuts, shape ``(n_handles, n_rows)``
Routes = Mapping[Owner, NDArray[np.bool_]]


@dataclass(slots=True)
class Node:
    """A leaf (``owner`` is empty, ``value`` counts) or a cut (``owner``, ``handle``, ``left``, ``right``).

    Attributes:
        n_rows: that took part and came here; of horizontal trees, where no rows are counted, their share of the
            hessian in about a thousandth of the tree, as XGBoost's cover. Reasons weigh by it.
    """

    owner: Owner = ""
    handle: int = -1
    left: int = -1
    right: int = -1
    value: float = 0.0
    gain: float = 0.0
    n_rows: int = 0


Tree = list[Node]


def leaves_of(tree: Tree, routes: Routes, n_rows: int) -> NDArray[np.intp]:
    """Index of the leaf each row ends in, shape ``(n_rows,)``."""
    at = np.zeros(n_rows, dtype=np.intp)
    for index, node in enumerate(tree):  # children stand behind their parent
        if node.owner:
            here = at == index
            left: Mask = routes[node.owner][node.handle]
            at[here & left] = node.left
            at[here & ~left] = node.right
    return at


def margins(trees: Sequence[Tree], base: float, routes: Routes, n_rows: int) -> Floats:
    """Log-odds of default, shape ``(n_rows,)``: added tree by tree, so one row gives the same bits as many."""
    total = np.full(n_rows, base)
    for tree in trees:
        values = np.array([node.value for node in tree])
        total += values[leaves_of(tree, routes, n_rows)]
    return total
