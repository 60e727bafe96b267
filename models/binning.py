"""From raw columns to small integer codes: quantile bins, category levels, and a code of its own for missing values.

Codes of one feature: ``0 .. n_regular-1`` are its regular bins (numeric: ascending intervals ``(edge[b-1], edge[b]]``;
category: levels, then one bin of merged rare levels if there are any), ``n_regular`` is missing, ``n_regular + 1`` a
level never seen in training. Equal-frequency binning follows LightGBM (Ke et al. 2017): values with many rows stand
alone, and the others are cut where the running count reaches the mean of what is left. So with levels: 99 in 100 rows
have one with a bin of its own, even beyond ``max_bin``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.errors import ModelError
from models.losses import Integers
from models.table import Column, Table, is_category

Codes = NDArray[np.uint8]

MAX_FLOAT: Final = float(np.finfo(np.float64).max)
MAX_BINS: Final = 253  # codes, missing and unseen fit one byte
LEVEL_COVER: Final = 0.99  # LightGBM's


@dataclass(frozen=True)
class FeatureBins:
    """How one feature becomes codes. Exactly one of ``edges`` and ``levels`` has a meaning, as ``category`` says.

    Attributes:
        edges: ascending upper bounds of all but the last numeric bin.
        levels: category levels with a bin of their own.
        has_other: whether rarer levels share one more bin; unseen levels then fall into it.
        has_missing: whether rows used for fitting had missing values, so that missing has a bin with rows in it.
    """

    name: str
    category: bool
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    has_other: bool = False
    has_missing: bool = False

    @property
    def n_regular(self) -> int:
        return len(self.levels) + self.has_other if self.category else len(self.edges) + 1

    @property
    def n_bins(self) -> int:
        """Bins that can hold rows in training: the regular ones, and missing if it occurred."""
        return self.n_regular + self.has_missing

    @property
    def missing_code(self) -> int:
        return self.n_regular

    def encode(self, column: Column) -> Codes:
        """Codes of ``column``, shape ``(n_rows,)``. Raises ``ModelError`` if numbers meet a category or the reverse."""
        if is_category(column) != self.category:
            expected_en, expected_zh = ("text", "文本") if self.category else ("numbers", "数值")
            raise ModelError(
                "wrong_column_type",
                f"Column '{self.name}' should hold {expected_en}, as it did in training.",
                f"列“{self.name}”应为{expected_zh}，与训练时一致。",
            )
        if not self.category:
            values = np.asarray(column, dtype=np.float64)
            codes = np.searchsorted(self._edges, values, side="left")
            codes[np.isnan(values)] = self.missing_code
            return codes.astype(np.uint8)
        return np.array([self._code_of.get(v, self._unseen) for v in column], dtype=np.uint8)

    def code(self, column: Column) -> int:
        """As ``encode``, of a column of one row: the same code, without what only many rows are worth."""
        if is_category(column) != self.category:
            return int(self.encode(column)[0])  # which raises
        if self.category:
            return self._code_of.get(column[0], self._unseen)
        value = float(column[0])
        return self.missing_code if value != value else bisect_left(self.edges, value)

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        return np.asarray(self.edges, dtype=np.float64)

    @cached_property
    def _code_of(self) -> dict[str | None, int]:
        return {None: self.missing_code, **{level: code for code, level in enumerate(self.levels)}}

    @property
    def _unseen(self) -> int:
        return len(self.levels) if self.has_other else self.n_regular + 1


def fit_bins(
    table: Table, max_bin: int, min_rows: int = 1, *, level_cover: float = LEVEL_COVER
) -> tuple[FeatureBins, ...]:
    """Bins for every column of ``table``.

    Args:
        max_bin: most regular bins of a feature, 2 to 253; a category may have more, as ``level_cover`` says.
        min_rows: fewest rows in a regular bin; rarer levels are merged, narrow intervals joined to their neighbour.
        level_cover: levels have bins of their own until this share of the rows that have any is covered, though
            ``max_bin`` is passed (253 never is); 0: ``max_bin`` holds for levels too.
    """
    if not 2 <= max_bin <= MAX_BINS:
        raise ModelError(
            "bad_parameter",
            f"max_bin is {max_bin}; it must lie between 2 and {MAX_BINS}.",
            f"max_bin 为 {max_bin}，应在 2 到 {MAX_BINS} 之间。",
        )
    least = max(1, min_rows)
    return tuple(
        _fit_levels(name, c, max_bin, least, level_cover) if is_category(c) else _fit_edges(name, c, max_bin, least)
        for name, c in table.columns.items()
    )


def encode(table: Table, bins: tuple[FeatureBins, ...]) -> Codes:
    """Codes of the binned features, shape ``(n_features, n_rows)``, uint8."""
    if not bins:
        return np.empty((0, len(table)), dtype=np.uint8)
    return np.stack([b.encode(table.columns[b.name]) for b in bins])


def _fit_edges(name: str, column: Column, max_bin: int, min_rows: int) -> FeatureBins:
    values = np.asarray(column, dtype=np.float64)
    missing = np.isnan(values)
    distinct, counts = np.unique(values[~missing], return_counts=True)
    cuts = equal_cuts(counts, max_bin, min_rows)
    edges = [between(distinct[i], distinct[i + 1]) for i in cuts]
    return FeatureBins(name, category=False, edges=tuple(edges), has_missing=bool(missing.any()))


def equal_cuts(counts: Integers, max_bin: int, min_rows: int = 1) -> list[int]:
    """Where ascending values, or cells of values, are cut into bins of about as many rows each.

    Args:
        counts: rows of each, above 0, shape ``(n_values,)``.

    Returns:
        Positions; each bin but the last ends with the value at one of them.
    """
    # A value with an even share of the rows has a bin of its own, as in LightGBM: the others share what is left.
    n_rows = int(counts.sum())
    alone = counts >= (1 if len(counts) <= max_bin else n_rows / max_bin)
    rows_left, bins_left = n_rows - int(counts[alone].sum()), max_bin - int(alone.sum())
    cuts: list[int] = []
    in_bin, behind = 0, n_rows
    wanted = rows_left / max(1, bins_left)
    for i, count in enumerate(counts[:-1].tolist()):
        in_bin += count
        behind -= count
        if not alone[i]:
            rows_left -= count
        full = alone[i] or in_bin >= wanted or (alone[i + 1] and in_bin >= wanted / 2)
        if full and min(in_bin, behind) >= min_rows and len(cuts) < max_bin - 1:
            cuts.append(i)
            in_bin = 0
            if not alone[i]:
                bins_left -= 1
                wanted = rows_left / max(1, bins_left)
    return cuts


def between(low: float, high: float) -> float:
    """A number with ``low <= number < high``, halfway where floats allow."""
    low = max(float(low), -MAX_FLOAT)
    middle = float(low / 2 + high / 2)
    return middle if low <= middle < high else low


def _fit_levels(name: str, column: Column, max_bin: int, min_rows: int, cover: float) -> FeatureBins:
    counts = Counter(column)
    n_missing = counts.pop(None, 0)
    return fit_levels(name, counts, n_missing, max_bin, min_rows, level_cover=cover)


def fit_levels(
    name: str,
    counts: Mapping[str, int],
    n_missing: int,
    max_bin: int,
    min_rows: int,
    *,
    level_cover: float = LEVEL_COVER,
    n_unnamed: int = 0,
) -> FeatureBins:
    """Bins of a category of which only counts are known.

    Args:
        counts: level → rows.
        max_bin, min_rows, level_cover: as ``fit_bins``; ``min_rows`` at least 1.
        n_unnamed: rows with other levels, which share a bin with the rare ones.
    """
    order = sorted((level for level in counts if counts[level]), key=lambda level: (-counts[level], level))
    n_present = sum(counts.values()) + n_unnamed
    kept = [level for level in order if counts[level] >= min_rows]
    if len(kept) > max_bin or len(kept) < len(order) or n_unnamed:
        covered = np.cumsum([counts[level] for level in kept])
        n_covering = int(np.searchsorted(covered, level_cover * n_present)) + 1 if level_cover else 0
        kept = kept[: min(max(max_bin - 1, n_covering), MAX_BINS - 1)]
    while kept and 0 < n_present - sum(counts[level] for level in kept) < min_rows:
        kept.pop()  # the merged rare levels must fill a bin, too
    return FeatureBins(
        name,
        category=True,
        levels=tuple(sorted(kept)),
        has_other=len(kept) < len(order) or n_unnamed > 0,
        has_missing=n_missing > 0,
    )
