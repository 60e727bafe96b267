"""Horizontal prebinning, coordinator's half: cut points, then goods and bads per prebin, from counts over sites."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.prebinning.columns import AgreedColumn, counting_prebins
from federation.horizontal.prebinning.grid import ROUNDS, cuts_at, first_bounds, next_bounds
from federation.horizontal.prebinning.messages import Count, Open, Opened, Search
from federation.script import Script
from models.binning import fit_levels
from models.errors import ModelError
from models.losses import Integers
from models.woe.fitting import PrebinCounts
from models.woe.prebins import PrebinRules, Prebins


@dataclass(frozen=True, slots=True)
class Counted:
    """Attributes:
    prebins: of each column, in the order agreed.
    counts: goods and bads per prebin, over all rows of ``contributors``.
    """

    prebins: tuple[Prebins, ...]
    counts: tuple[PrebinCounts, ...]
    contributors: tuple[PartyId, ...]

    @property
    def n_goods(self) -> int:
        return sum(self.counts[0].goods)

    @property
    def n_bads(self) -> int:
        return sum(self.counts[0].bads)


@dataclass(slots=True)
class HorizontalPrebinning:
    """Prebins for columns that all sites have, and their counts.

    Attributes:
        columns: at least one.
        rules: of prebins; ``quantile`` only, as the smallest and largest value are of one applicant each.
        most_rows: of one site.

    Raises:
        ModelError: ``bad_parameter`` for another method.
    """

    aggregation: Aggregation
    columns: tuple[AgreedColumn, ...]
    most_rows: int
    rules: PrebinRules = field(default_factory=PrebinRules)

    def __post_init__(self) -> None:
        if self.rules.method != "quantile":
            raise ModelError(
                "bad_parameter",
                "Sites together can only cut by quantiles: equal widths need the smallest and the largest value.",
                "各站点共同分箱仅支持按分位数切分：等宽切分需要知道最小值与最大值。",
            )

    def fit(self) -> Script[Counted]:
        """Search, then count.

        Raises:
            LocalProtocolError: ``too_few_sites``; ``bad_value`` if counts of two columns are not of as many rows.
            DataError: ``one_class`` if the sites together have no goods or no bads.
        """
        presence = self.aggregation.presence
        opening = Open(columns=tuple(c.fields for c in self.columns), most_rows=self.most_rows, n_rounds=ROUNDS)
        asked = presence.sites
        presence.arrived((yield dict.fromkeys(asked, opening)), asked, Opened)
        cuts = yield from self._search()
        return (yield from self._count(cuts))

    def _search(self) -> Script[list[tuple[int, ...]]]:
        """Cut points of the numeric columns. Each round is over other rows."""
        bounds = [first_bounds() for c in self.columns if not c.category]
        counts: list[Integers] = []
        for k in range(ROUNDS if bounds else 0):
            if counts:
                bounds = [next_bounds(*known, self.rules.n_prebins) for known in zip(bounds, counts, strict=True)]
            request = Search(round=k, bounds=tuple(bounds))
            counts, _ = yield from self._sums(request, [len(places) + 1 for places in bounds])
        found = []
        for places, of_column in zip(bounds, counts, strict=True):
            least = max(self.rules.min_share * int(of_column.sum()), self.rules.min_count / ROUNDS)
            found.append(cuts_at(places, of_column, self.rules.n_prebins, least))
        return found

    def _count(self, cuts: Sequence[tuple[int, ...]]) -> Script[Counted]:
        counted_in = counting_prebins(self.columns, cuts)
        sizes = [p.n_codes for p in counted_in]
        counts, contributors = yield from self._sums(Count(cuts=tuple(cuts)), [*sizes, *sizes])
        goods, bads = counts[: len(sizes)], counts[len(sizes) :]
        n_of = {(int(good.sum()), int(bad.sum())) for good, bad in zip(goods, bads, strict=True)}
        if len(n_of) > 1 or min(int(c.min()) for c in counts) < 0:
            raise LocalProtocolError(
                "bad_value",
                "Counts of the columns are not of as many rows: a site counted something else.",
                "各列计数的总行数不一致：有站点统计有误。",
            )
        pairs = [self._finished(*known) for known in zip(counted_in, goods, bads, strict=True)]
        return Counted(tuple(p for p, _ in pairs), tuple(c for _, c in pairs), contributors)

    def _finished(self, p: Prebins, goods: Integers, bads: Integers) -> tuple[Prebins, PrebinCounts]:
        """Prebins as rows pooled would have them: rare levels merged, missing known to occur or not."""
        n_missing = int((goods + bads)[p.n_regular])
        if not p.bins.category:
            p = replace(p, bins=replace(p.bins, has_missing=n_missing > 0))
            return p, _counts(p, goods, bads)
        n_rows = int((goods + bads).sum())
        levels = p.bins.levels
        of_level = dict(zip(levels, (goods + bads).tolist(), strict=False))
        bins = fit_levels(
            p.name,
            of_level,
            n_missing,
            self.rules.n_prebins,
            max(1, self.rules.min_count, math.ceil(self.rules.min_share * n_rows)),
            level_cover=0.0,
            n_unnamed=int((goods + bads)[len(levels)]),
        )
        merged = Prebins(bins)
        code_of = {level: code for code, level in enumerate(bins.levels)}
        to = [code_of.get(level, len(bins.levels)) for level in levels] + [len(bins.levels), bins.missing_code]
        width = merged.n_codes
        # Where none are merged, levels that no row has go to the code of missing, and add nothing there.
        goods, bads = (np.bincount(to, c, minlength=width).astype(np.int64) for c in (goods, bads))
        return merged, _counts(merged, goods, bads)

    def _sums(
        self, request: Search | Count, sizes: Sequence[int]
    ) -> Script[tuple[list[Integers], tuple[PartyId, ...]]]:
        total = yield from total_in_company(self.aggregation, request, sum(sizes), self.most_rows)
        return np.split(total.values, np.cumsum(sizes)[:-1]), total.contributors


def _counts(p: Prebins, goods: Integers, bads: Integers) -> PrebinCounts:
    return PrebinCounts(p.name, p.n_regular, not p.bins.category, tuple(goods.tolist()), tuple(bads.tolist()))
