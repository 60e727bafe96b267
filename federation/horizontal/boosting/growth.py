"""Horizontal boosting, coordinator's half: how one tree grows, level by level, from sums over sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from federation.errors import PartyId, SiteLeft
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.boosting.messages import CutFields, Grow
from federation.horizontal.boosting.noise import room, sensitivity, unweighted
from federation.script import Script
from models.boosting.derivatives import DERIVATIVE_BITS
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Candidates, Split, best_of, gains, leaf_value
from models.boosting.trees import Node, Tree
from models.losses import Integers

UNIT = 2.0**-DERIVATIVE_BITS
#: Weight of a root. Everybody has the model, so leaves tell their share of the hessian, which reasons need, coarsely.
_WEIGHT: Final = 1000


class Sums(NamedTuple):
    """Of the rows of one node over all sites: g and h per bin, and in all."""

    g_bins: Integers
    h_bins: Integers
    g: int
    h: int


@dataclass(slots=True)
class TreeGrowth:
    """Tree number ``t``.

    Attributes:
        party: whom the model says that cuts belong to; ``first_handle``: of the first cut of this tree.
        contributors: of all sums of this tree.
        cuts: of the whole tree; ``n_told``: how many of them sites have been told.
        cut_short: whether it ended because a site left.
    """

    t: int
    party: PartyId
    first_handle: int
    candidates: Candidates
    parameters: BoostingParameters
    aggregation: Aggregation
    most_rows: int
    noise: float = 0.0
    tree: Tree = field(default_factory=lambda: [Node()])
    splits: list[Split] = field(default_factory=list)
    sums: dict[int, tuple[int, int]] = field(default_factory=dict)
    cuts: list[CutFields] = field(default_factory=list)
    n_told: int = 0
    contributors: tuple[PartyId, ...] = ()
    cut_short: bool = False

    def grow(self) -> Script[None]:
        """Until no node is worth cutting, the depth is reached, or a site has left.

        Sums of one tree are over the same sites. When a site leaves, the tree ends where it is: sums over the others
        alone, beside those of before, would tell what the site that left had contributed, and are not opened.

        Raises:
            LocalProtocolError: ``too_few_sites``, before the first sum of the tree.
        """
        pairs: list[tuple[int, int]] = [(0, -1)]
        parents: dict[int, Sums] = {}
        for depth in range(self.parameters.max_depth):
            asked = [small for small, _ in pairs]
            found = yield from self._sums(asked)
            if found is None:
                self.cut_short = True
                return
            known = dict(zip(asked, found, strict=True))
            known |= {big: _less(parents[big], known[small]) for small, big in pairs if big >= 0}
            if not depth:
                self.sums[0] = known[0].g, known[0].h
            cut = [node for node, sums in known.items() if self._cut(node, sums)]
            pairs, parents = self._pairs(cut), {child: known[node] for node in cut for child in self._children(node)}
            if not pairs:
                return

    def weigh(self) -> tuple[tuple[int, float], ...]:
        """Leaf values (Chen & Guestrin 2016, eq. 5), from sums over sites; they stand in the tree, too."""
        p = self.parameters
        for k, node in enumerate(self.tree):
            if not node.owner:
                g, h = self.sums[k]  # h: one unit at least, which only noise makes less
                h = max(h, 1)
                node.n_rows = max(1, round(_WEIGHT * h / max(self.sums[0][1], 1)))
                node.value = leaf_value(g * UNIT, h * UNIT, p.reg_lambda, p.learning_rate)
        for node in reversed(self.tree):  # children stand behind their parent
            if node.owner:
                node.n_rows = self.tree[node.left].n_rows + self.tree[node.right].n_rows
        return tuple((k, node.value) for k, node in enumerate(self.tree) if not node.owner)

    @property
    def untold(self) -> tuple[CutFields, ...]:
        """Cuts that sites have still to make."""
        return tuple(self.cuts[self.n_told :])

    def _sums(self, nodes: Sequence[int]) -> Script[list[Sums] | None]:
        n_bins, n_features = self.candidates.n_bins, len(self.candidates.bins)
        request = Grow(tree=self.t, cuts=self.untold, nodes=tuple(nodes))
        n_values = 2 * n_bins * len(nodes)
        bound = (self.most_rows << DERIVATIVE_BITS) + room(self.noise, sensitivity(n_features))
        if not set(self.contributors) <= set(self.aggregation.presence.sites):
            return None  # one left while the last sum was opened; these cuts nobody has been told
        self.n_told = len(self.cuts)
        if self.contributors:
            asking = dict.fromkeys(self.contributors, request)
            try:
                total = yield from self.aggregation.total(asking, n_values, bound, only=self.contributors)
            except SiteLeft:
                return None
            if total.contributors != self.contributors:  # a group was left out
                return None
        else:
            total = yield from total_in_company(self.aggregation, request, n_values, bound)
            self.contributors = total.contributors
        values = unweighted(total.values, n_bins) if self.noise else total.values
        # Every row is in one bin of each feature, so all features tell the node's sums; under noise, nearly.
        return [
            Sums(g, h, int(g.sum()) // n_features, int(h.sum()) // n_features)
            for g, h in values.reshape(len(nodes), 2, n_bins)
        ]

    def _cut(self, node: int, sums: Sums) -> bool:
        """Cut the node if any cut gains."""
        c = self.candidates
        g_left, h_left = c.left(sums.g_bins), c.left(sums.h_bins)
        gain = gains(g_left, h_left, sums.g, sums.h, (UNIT, UNIT), self.parameters.rules)
        party, tied = best_of([gain])
        if party < 0:
            return False
        best = tied[0]
        split, left = c.splits[best], len(self.tree)
        bins, start = c.bins[split.feature], int(c.starts[split.feature])
        if not bins.category and bins.has_missing and not sums.h_bins[start + bins.missing_code]:
            # None is missing here: whoever is missing later goes the way of most, as hessians tell.
            split = Split(split.feature, split.code, missing_left=bool(2 * h_left[best] > sums.h))
        self.tree[node] = Node(self.party, self.first_handle + len(self.splits), left, left + 1, gain=float(gain[best]))
        self.tree += [Node(), Node()]
        self.splits.append(split)
        self.sums[left] = int(g_left[best]), int(h_left[best])
        self.sums[left + 1] = sums.g - int(g_left[best]), sums.h - int(h_left[best])
        self.cuts.append((node, split.feature, split.code, split.missing_left, left, left + 1))
        return True

    def _children(self, node: int) -> tuple[int, int]:
        return self.tree[node].left, self.tree[node].right

    def _pairs(self, cut: Sequence[int]) -> list[tuple[int, int]]:
        """Children, the smaller first: only that one is summed. None where neither could be cut."""
        least = 2 * self.parameters.min_child_weight / UNIT
        pairs = [sorted(self._children(node), key=lambda k: self.sums[k][1]) for node in cut]
        return [(small, big) for small, big in pairs if self.sums[big][1] >= max(2, least)]


def _less(whole: Sums, part: Sums) -> Sums:
    return Sums(whole.g_bins - part.g_bins, whole.h_bins - part.h_bins, whole.g - part.g, whole.h - part.h)
