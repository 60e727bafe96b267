"""Joint boosting, guest side: the best cut of a node over all that the parties offer, and how to tell it to its owner.

SecureBoost (Cheng et al. 2021) alg. 2, with categories cut into sets of levels (``models.boosting.sets``). A host's
levels come one by one and unnamed; which of them belong to one category is all that is needed to unite them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from federation.errors import PartyId
from federation.vertical.boosting.offers import Offer
from models.boosting.parameters import BoostingParameters
from models.boosting.sets import LevelSet, NodeTotals, Way, level_sets, way_of
from models.boosting.splits import Bounds, best_of, gains
from models.losses import Floats, Integers


@dataclass(frozen=True, slots=True)
class Choice:
    """The best cut of a node.

    Attributes:
        ways: cuts of its owner that tie for the best.
        sums: of g and h on the left, by one way or another.
        direction: which way its sides must lie.
        cat_l2: L2 penalty on the values of both sides, besides that on all values.
    """

    owner: PartyId
    ways: tuple[Way, ...]
    gain: float
    sums: frozenset[tuple[int, int]]
    direction: int
    cat_l2: float


@dataclass(frozen=True, slots=True)
class _Cuts:
    """All cuts of one party: its candidates, then sets of levels, each with the candidates of its category."""

    offer: Offer
    sets: tuple[tuple[LevelSet, Integers], ...]
    gain: Floats

    def rank(self, cut: int) -> tuple[int, int, int]:
        """Of cuts that gain the same only those of the highest rank are told: the guest must know the direction and
        the penalty of the cut that its owner settles on; sets of low mean gradients come first, as in LightGBM."""
        k = cut - len(self.offer.usable)
        direction = int(self.offer.directions[cut]) if k < 0 else 0
        return abs(direction), direction, 0 if k < 0 else -1 - self.sets[k][0].backward


def best_cut(
    offers: Mapping[PartyId, Offer],
    node: NodeTotals,
    units: tuple[float, float],
    p: BoostingParameters,
    bounds: Bounds,
) -> Choice | None:
    """The best cut of a node that the parties' offers allow, if there is any.

    Args:
        units: what one unit of g and of h stands for.
        bounds: of the node's values.
    """
    of_parties = [_cuts(offer, node, units, p, bounds) for offer in offers.values()]
    party, tied = best_of([cuts.gain for cuts in of_parties])
    if party < 0:
        return None
    owner, best = list(offers)[party], of_parties[party]
    highest = max(map(best.rank, tied))
    tied = tuple(j for j in tied if best.rank(j) == highest)
    gain, offer = float(best.gain[tied[0]]), best.offer
    first_set = len(offer.usable)
    if tied[0] < first_set:
        sums = frozenset((int(offer.g_left[j]), int(offer.h_left[j])) for j in tied)
        return Choice(owner, (((), tied, 1),), gain, sums, highest[1], 0.0)
    found = [best.sets[j - first_set] for j in tied]
    ways = tuple(way_of(s, offer.g_left[levels], offer.h_left[levels], levels) for s, levels in found)
    return Choice(owner, ways, gain, frozenset((s.g, s.h) for s, _ in found), 0, p.cat_l2)


def _cuts(offer: Offer, node: NodeTotals, units: tuple[float, float], p: BoostingParameters, bounds: Bounds) -> _Cuts:
    of_one = gains(offer.g_left, offer.h_left, node.g, node.h, units, p.rules, offer.directions, bounds)
    of_one = np.where(offer.usable & (offer.categories == 0), of_one, -np.inf)
    sets = tuple(_sets(offer, node, units, p))
    if not sets:
        return _Cuts(offer, sets, of_one)
    g, h = np.array([(s.g, s.h) for s, _ in sets], dtype=np.int64).T
    of_sets = gains(g, h, node.g, node.h, units, p.rules, bounds=bounds, cat_l2=p.cat_l2)
    return _Cuts(offer, sets, np.concatenate([of_one, of_sets]))


def _sets(
    offer: Offer, node: NodeTotals, units: tuple[float, float], p: BoostingParameters
) -> Iterator[tuple[LevelSet, Integers]]:
    here = np.where(offer.usable, offer.categories, 0)
    for category in np.unique(here[here > 0]).tolist():
        levels = np.flatnonzero(here == category)
        for found in level_sets(offer.g_left[levels], offer.h_left[levels], node, units, p.set_rules):
            yield found, levels
