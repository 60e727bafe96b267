"""What each party offers for a node: candidate cuts with the gradient sums on their left side.

The guest's own features are summed in clear, it has the gradients; a host's sums arrive encrypted, for the smaller of
two siblings only, and the other's follow by subtraction from the parent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import InvalidCiphertext, PartyId, PlaintextOverflow, RemoteProtocolError
from federation.vertical.bits import unpack_bits
from federation.vertical.boosting.messages import Sums
from models.binning import Codes, FeatureBins
from models.boosting.histograms import bin_sums
from models.boosting.sets import NodeTotals, Way, settled
from models.boosting.splits import Candidates, Directions, Mask, Split, default_side, directions_of, goes_left
from models.losses import Integers

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Offer:
    """Per candidate of one party: left sums, shape ``(n_candidates,)``, whether it may be chosen, which way its sides
    must lie, and to which category it belongs if it is to be chosen with others of it (else 0)."""

    g_left: Integers
    h_left: Integers
    usable: Mask
    directions: Directions
    categories: Integers


@dataclass(slots=True)
class OwnFeatures:
    """The guest's features and the cuts it has made on them. Raises ``DataError`` for constraints on no feature."""

    bins: tuple[FeatureBins, ...]
    codes: Codes
    n_fit: int
    min_child_samples: int
    max_cat_to_onehot: int
    monotone_constraints: Mapping[str, int] = field(default_factory=dict)
    splits: list[Split] = field(default_factory=list)
    directions: Directions = field(init=False)
    candidates: Candidates = field(init=False)
    categories: Integers = field(init=False)
    flat: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.candidates = Candidates(self.bins)
        self.directions = directions_of(self.candidates, self.monotone_constraints)
        self.categories = self.candidates.categories(self.max_cat_to_onehot)
        self.flat = self.candidates.flat(self.codes[:, : self.n_fit])

    def offer(self, rows: Rows, g: Integers, h: Integers) -> Offer:
        """Left sums of a node with these fitted rows."""
        flat = self.flat[:, rows]
        g_left, h_left, n_left = (
            self.candidates.left(bin_sums(flat, values, self.candidates.n_bins))
            for values in (g[rows], h[rows], np.ones(len(rows), dtype=np.int64))
        )
        least = np.where(self.categories > 0, 1, max(1, self.min_child_samples))
        usable = (n_left >= least) & (len(rows) - n_left >= least)
        return Offer(g_left, h_left, usable, self.directions, self.categories)

    def cut(self, ways: Sequence[Way], here: Mask, counted: Mask) -> tuple[int, Mask]:
        """Make the first of cuts that tie in the node whose rows ``here`` marks: its handle, and which rows go left.

        Args:
            counted: the rows that take part in the tree; they decide the side of values not seen.
        """
        split = settled(ways, self.candidates)
        bins, codes = self.bins[split.feature], self.codes[split.feature]
        split = default_side(split, bins, codes[here & counted])
        self.splits.append(split)
        return len(self.splits) - 1, here & goes_left(split, bins, codes)


@dataclass(slots=True)
class HostOffers:
    """Reads one host's sums during one tree; places of candidates are the host's secret order."""

    host: PartyId
    n_candidates: int
    packing: PairPacking
    cipher: SecretCipher
    known: dict[int, tuple[Integers, Integers]] = field(default_factory=dict)
    directions: Directions = field(init=False)
    categories: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.directions = np.zeros(self.n_candidates, dtype=np.int8)
        self.categories = np.zeros(self.n_candidates, dtype=np.int64)

    def read(
        self,
        reply: Sums,
        pairs: tuple[tuple[int, int], ...],
        parents: Mapping[int, int],
        totals: Mapping[int, NodeTotals],
    ) -> dict[int, Offer]:
        """Offers for both nodes of every pair.

        Raises:
            RemoteProtocolError: lengths that do not fit, or sums no rows of the node can have.
        """
        try:
            flags = unpack_bits(reply.flags, len(pairs), 3, self.n_candidates)
            if reply.directions:
                self._read_directions(reply.directions, root=pairs[0][0] == 0)
            if reply.categories:
                self._read_categories(reply.categories, root=pairs[0][0] == 0)
            g, h = self.packing.split(self.cipher.decrypt(reply.ciphertexts), int(flags[:, 0].sum()))
        except (ValueError, PlaintextOverflow, InvalidCiphertext):
            raise self._misfit() from None
        offers: dict[int, Offer] = {}
        known: dict[int, tuple[Integers, Integers]] = {}
        taken = 0
        for (node, sibling), (shown, first, second) in zip(pairs, flags, strict=True):
            count = int(shown.sum())
            sums = tuple(self._spread(values[taken : taken + count], shown) for values in (g, h))
            taken += count
            known[node] = sums[0], sums[1]
            offers[node] = self._checked(known[node], shown & first, totals[node])
            if sibling >= 0:
                whole = self.known.pop(parents[node])
                known[sibling] = whole[0] - sums[0], whole[1] - sums[1]
                offers[sibling] = self._checked(known[sibling], shown & second, totals[sibling])
        self.known |= known
        return offers

    def _read_directions(self, bits: bytes, *, root: bool) -> None:
        rising, falling = unpack_bits(bits, 2, self.n_candidates)
        if not root or (rising & falling).any():
            raise self._misfit()
        self.directions = rising.astype(np.int8) - falling.astype(np.int8)

    def _read_categories(self, data: bytes, *, root: bool) -> None:
        self.categories = np.frombuffer(data, dtype="<u4").astype(np.int64)
        if not root or len(self.categories) != self.n_candidates or (self.directions[self.categories > 0]).any():
            raise self._misfit()

    def _spread(self, values: list[int], shown: Mask) -> Integers:
        spread = np.zeros(self.n_candidates, dtype=np.int64)
        try:
            spread[shown] = values
        except OverflowError:
            raise self._misfit() from None
        return spread

    def _checked(self, sums: tuple[Integers, Integers], usable: Mask, totals: NodeTotals) -> Offer:
        g, h = sums
        in_range = (np.abs(g) <= totals.g_absolute) & (h >= 0) & (h <= totals.h)
        if not in_range[usable].all():
            raise self._misfit()
        return Offer(g, h, usable, self.directions, self.categories)

    def _misfit(self) -> RemoteProtocolError:
        return RemoteProtocolError(
            self.host,
            "bad_value",
            "answered with sums, directions or categories that do not fit the node. The run stops.",
            "返回的和、约束方向或类别与该节点不符。运行已停止。",
        )
