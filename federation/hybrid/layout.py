"""Which of a run's features belong to whom, and what each party is asked of what is asked of all features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.hybrid.messages import Cuts
from federation.messages import Message

#: Messages of horizontal learning that are about features.
DIVIDED = (binning.Open, binning.CellsWanted, boosting.Open, boosting.Grow, boosting.Finish)
Owners = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Layout:
    """Features in order: those of banks, then those of each kind of host.

    Attributes:
        kinds: of hosts.
        n_features: of banks, then of each kind; above 0.
    """

    kinds: tuple[str, ...]
    n_features: tuple[int, ...]

    @property
    def owners(self) -> Owners:
        """Of every feature: 0 banks, k the k-th kind."""
        return np.repeat(np.arange(len(self.n_features)), self.n_features)

    @property
    def _slices(self) -> list[slice]:
        return [slice(*ends) for ends in pairwise(np.cumsum([0, *self.n_features]).tolist())]

    def place(self, feature: int) -> tuple[int, int]:
        """Owner of a feature, and its number there."""
        starts = np.cumsum([0, *self.n_features])
        owner = int(np.searchsorted(starts, feature, side="right")) - 1
        return owner, feature - int(starts[owner])

    def divided(self, request: Message) -> list[Message | None]:
        """What banks are asked, then what hosts of each kind are, if anything."""
        match request:
            case binning.Open():
                return [replace(request, features=request.features[own]) for own in self._slices]
            case boosting.Open():
                return [replace(request, features=request.features[own]) for own in self._slices]
            case binning.CellsWanted():
                return [replace(request, cells=self._own(owner, request.cells)) for owner in range(len(self))]
            case boosting.Grow() | boosting.Finish():
                return [replace(request, cuts=self._seen_by_bank(request.cuts)), *self._told(request)]
        raise TypeError(request.kind)

    def owners_of(self, request: Message, sizes: Sequence[int]) -> Owners:
        """Owner of every number that sites contribute to this request.

        Args:
            sizes: numbers of every feature: in a first round of counts or per node, of g and of h each.
        """
        match request:
            case binning.CellsWanted() if request.round:
                wanted = [(self.owners[f], len(cells) << binning.MORE_BITS) for f, cells in request.cells]
                return np.repeat([owner for owner, _ in wanted], [n for _, n in wanted]).astype(np.intp)
            case binning.CellsWanted():
                return np.repeat(self.owners, sizes)
            case boosting.Grow():
                return np.tile(np.repeat(self.owners, sizes), 2 * len(request.nodes))
        raise TypeError(request.kind)

    def __len__(self) -> int:
        return len(self.n_features)

    def _own(self, owner: int, cells: Sequence[tuple[int, tuple[int, ...]]]) -> tuple[tuple[int, tuple[int, ...]], ...]:
        places = [(self.place(f), found) for f, found in cells]
        return tuple((number, found) for (of, number), found in places if of == owner)

    def _seen_by_bank(self, cuts: Sequence[boosting.CutFields]) -> tuple[boosting.CutFields, ...]:
        """A host's cut is known to the bank by its owner alone."""
        n_own = self.n_features[0]
        return tuple(
            cut if owner == 0 else (cut[0], n_own + owner - 1, 0, False, *cut[4:])
            for cut, (owner, _) in ((cut, self.place(cut[1])) for cut in cuts)
        )

    def _told(self, request: boosting.Grow | boosting.Finish) -> list[Cuts | None]:
        """What hosts of each kind are told of their own cuts."""
        of_kind: Mapping[int, list[boosting.CutFields]] = {k: [] for k in range(len(self))}
        for node, feature, code, missing_left, left, right in request.cuts:
            owner, number = self.place(feature)
            of_kind[owner].append((node, number, code, missing_left, left, right))
        return [Cuts(tree=request.tree, cuts=tuple(of_kind[k])) if of_kind[k] else None for k in range(1, len(self))]
