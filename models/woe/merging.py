"""Weight of evidence on counts, and the merging of neighbouring bins by it.

WOE = ln((goods / all goods) / (bads / all bads)), information value = (share of goods - share of bads) * WOE (Siddiqi,
Credit Risk Scorecards, 2006, ch. 6). Rates are compared as integers, so equal rates are equal on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Group:
    """Prebins taken together.

    Attributes:
        codes: prebin codes.
        goods, bads: rows with label 0 and 1.
    """

    codes: tuple[int, ...]
    goods: int
    bads: int

    @property
    def count(self) -> int:
        return self.goods + self.bads

    @property
    def pure(self) -> bool:
        """Whether all rows are of one class."""
        return self.count > 0 and (self.goods == 0 or self.bads == 0)

    def __add__(self, other: Group) -> Group:
        return Group(self.codes + other.codes, self.goods + other.goods, self.bads + other.bads)


@dataclass(frozen=True, slots=True)
class Totals:
    """All rows of a feature, against which bins are measured.

    Attributes:
        goods, bads: at least one each.
        smoothing: added to the goods and to the bads of a bin that has none of one of them, and of no other bin; the
            totals stay. At 0.5 the usual adjusted WOE. WOE and information value both use the smoothed counts, so that
            the latter is never negative.
    """

    goods: int
    bads: int
    smoothing: float = 0.5

    def woe(self, group: Group) -> float:
        """0 for a bin without rows."""
        if not group.count:
            return 0.0
        goods, bads = self._smoothed(group)
        return math.log((goods * self.bads) / (bads * self.goods))

    def information_value(self, group: Group) -> float:
        if not group.count:
            return 0.0
        goods, bads = self._smoothed(group)
        # One difference of products: its sign is that of the logarithm.
        return (goods * self.bads - bads * self.goods) / (self.goods * self.bads) * self.woe(group)

    def _smoothed(self, group: Group) -> tuple[float, float]:
        extra = self.smoothing if group.pure else 0
        return group.goods + extra, group.bads + extra


@dataclass(frozen=True, slots=True)
class Limits:
    """Fewest rows, goods and bads of a bin."""

    count: int = 1
    goods: int = 0
    bads: int = 0

    def allow(self, group: Group) -> bool:
        return group.count >= self.count and group.goods >= self.goods and group.bads >= self.bads


def join(groups: Sequence[Group]) -> Group:
    codes = tuple(code for group in groups for code in group.codes)
    return Group(codes, sum(g.goods for g in groups), sum(g.bads for g in groups))


def compare_rates(left: Group, right: Group) -> int:
    """Positive if the bad rate rises from left to right, 0 if it is equal or one has no rows."""
    return right.bads * left.count - left.bads * right.count


def pool_violators(groups: Sequence[Group], *, ascending: bool) -> list[Group]:
    """Neighbours merged until the bad rate strictly rises (or falls): the pooled adjacent violators of Ayer et al.
    (1955), with rows as weights and equal rates pooled as well."""
    sign = 1 if ascending else -1
    pooled: list[Group] = []
    for group in groups:
        pooled.append(group)
        while len(pooled) > 1 and sign * compare_rates(pooled[-2], pooled[-1]) <= 0:
            last = pooled.pop()
            pooled[-1] = pooled[-1] + last
    return pooled


def pool_to_turn(groups: Sequence[Group], totals: Totals, *, peak: bool) -> list[Group]:
    """Neighbours merged until the bad rate rises, then falls (``peak``), or the reverse (valley).

    Every turning point is tried; the one with the largest information value is taken, of equal ones the first. It may
    lie at an end: then the rate only rises or only falls.
    """
    tried = [
        _pool_equal(
            pool_violators(groups[:turn], ascending=peak) + pool_violators(groups[turn:], ascending=not peak),
        )
        for turn in range(len(groups) + 1)
    ]
    return max(tried, key=lambda pooled: sum(map(totals.information_value, pooled)))


def split_greedily(
    groups: Sequence[Group], totals: Totals, limits: Limits, max_bins: int, min_gain: float
) -> list[Group]:
    """Starting from one bin, again and again the cut that adds most information value, until there are ``max_bins`` or
    none adds more than ``min_gain``; both sides of every cut keep within the limits."""
    parts = [(list(groups), *_best_cut(groups, totals, limits))]
    while len(parts) < max_bins:
        k = max(range(len(parts)), key=lambda i: parts[i][1])
        part, gain, cut = parts[k]
        if gain <= min_gain:
            break
        parts[k : k + 1] = [(side, *_best_cut(side, totals, limits)) for side in (part[:cut], part[cut:])]
    return [join(part) for part, _, _ in parts]


def merge_small(groups: Sequence[Group], totals: Totals, limits: Limits) -> list[Group]:
    """Bins outside the limits merged with the neighbour of nearest WOE, those with fewest rows first."""
    merged = list(groups)
    while len(merged) > 1:
        small = [i for i, group in enumerate(merged) if not limits.allow(group)]
        if not small:
            break
        i = min(small, key=lambda i: merged[i].count)
        own = totals.woe(merged[i])
        beside = [j for j in (i - 1, i + 1) if 0 <= j < len(merged)]
        _merge_at(merged, min(i, min(beside, key=lambda j: abs(totals.woe(merged[j]) - own))))
    return merged


def merge_to(groups: Sequence[Group], totals: Totals, max_bins: int) -> list[Group]:
    """The pair of neighbours that loses least information value merged, until there are ``max_bins``."""
    merged = list(groups)
    losses = [_loss(a, b, totals) for a, b in pairwise(merged)]
    while len(merged) > max_bins:
        i = min(range(len(losses)), key=losses.__getitem__)
        _merge_at(merged, i)
        del losses[i]
        for k in (i - 1, i):
            if 0 <= k < len(losses):
                losses[k] = _loss(merged[k], merged[k + 1], totals)
    return merged


def merge_disordered(groups: Sequence[Group], totals: Totals) -> list[Group]:
    """Neighbours merged until WOE falls wherever the bad rate rises, and the reverse.

    Without smoothing it always does. A smoothed bin of one class, however, may come out less extreme than its
    neighbour, or differ from one with the same rate.
    """
    merged = list(groups)
    i = 0
    while i + 1 < len(merged):
        rate = compare_rates(merged[i], merged[i + 1])
        woe = totals.woe(merged[i + 1]) - totals.woe(merged[i])
        if (rate > 0 > woe) or (rate < 0 < woe):
            i += 1
        else:
            _merge_at(merged, i)
            i = max(i - 1, 0)
    return merged


def nearest_rate(groups: Sequence[Group], group: Group) -> int:
    """Index of the group whose bad rate is nearest. Pooled with it, ``group`` leaves the order of all rates as it was:
    the new rate lies between the two, and no third one does."""
    rate = group.bads / group.count
    filled = [i for i, g in enumerate(groups) if g.count]
    return min(filled, key=lambda i: abs(groups[i].bads / groups[i].count - rate))


def _merge_at(groups: list[Group], i: int) -> None:
    groups[i : i + 2] = [groups[i] + groups[i + 1]]


def _pool_equal(groups: Sequence[Group]) -> list[Group]:
    pooled: list[Group] = []
    for group in groups:
        if pooled and compare_rates(pooled[-1], group) == 0:
            pooled[-1] = pooled[-1] + group
        else:
            pooled.append(group)
    return pooled


def _best_cut(groups: Sequence[Group], totals: Totals, limits: Limits) -> tuple[float, int]:
    """Gain and place of the best cut; the gain is ``-inf`` if there is none."""
    whole = join(groups)
    before = totals.information_value(whole)
    best, cut, goods, bads = -math.inf, 0, 0, 0
    for i, group in enumerate(groups[:-1], start=1):
        goods, bads = goods + group.goods, bads + group.bads
        left, right = Group((), goods, bads), Group((), whole.goods - goods, whole.bads - bads)
        if left.count and right.count and limits.allow(left) and limits.allow(right):
            gain = totals.information_value(left) + totals.information_value(right) - before
            if gain > best:
                best, cut = gain, i
    return best, cut


def _loss(left: Group, right: Group, totals: Totals) -> float:
    value = totals.information_value
    return value(left) + value(right) - value(left + right)
