"""Why a margin is what it is: exact Shapley values of trees whose cuts lie with several parties.

A *player* is a feature as far as the guest can tell: its own by name, a host's by a number that stands for an unnamed
feature. The game is that of Lundberg et al. (2020), "From local explanations to global explainable AI for trees",
algorithm 1: a player outside the coalition sends a row both ways, in proportion to the fitted rows. Values are summed
leaf by leaf, as in Yu et al. (2022), "Linear TreeSHAP": a leaf's worth is a product over the players on
its path, so their Shapley values need only these players, exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.boosting.splits import Mask
from models.boosting.trees import Node, Owner, Routes, Tree
from models.boosting.walk import Walk
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


#: Most players on one path whose values are made ready for every way in which a row can pass it: 2**10 ways.
MOST_READY: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Shapley values of every leaf for every way in which a row can pass its path, to be looked up row by row.

    A *pair* is a leaf and a player on its path; pairs stand leaf by leaf. A row passes a pair if it goes towards the
    leaf at all the player's cuts on the path.

    Attributes:
        cut, towards: every cut of every pair, end to end, and the side of it that leads to the leaf.
        pair_starts: where the cuts of each pair begin.
        player: of each pair.
        weight: 2**k of the k-th pair of its leaf: the sum over the pairs a row passes is its way.
        leaf_starts: where the pairs of each leaf begin.
        leaf_of: of each pair.
        table_starts, n_at_leaf: of each pair: where its values begin in ``table``, and how far apart ways are there.
        table: value of every pair for every way of its leaf.
    """

    players: tuple[Player, ...]
    average: float
    cut: NDArray[np.intp]
    towards: Mask
    pair_starts: NDArray[np.intp]
    player: NDArray[np.intp]
    weight: NDArray[np.intp]
    leaf_starts: NDArray[np.intp]
    leaf_of: NDArray[np.intp]
    table_starts: NDArray[np.intp]
    n_at_leaf: NDArray[np.intp]
    table: Floats

    def values(self, sides: Mask) -> Floats:
        """Shape ``(n_rows, n_players)``, from ``Walk.sides``: row by row, so one row gives the same bits as many."""
        n_rows = sides.shape[1]
        if not len(self.player):
            return np.zeros((n_rows, len(self.players)))
        found = np.empty((n_rows, len(self.players)))
        for row in range(n_rows):
            passed = np.logical_and.reduceat(sides[self.cut, row] == self.towards, self.pair_starts)
            way = np.add.reduceat(passed * self.weight, self.leaf_starts)
            values = self.table[self.table_starts + way[self.leaf_of] * self.n_at_leaf]
            found[row] = np.bincount(self.player, values, len(self.players))
        return found


def ready(
    trees: Sequence[Tree], base: float, player_of: Callable[[Node], Player], starts: Mapping[Owner, int]
) -> Ready | None:
    """Made once per model; None if a path has too many players.

    Args:
        base: margin where boosting started.
        starts: of ``Walk``.
    """
    players = sorted({player_of(node) for tree in trees for node in tree if node.owner})
    place = {player: k for k, player in enumerate(players)}
    average, n_table = base, 0
    tables: list[Floats] = []
    cut: list[int] = []
    towards: list[bool] = []
    leaf_starts: list[int] = []
    pairs: list[tuple[int, int, int, int, int, int]] = []
    for tree in trees:
        for leaf, path in _paths(tree, {k: place[player_of(node)] for k, node in enumerate(tree) if node.owner}):
            average += leaf.value * leaf.n_rows / tree[0].n_rows
            n = len(path)
            if n > MOST_READY:
                return None
            if not n:
                continue
            ways = np.arange(2**n)
            shares = _shares([((ways >> k & 1).astype(bool), step.share) for k, step in enumerate(path.values())])
            for k, (number, step) in enumerate(path.items()):
                pairs.append((len(cut), number, 2**k, len(leaf_starts), n_table + k, n))
                cut += [starts[tree[at].owner] + tree[at].handle for at, _ in step.cuts]
                towards += [left for _, left in step.cuts]
            leaf_starts.append(len(pairs) - n)
            tables.append((leaf.value * np.stack(shares, axis=1)).ravel())
            n_table += n * 2**n
    pair_starts, player, weight, leaf_of, table_starts, n_at_leaf = np.array(pairs, dtype=np.intp).reshape(-1, 6).T
    return Ready(
        players=tuple(players),
        average=average,
        cut=np.array(cut, dtype=np.intp),
        towards=np.array(towards, dtype=bool),
        pair_starts=pair_starts,
        player=player,
        weight=weight,
        leaf_starts=np.array(leaf_starts, dtype=np.intp),
        leaf_of=leaf_of,
        table_starts=table_starts,
        n_at_leaf=n_at_leaf,
        table=np.concatenate([np.empty(0), *tables]),
    )


class Boosted(Protocol):
    """Trees and who their cuts belong to, as a joint model has them.

    Attributes:
        walk, ready: of its trees, made once.
    """

    @property
    def trees(self) -> Sequence[Tree]: ...
    @property
    def base_margin(self) -> float: ...
    @property
    def walk(self) -> Walk: ...
    @property
    def ready(self) -> Ready | None: ...
    def player_of(self, node: Node) -> Player: ...


def contributions(model: Boosted, routes: Routes, n_rows: int) -> Contributions:
    """Shapley values of every row.

    Args:
        routes: owner → which rows go left at each of its cuts, as for scoring.
    """
    made = model.ready
    if made is not None:
        return Contributions(made.players, made.values(model.walk.sides(routes, n_rows)), made.average)
    players = sorted({model.player_of(node) for tree in model.trees for node in tree if node.owner})
    place = {player: k for k, player in enumerate(players)}
    values = np.zeros((n_rows, len(players)))
    average = model.base_margin
    for tree in model.trees:
        player_at = {k: place[model.player_of(node)] for k, node in enumerate(tree) if node.owner}
        for leaf, path in _paths(tree, player_at):
            average += leaf.value * leaf.n_rows / tree[0].n_rows
            passes = [(_passes(tree, step.cuts, routes, n_rows), step.share) for step in path.values()]
            for player, share in zip(path, _shares(passes), strict=True):
                values[:, player] += leaf.value * share
    return Contributions(tuple(players), values, average)


class _Step(NamedTuple):
    """One player on the path to a leaf: its cuts there (tree node, whether the path goes left), and what share of the
    fitted rows it sends towards the leaf."""

    cuts: tuple[tuple[int, bool], ...]
    share: float


def _passes(tree: Tree, cuts: Sequence[tuple[int, bool]], routes: Routes, n_rows: int) -> Mask:
    """Which rows a player sends towards the leaf."""
    mask = np.ones(n_rows, dtype=bool)
    for at, left in cuts:
        goes_left = routes[tree[at].owner][tree[at].handle]
        mask &= goes_left if left else ~goes_left
    return mask


def _paths(tree: Tree, player_at: Mapping[int, int]) -> Iterator[tuple[Node, Mapping[int, _Step]]]:
    """Every leaf with the players above it."""
    open_nodes: list[tuple[int, Mapping[int, _Step]]] = [(0, {})]
    while open_nodes:
        k, path = open_nodes.pop()
        node = tree[k]
        if not node.owner:
            yield node, path
            continue
        cuts, share = path.get(player_at[k], _Step((), 1.0))
        for child, left in ((node.left, True), (node.right, False)):
            below = _Step((*cuts, (k, left)), share * tree[child].n_rows / node.n_rows)
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
