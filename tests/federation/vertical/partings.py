"""Two trees over the same rows, node by node: where ours and LightGBM's part the rows of a node differently."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np

from federation.vertical.boosting.guest import derive
from models.boosting.derivatives import Derivatives
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Mask
from models.boosting.trees import leaves_of
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table


@dataclass(frozen=True)
class Parting:
    """How a tree parts a node: the rows of both sides, and what it says that gains."""

    left: Mask
    right: Mask
    gain: float


@dataclass(frozen=True)
class Comparison:
    """A tree of a model and LightGBM's of the same number, grown from the same margins.

    Attributes:
        told: the derivatives that ours was grown from.
        ours, theirs: rows of a node, as the bytes of a mask → its parting.
    """

    told: Derivatives
    ours: Mapping[bytes, Parting]
    theirs: Mapping[bytes, Parting]

    def apart(self) -> list[tuple[Parting, Parting]]:
        """Ours and theirs of the nodes of both trees that they part differently."""
        both = [(self.ours[rows], self.theirs[rows]) for rows in self.ours if rows in self.theirs]
        return [(a, b) for a, b in both if a.left.tobytes() not in (b.left.tobytes(), b.right.tobytes())]

    def tie(self, a: Parting, b: Parting) -> bool:
        """Whether sums of both derivatives are exactly the same on the sides of both, so that nothing prefers one."""
        sums = [
            {(int(self.told.g[side].sum()), int(self.told.h[side].sum())) for side in (p.left, p.right)} for p in (a, b)
        ]
        return sums[0] == sums[1]


def first_apart(
    model: JointModel, booster: lightgbm.Booster, codes: Floats, fit: Table, label: Floats, p: BoostingParameters
) -> Comparison | None:
    """The first pair of trees that part some node differently.

    Args:
        model: one that the guest fitted alone to the rows of ``fit``.
        codes: what ``booster`` reads for the same rows.
    """
    routes = {model.own.party: model.own.routes(fit)}
    margin = np.full(len(fit), model.base_margin)
    for t, tree in enumerate(model.trees):
        told, _ = derive(*p.loss.derivatives(label, margin), t, p, p.loss.limit())
        of_nodes = {0: np.ones(len(fit), dtype=bool)}
        ours: dict[bytes, Parting] = {}
        for k, node in enumerate(tree):
            if node.owner:
                left = routes[node.owner][node.handle]
                of_nodes[node.left], of_nodes[node.right] = of_nodes[k] & left, of_nodes[k] & ~left
                ours[of_nodes[k].tobytes()] = Parting(of_nodes[node.left], of_nodes[node.right], node.gain)
        leaf = booster.predict(codes, pred_leaf=True, start_iteration=t, num_iteration=1).ravel()
        theirs: dict[bytes, Parting] = {}
        _walk(booster.dump_model()["tree_info"][t]["tree_structure"], lambda k, leaf=leaf: leaf == k, theirs)
        found = Comparison(told, ours, theirs)
        if found.apart():
            return found
        margin = margin + np.array([node.value for node in tree])[leaves_of(tree, routes, len(fit))]
    return None


def _walk(node: dict[str, Any], rows_of: Callable[[int], Mask], found: dict[bytes, Parting]) -> Mask:
    if "leaf_index" in node:
        return rows_of(node["leaf_index"])
    left, right = (_walk(node[side], rows_of, found) for side in ("left_child", "right_child"))
    found[(left | right).tobytes()] = Parting(left, right, node["split_gain"])
    return left | right
