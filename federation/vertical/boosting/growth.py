"""Joint boosting, guest side: how one tree grows, level by level or best leaf first.

SecureBoost (Cheng et al. 2021) alg. 2: hosts send encrypted sums, the guest finds the best cut of every node over all
parties, the owner of the cut parts the rows. Best first (Shi 2007, "Best-first decision tree learning", §2.3;
LightGBM's ``num_leaves``) does not need an exchange per cut: a node is cut at once if it will be cut whatever the
others turn out to gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.choice import Choice, best_cut
from federation.vertical.boosting.messages import Choose, Chosen, Grow, Ready, Sums
from federation.vertical.boosting.offers import HostOffers, Offer, OwnFeatures
from models.boosting.derivatives import Derivatives
from models.boosting.parameters import BoostingParameters
from models.boosting.sampling import draw_columns
from models.boosting.sets import NodeTotals
from models.boosting.splits import FREE, Bounds, Mask, bounds_below, leaf_value
from models.boosting.trees import Node, Tree

Pairs = tuple[tuple[int, int], ...]


class Terms(Protocol):
    """What a tree needs to know of the run it belongs to.

    Attributes:
        n_handles: how many cuts each host has made so far; kept up to date here.
    """

    party: PartyId
    cipher: SecretCipher
    packing: PairPacking
    parameters: BoostingParameters
    own: OwnFeatures
    terms: dict[PartyId, Ready]
    n_handles: dict[PartyId, int]


@dataclass(slots=True)
class TreeGrowth:
    """Tree number ``t`` of a run, from the derivatives that ``hosts``, those that take part in it, were told.

    Attributes:
        depth, bounds, cat_l2: per node; ``above``: owners of the cuts above it.
    """

    t: int
    told: Derivatives
    run: Terms
    hosts: Sequence[PartyId]
    tree: Tree = field(init=False)
    at: NDArray[np.intp] = field(init=False)
    depth: list[int] = field(init=False)
    bounds: list[Bounds] = field(init=False)
    above: list[frozenset[PartyId]] = field(init=False)
    cat_l2: list[float] = field(init=False)
    counted: Mask = field(init=False)
    offered: Mask = field(init=False)

    def __post_init__(self) -> None:
        n_rows = self.run.own.codes.shape[1]
        self.tree = [Node(n_rows=len(self.told.rows))]
        self.depth, self.bounds, self.cat_l2, self.above = [0], [FREE], [0.0], [frozenset()]
        self.at = np.zeros(n_rows, dtype=np.intp)
        self.counted = np.zeros(n_rows, dtype=bool)
        self.counted[self.told.rows] = True
        own, p = self.run.own, self.run.parameters
        columns = draw_columns(len(own.bins), p.feature_fraction, p.random_state, self.t, self.run.party)
        self.offered = own.candidates.of(columns)

    def grow(self) -> Script[tuple[Tree, NDArray[np.intp]]]:
        """The tree, leaves not yet weighed, and the leaf each row of the run ends in."""
        run = self.run
        readers = {host: HostOffers(host, run.terms[host].n_candidates, run.packing, run.cipher) for host in self.hosts}
        pairs: Pairs = ((0, -1),)
        waiting: dict[int, Choice] = {}
        while True:
            if pairs:
                waiting |= yield from self._look(pairs, readers)
            due = self._due(waiting)
            if not due:
                return self.tree, self.at
            yield from self._cut({node: waiting.pop(node) for node in due})
            pairs = self._next_pairs(due)

    def _look(self, pairs: Pairs, readers: Mapping[PartyId, HostOffers]) -> Script[dict[int, Choice]]:
        """The best cut of each of these nodes, if there is any."""
        run = self.run
        shown = {host: self._shown(pairs, host) for host in readers}
        replies = yield {host: self._request(own) for host, own in shown.items() if own}
        nodes = [node for pair in pairs for node in pair if node >= 0]
        rows = {node: np.flatnonzero(self.counted & (self.at == node)) for node in nodes}
        totals = {node: NodeTotals.of(self.told.g[r], self.told.h[r]) for node, r in rows.items()}
        parents = {child: k for k, n in enumerate(self.tree) if n.owner for child in (n.left, n.right)}
        offers: dict[PartyId, dict[int, Offer]] = {
            run.party: {node: self._own_offer(r) for node, r in rows.items()},
            **{
                host: readers[host].read(expect(replies, host, Sums), own, parents, totals)
                for host, own in shown.items()
                if own
            },
        }
        units, p = (self.told.g_unit, self.told.h_unit), run.parameters
        best = {
            node: best_cut(
                {q: of[node] for q, of in offers.items() if node in of}, totals[node], units, p, self.bounds[node]
            )
            for node in nodes
        }
        return {node: choice for node, choice in best.items() if choice}

    def _shown(self, pairs: Pairs, host: PartyId) -> Pairs:
        """Of these siblings those that a host may look at: all, or those below cuts of its own alone, whose rows it
        could have parted by itself."""
        if not self.run.parameters.own_cuts_only:
            return pairs
        return tuple(pair for pair in pairs if self.above[pair[0]] <= {host})

    def _due(self, waiting: Mapping[int, Choice]) -> list[int]:
        """Nodes to cut now: all, or those that best first will cut before the leaves run out, best first.

        Before a node come nodes that gain more, and what they may be cut into: it is due if there is room for all.
        """
        if not self.run.parameters.num_leaves:
            return list(waiting)
        due: list[int] = []
        before = 0
        for node in sorted(waiting, key=lambda k: (-waiting[k].gain, k)):
            if before >= self._cuts_left:
                break
            due.append(node)
            before += self._most_cuts(node)
        return due

    @property
    def _cuts_left(self) -> int:
        """Only where ``num_leaves`` is set."""
        return self.run.parameters.num_leaves - (len(self.tree) + 1) // 2

    def _most_cuts(self, node: int) -> int:
        """Of this node and everything below it."""
        p = self.run.parameters
        by_depth = 1 << (p.max_depth - self.depth[node])
        by_rows = self.tree[node].n_rows // max(1, p.min_child_samples)
        return max(1, min(by_depth, by_rows) - 1)

    def _request(self, pairs: Pairs) -> Grow:
        """Only cuts whose children need sums are told: a host does not learn the row sets of other leaves."""
        wanted = {node for pair in pairs for node in pair}
        made = [(k, n.left, n.right) for k, n in enumerate(self.tree) if n.owner and n.left in wanted]
        cuts = tuple(sorted(made, key=lambda cut: cut[1]))
        lefts = [left for _, left, _ in cuts]
        return Grow(tree=self.t, cuts=cuts, left=pack_bits(np.isin(self.at, lefts)) if cuts else b"", pairs=pairs)

    def _own_offer(self, rows: NDArray[np.intp]) -> Offer:
        offer = self.run.own.offer(rows, self.told.g, self.told.h)
        return replace(offer, usable=offer.usable & self.offered)

    def _cut(self, chosen: Mapping[int, Choice]) -> Script[None]:
        """Make the chosen cuts at their owners and part the rows."""
        asked: dict[PartyId, list[int]] = {}
        lefts: dict[int, Mask] = {}
        handles: dict[int, int] = {}
        for node, choice in chosen.items():
            if choice.owner == self.run.party:
                handles[node], lefts[node] = self.run.own.cut(choice.ways, self.at == node, self.counted)
            else:
                asked.setdefault(choice.owner, []).append(node)
        if asked:
            replies = yield {
                host: Choose(tree=self.t, choices=tuple((node, chosen[node].ways) for node in nodes))
                for host, nodes in asked.items()
            }
            for host, nodes in asked.items():
                reply = expect(replies, host, Chosen)
                left = self._left_of(host, reply, len(nodes))
                handles.update(zip(nodes, reply.handles, strict=True))
                for node in nodes:
                    lefts[node] = left & (self.at == node)
                    self._check_rows(chosen[node], lefts[node])
        for node, choice in chosen.items():
            here, left = self.at == node, lefts[node]
            k = len(self.tree)
            n_left, n_all = (int((rows & self.counted).sum()) for rows in (left, here))
            self.tree += [Node(n_rows=n_left), Node(n_rows=n_all - n_left)]
            self.depth += [self.depth[node] + 1] * 2
            self.cat_l2 += [choice.cat_l2] * 2
            self.above += [self.above[node] | {choice.owner}] * 2
            self.bounds += self._bounds_below(node, choice.direction, left, here & ~left)
            self.tree[node] = Node(choice.owner, handles[node], left=k, right=k + 1, gain=choice.gain, n_rows=n_all)
            self.at[here] = np.where(left[here], k, k + 1)

    def _bounds_below(self, node: int, direction: int, left: Mask, right: Mask) -> tuple[Bounds, Bounds]:
        bounds, p = self.bounds[node], self.run.parameters
        if not direction:
            return bounds, bounds
        left_value, right_value = (
            leaf_value(*self.told.sums(np.flatnonzero(side & self.counted)), p.reg_lambda, 1.0, bounds)
            for side in (left, right)
        )
        return bounds_below(left_value, right_value, direction, bounds)

    def _check_rows(self, choice: Choice, left: Mask) -> None:
        """A host must part the rows it summed."""
        rows = np.flatnonzero(left & self.counted)
        if (int(self.told.g[rows].sum()), int(self.told.h[rows].sum())) not in choice.sums:
            raise RemoteProtocolError(
                choice.owner, "bad_value", "parted other rows than it had summed.", "切分的行与其求和的行不一致。"
            )

    def _left_of(self, host: PartyId, reply: Chosen, n_cuts: int) -> Mask:
        first = self.run.n_handles.get(host, 0)
        try:
            left = unpack_bits(reply.left, len(self.at))
        except ValueError:
            left = None
        if left is None or reply.handles != tuple(range(first, first + n_cuts)):
            raise RemoteProtocolError(host, "bad_value", "answered with rows that do not fit.", "返回的行不符。")
        self.run.n_handles[host] = first + n_cuts
        return left

    def _next_pairs(self, cut: Sequence[int]) -> Pairs:
        """Siblings of which at least one may be cut again, the smaller first: only that one is summed."""
        p = self.run.parameters
        least = 2 * max(1, p.min_child_samples)
        pairs: list[tuple[int, int]] = []
        if p.num_leaves and not self._cuts_left:
            return ()
        for node in cut:
            if self.depth[node] + 1 == p.max_depth:
                continue
            children = sorted((self.tree[node].left, self.tree[node].right), key=lambda k: self.tree[k].n_rows)
            if self.tree[children[1]].n_rows >= least:
                pairs.append((children[0], children[1]))
        return tuple(pairs)


def weigh(
    tree: Tree,
    leaf: NDArray[np.intp],
    exact: Derivatives,
    p: BoostingParameters,
    bounds: Sequence[Bounds],
    cat_l2: Sequence[float],
) -> None:
    """Leaf weights (Chen & Guestrin 2016, eq. 5), known to the guest alone.

    Args:
        leaf: node each row to fit ends in.
        bounds: of every node.
        cat_l2: of every node the penalty besides ``reg_lambda``, which the cut above it brought.
    """
    for k, node in enumerate(tree):
        if not node.owner:
            g, h = exact.sums(np.flatnonzero(leaf == k))
            node.value = leaf_value(g, h, p.reg_lambda + cat_l2[k], p.learning_rate, bounds[k])
