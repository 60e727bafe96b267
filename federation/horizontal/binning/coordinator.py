"""Joint bins over sites, coordinator's half: quantiles from sums of counts, of cells that are halved where rows are.

Each round counts rows over all sites per cell of numbers (``models.float_cells``) and looks closer where a cell holds
more than a small share of them, as a search for a quantile by bisection does (Aggarwal, Mishra & Pinkas, "Secure
computation of the kth-ranked element", EUROCRYPT 2004), for all quantiles at once. No value of a row is told, only
counts over sites.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from federation.errors import SiteLeft
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation, Numbers
from federation.horizontal.binning.messages import FIRST_BITS, MORE_BITS, MOST_ROUNDS, CellsWanted, Open, Opened
from federation.script import Script
from models.binning import MAX_BINS, FeatureBins, between, equal_cuts
from models.float_cells import ends_of

#: A cell is looked into if it holds more than this share of a bin's rows.
_SHARE_OF_BIN: Final = 0.25

#: (cell, bits of it) → rows over all sites
Cells = dict[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class Feature:
    """A column of the data standard.

    Attributes:
        levels: of a category, those it may have; others share one bin.
    """

    name: str
    category: bool = False
    levels: tuple[str, ...] = ()


def joint_bins(
    aggregation: Aggregation, features: Sequence[Feature], max_bin: int, most_rows: int, min_rows: int = 20
) -> Script[tuple[FeatureBins, ...]]:
    """Bins of about as many rows each, over all sites.

    Args:
        most_rows: of one site.
        min_rows: fewest rows of a bin over all sites; rarer levels share one. Cells of fewer are not looked into.

    Raises:
        LocalProtocolError: ``too_few_sites``.
    """
    presence = aggregation.presence
    opening = Open(features=tuple((f.name, f.category, f.levels) for f in features), most_rows=most_rows)
    asked = presence.sites
    presence.arrived((yield dict.fromkeys(asked, opening)), asked, Opened)
    sizes = [len(f.levels) + 2 if f.category else (1 << FIRST_BITS) + 1 for f in features]
    coarse = yield from total_in_company(aggregation, CellsWanted(round=0, cells=()), sum(sizes), most_rows)
    counts, contributors = coarse.values, coarse.contributors
    per_feature = np.split(counts, np.cumsum(sizes)[:-1])
    cells: dict[int, Cells] = {
        k: {(cell, FIRST_BITS): n for cell, n in enumerate(found[:-1].tolist()) if n}
        for k, (f, found) in enumerate(zip(features, per_feature, strict=True))
        if not f.category
    }
    least = {k: max(2 * min_rows, int(_SHARE_OF_BIN * sum(of.values()) / max_bin)) for k, of in cells.items()}
    for round_ in range(1, MOST_ROUNDS + 1):
        bits = FIRST_BITS + MORE_BITS * (round_ - 1)
        wanted = {k: _large(of, bits, least[k]) for k, of in cells.items()}
        request = CellsWanted(round=round_, cells=tuple((k, found) for k, found in wanted.items() if found))
        if not request.cells:
            break
        n_values = sum(len(found) for _, found in request.cells) << MORE_BITS
        try:  # beside the counts of before, those of fewer sites would tell those of a site that left
            finer = yield from aggregation.total(
                dict.fromkeys(contributors, request), n_values, most_rows, only=contributors
            )
        except SiteLeft:
            break
        _replace(cells, request, finer.values, bits)
    return tuple(
        _levels(f, found, min_rows) if f.category else _edges(f, cells[k], int(found[-1]), max_bin, min_rows)
        for k, (f, found) in enumerate(zip(features, per_feature, strict=True))
    )


def _large(cells: Mapping[tuple[int, int], int], bits: int, least: int) -> tuple[int, ...]:
    return tuple(sorted(cell for (cell, depth), n in cells.items() if depth == bits and n >= least))


def _replace(cells: dict[int, Cells], request: CellsWanted, finer: Numbers, bits: int) -> None:
    """Put the finer cells in the place of those that were looked into."""
    counts = iter(finer.reshape(-1, 1 << MORE_BITS).tolist())
    for k, found in request.cells:
        for cell in found:
            del cells[k][cell, bits]
            below = enumerate(next(counts), start=cell << MORE_BITS)
            cells[k] |= {(child, bits + MORE_BITS): n for child, n in below if n}


def _edges(feature: Feature, cells: Cells, n_missing: int, max_bin: int, min_rows: int) -> FeatureBins:
    ends = sorted((*ends_of(cell, bits), n) for (cell, bits), n in cells.items())
    cuts = equal_cuts(np.array([n for *_, n in ends], dtype=np.int64), max_bin, min_rows)
    edges = tuple(between(ends[i][1], ends[i + 1][0]) for i in cuts)
    return FeatureBins(feature.name, category=False, edges=edges, has_missing=n_missing > 0)


def _levels(feature: Feature, counts: Numbers, min_rows: int) -> FeatureBins:
    *of_levels, n_other, n_missing = counts.tolist()
    ranked = sorted(zip(of_levels, feature.levels, strict=True), key=lambda pair: (-pair[0], pair[1]))
    kept = [level for n, level in ranked if n >= max(1, min_rows)][: MAX_BINS - 1]
    n_merged = n_other + sum(n for n, level in ranked if level not in kept)
    return FeatureBins(
        feature.name,
        category=True,
        levels=tuple(sorted(kept)),
        has_other=n_merged > 0,
        has_missing=n_missing > 0,
    )
