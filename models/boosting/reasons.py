"""Why a margin is what it is: exact Shapley values of trees whose cuts lie with several parties.

A *player* is a feature as far as the guest can tell: its own by name, a host's by a number that stands for an unnamed
feature. The game is that of Lundberg et al. (2020), "From local explanations to global explainable AI for trees",
algorithm 1: a player outside the coalition sends a row both ways, in proportion to the fitted rows. Values are summed
leaf by leaf, as in Yu et al. (2022), "Linear TreeSHAP": a leaf's worth is a product over the players on
its path, so their Shapley values need only these players, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from models.boosting.splits import Mask
from models.boosting.trees import Node, Routes, Tree
from models.bundle import JointModel
from models.losses import Floats
from models.reasons import Player, Reason, strongest


@dataclass(frozen=True, slots=True)
class Contributions:
    """``average + values.sum(axis=1)`` are the margins.

    Attributes:
        players: those with a cut in the model, in order.
        values: shape ``(n_rows, n_players)``.
        average: mean margin over the fitted rows, as the trees counted them.
    """

    players: tuple[Player, ...]
    values: Floats
    average: float

    def top(self, row: int, n: int) -> tuple[Reason, ...]:
        """The ``n`` players that raise the margin of a row most (``models.reasons.strongest``)."""
        return strongest(self.players, self.values[row], n)


def player_of(model: JointModel, node: Node) -> Player:
    """Whose cut this is."""
    if node.owner == model.own.party:
        return Player(node.owner, model.own.bins[model.own.splits[node.handle].feature].name)
    numbers = model.host_features.get(node.owner, ())
    return Player(node.owner, number=numbers[node.handle] if numbers else -1)


def contributions(model: JointModel, routes: Routes, n_rows: int) -> Contributions:
    """Shapley values of every row.

    Args:
        routes: owner → which rows go left at each of its cuts, as for scoring.
    """
    players = sorted({player_of(model, node) for tree in model.trees for node in tree if node.owner})
    place = {player: k for k, player in enumerate(players)}
    values = np.zeros((n_rows, len(players)))
    average = model.base_margin
    for tree in model.trees:
        player_at = {k: place[player_of(model, node)] for k, node in enumerate(tree) if node.owner}
        for leaf, path in _paths(tree, player_at, routes, n_rows):
            average += leaf.value * leaf.n_rows / tree[0].n_rows
            for player, share in zip(path, _shares(list(path.values())), strict=True):
                values[:, player] += leaf.value * share
    return Contributions(tuple(players), values, average)


#: Per player on a leaf's path: which rows it sends towards the leaf, and what share of the fitted rows it does.
_Path = Mapping[int, tuple[Mask, float]]


def _paths(tree: Tree, player_at: Mapping[int, int], routes: Routes, n_rows: int) -> Iterator[tuple[Node, _Path]]:
    """Every leaf with the players above it."""
    open_nodes: list[tuple[int, _Path]] = [(0, {})]
    while open_nodes:
        k, path = open_nodes.pop()
        node = tree[k]
        if not node.owner:
            yield node, path
            continue
        goes_left: Mask = routes[node.owner][node.handle]
        there, share = path.get(player_at[k], (np.ones(n_rows, dtype=bool), 1.0))
        for child, side in ((node.left, goes_left), (node.right, ~goes_left)):
            below = there & side, share * tree[child].n_rows / node.n_rows
            open_nodes.append((child, {**path, player_at[k]: below}))


def _shares(path: Sequence[tuple[Mask, float]]) -> list[Floats]:
    """Shapley value of each player in the game "product over players of: inside ? mask : share", by row.

    With the other players' products of size ``s`` added up in ``sizes[s]``, a player's value is what it changes times
    ``sum_s sizes[s] / (n * comb(n - 1, s))``.
    """
    n = len(path)
    found = []
    for k, (mask, share) in enumerate(path):
        sizes = [np.ones(len(mask))]
        for other, (other_mask, other_share) in enumerate(path):
            if other != k:
                outside = [size * other_share for size in sizes] + [np.zeros(len(mask))]
                inside = [np.zeros(len(mask))] + [size * other_mask for size in sizes]
                sizes = [a + b for a, b in zip(outside, inside, strict=True)]
        weight = np.add.reduce([size / (n * comb(n - 1, s)) for s, size in enumerate(sizes)])
        found.append((mask - share) * weight)
    return found
