"""Where the coordinator of horizontal boosting stands between two trees, and how a tree is told at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

from federation.errors import PartyId
from federation.horizontal.boosting.messages import Finish
from models.boosting.splits import Split
from models.boosting.trees import Tree
from models.bundle import JointModel


@dataclass(slots=True)
class Course:
    """Attributes:
    base: the starting margin.
    splits: of all trees.
    contributors: of each tree, whose rows are in it.
    """

    base: float
    trees: list[Tree] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)
    contributors: list[tuple[PartyId, ...]] = field(default_factory=list)

    @classmethod
    def of(cls, model: JointModel, contributors: Sequence[tuple[PartyId, ...]]) -> Self:
        """The one that had come to this model."""
        return cls(model.base_margin, list(model.trees), list(model.own.splits), list(contributors))

    def add(self, tree: Tree, splits: Sequence[Split], contributors: tuple[PartyId, ...]) -> None:
        """One tree more."""
        self.trees.append(tree)
        self.splits += splits
        self.contributors.append(contributors)

    def told(self) -> Iterator[Finish]:
        """The trees, for sites that were not there, or remember none of them."""
        for number, tree in enumerate(self.trees):
            cut = sorted((k for k, node in enumerate(tree) if node.owner), key=lambda k: tree[k].left)  # as they grew
            cuts = ((k, self.splits[tree[k].handle], tree[k]) for k in cut)
            yield Finish(
                tree=number,
                cuts=tuple((k, s.feature, s.code, s.missing_left, node.left, node.right) for k, s, node in cuts),
                leaves=tuple((k, node.value) for k, node in enumerate(tree) if not node.owner),
            )
