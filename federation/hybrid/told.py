"""What a bank was told of the model while it grew, against which it checks the one it gets at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from federation.errors import PartyId
from federation.horizontal.boosting.features import from_fields
from federation.horizontal.boosting.messages import CutFields, Finish, Grow, Open, Start
from federation.messages import Message
from models.binning import FeatureBins
from models.boosting.splits import Split
from models.boosting.trees import Node, Tree
from models.bundle import JointModel


@dataclass(slots=True)
class ToldModel:
    """Attributes:
    parties: the bank, then its hosts in the order of their kinds.
    trees: that are finished, without gains and weights, of which nothing was told.
    """

    parties: tuple[PartyId, ...]
    bins: tuple[FeatureBins, ...] = ()
    base_margin: float = 0.0
    trees: list[Tree] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    _handles: Counter[PartyId] = field(default_factory=Counter)
    _growing: list[CutFields] = field(default_factory=list)

    def note(self, request: Message) -> None:
        """A request that was answered."""
        match request:
            case Open():
                self.bins = from_fields(request.features)
            case Start():
                self.base_margin = request.base_margin
            case Grow():
                self._growing += request.cuts
            case Finish():
                self._finish((*self._growing, *request.cuts), request.leaves)
                self._growing = []

    def agrees(self, model: JointModel) -> bool:
        """Whether all that was told is so in ``model``. There may be trees behind it: of those that grew while this
        bank stood aside it was told nothing."""
        n_trees = len(self.trees)
        begun = [[replace(node, gain=0.0, n_rows=0) for node in tree] for tree in model.trees[:n_trees]]
        return (
            (model.party, *model.host_digests) == self.parties
            and (model.own.bins, model.base_margin, begun) == (self.bins, self.base_margin, self.trees)
            and model.own.splits[: len(self.splits)] == tuple(self.splits)
        )

    def _finish(self, cuts: Sequence[CutFields], leaves: Sequence[tuple[int, float]]) -> None:
        tree: Tree = [Node() for _ in range(1 + 2 * len(cuts))]
        n_own = len(self.bins)
        for node, feature, code, missing_left, left, right in cuts:
            owner = self.parties[max(0, feature - n_own + 1)]
            tree[node] = Node(owner, self._handles[owner], left, right)
            self._handles[owner] += 1
            if feature < n_own:
                self.splits.append(Split(feature, code, missing_left))
        for node, value in leaves:
            tree[node].value = value
        self.trees.append(tree)
