"""Row sets that hosts saw in a finished run, told again from its model: the same that passed their doors then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from federation.errors import PartyId
from lab.leakage.rowsets import RowSets, Sets
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import Routes, Tree


def seen_again(trees: tuple[Tree, ...], routes: Routes, party: PartyId, p: BoostingParameters) -> RowSets:
    """What ``party`` saw of the fitted rows.

    With ``num_leaves`` a little more than it did: of the last cuts of a tree, whose children no longer needed sums, the
    model does not tell which they were.

    Args:
        routes: of all owners, on the fitted rows.
    """
    n_rows = next(iter(routes.values())).shape[1]
    found: dict[int, Sets] = {}
    for number, tree in enumerate(trees):
        sets = _of_tree(tree, routes, party, p, n_rows) if number >= p.first_trees_guest_only else {}
        if sets:
            found[number] = np.array([np.frombuffer(packed, dtype=np.bool_) for packed in sets])
    return RowSets(n_rows, found)


def _of_tree(tree: Tree, routes: Routes, party: PartyId, p: BoostingParameters, n_rows: int) -> dict[bytes, None]:
    found: dict[bytes, None] = {}
    waiting: list[tuple[int, Sets, int, frozenset[str]]] = [(0, np.ones(n_rows, dtype=np.bool_), 0, frozenset())]
    while waiting:
        place, here, depth, above = waiting.pop()
        node = tree[place]
        if not node.owner:
            continue
        left, owners = routes[node.owner][node.handle], above | {node.owner}
        told = depth + 1 < p.max_depth and max(tree[k].n_rows for k in (node.left, node.right)) >= 2 * max(
            1, p.min_child_samples
        )
        told = told and (not p.own_cuts_only or owners <= {party})
        for child, rows in ((node.left, here & left), (node.right, here & ~left)):
            if told or node.owner == party:
                found[rows.tobytes()] = None
            waiting.append((child, rows, depth + 1, owners))
    return found


def parameters_of(told: Mapping[str, Any]) -> BoostingParameters:
    """Of a job's ``[boosting]``."""
    return BoostingParameters(**told)
