"""Prebins: fine bins of each feature, made without labels, so that a party can make them alone.

Codes of one feature: its regular prebins ``0 .. n_regular-1`` as in ``models.binning`` (numeric: ascending intervals
``(cut[b-1], cut[b]]``; category: levels, then one prebin of merged rare levels if there are any), then missing, then
one per special code. ``unseen_code`` follows last: a category level met later, if no prebin of rare levels takes it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from models.binning import MAX_BINS, Codes, FeatureBins, fit_bins
from models.errors import DataError, ModelError
from models.losses import Floats
from models.samples import check_parameter
from models.table import Column, Table, is_category


@dataclass(frozen=True, slots=True, kw_only=True)
class PrebinRules:
    """How fine prebins are.

    Attributes:
        method: numeric columns: intervals with equally many rows, or equally wide between smallest and largest value.
        n_prebins: most regular prebins of a feature, 2 to 253; the levels of a category beyond it are merged.
        min_share: least share of all rows in a regular prebin, 0 to 0.5; narrower intervals are joined to their
            neighbour, rarer levels merged.
        min_count: fewest rows in a regular prebin; the larger of the two applies.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    method: Literal["quantile", "equal_width"] = "quantile"
    n_prebins: int = 20
    min_share: float = 0.01
    min_count: int = 1

    def __post_init__(self) -> None:
        if self.method not in {"quantile", "equal_width"}:
            raise ModelError(
                "bad_parameter",
                f"The prebinning method is '{self.method}'; it must be 'quantile' or 'equal_width'.",
                f"预分箱方法为“{self.method}”，应为 quantile 或 equal_width。",
            )
        for name, low, high in (("n_prebins", 2, MAX_BINS), ("min_share", 0.0, 0.5), ("min_count", 1, 10**9)):
            check_parameter(name, getattr(self, name), low, high)


@dataclass(frozen=True, slots=True)
class Prebins:
    """How one feature becomes prebin codes.

    Attributes:
        bins: regular prebins and missing.
        special_codes: values of a numeric feature that are no measurements (say -999), each with a code of its own,
            compared exactly.

    Raises:
        DataError: ``cut_points_not_finite``, ``cut_points_not_increasing``, ``too_many_prebins``.
    """

    bins: FeatureBins
    special_codes: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        cuts, specials = self.bins.edges, self.special_codes
        if not all(map(math.isfinite, (*cuts, *specials))):
            raise DataError(
                "cut_points_not_finite",
                f"Cut points and special codes of '{self.name}' must be finite numbers.",
                f"“{self.name}”的切点与特殊值应为有限数值。",
            )
        if any(a >= b for a, b in pairwise(cuts)) or len(set(specials)) < len(specials):
            raise DataError(
                "cut_points_not_increasing",
                f"The cut points of '{self.name}' must increase strictly, and no special code may occur twice.",
                f"“{self.name}”的切点应严格递增，特殊值不得重复。",
            )
        if self.n_regular + len(specials) > MAX_BINS:
            raise DataError(
                "too_many_prebins",
                f"'{self.name}' has {self.n_regular} prebins and {len(specials)} special codes; at most {MAX_BINS} "
                "together can be used.",
                f"“{self.name}”有 {self.n_regular} 个预分箱与 {len(specials)} 个特殊值，合计至多 {MAX_BINS} 个。",
            )

    @property
    def name(self) -> str:
        return self.bins.name

    @property
    def n_regular(self) -> int:
        return self.bins.n_regular

    @property
    def n_codes(self) -> int:
        """Regular, missing, special."""
        return self.n_regular + 1 + len(self.special_codes)

    @property
    def unseen_code(self) -> int:
        return self.n_codes

    def encode(self, column: Column) -> Codes:
        """Codes of ``column``, shape ``(n_rows,)``, uint8. Unseen levels join the merged rare ones, else take
        ``unseen_code``. Raises ``ModelError`` if numbers meet a category or the reverse."""
        codes = self.bins.encode(column)
        for k, special in enumerate(self.special_codes):
            codes[np.asarray(column, dtype=np.float64) == special] = self.bins.missing_code + 1 + k
        return codes

    def describe(self, codes: Sequence[int]) -> str:
        """What the rows of these codes have in common: intervals, levels, ``missing``, special codes."""
        return ", ".join([*self._describe_regular([c for c in codes if c < self.n_regular]), *self._apart(codes)])

    def _describe_regular(self, codes: list[int]) -> Iterable[str]:
        if self.bins.category:
            names = [*self.bins.levels, *["other"] * self.bins.has_other]
            return [names[c] for c in codes]
        bounds = [-math.inf, *self.bins.edges, math.inf]
        runs = _runs(codes)
        return [f"({bounds[a]:.10g}, {bounds[b + 1]:.10g}{')' if b + 1 == self.n_regular else ']'}" for a, b in runs]

    def _apart(self, codes: Sequence[int]) -> Iterable[str]:
        names = ["missing", *(f"special {special:.10g}" for special in self.special_codes), "unseen"]
        return [names[c - self.n_regular] for c in codes if c >= self.n_regular]


def fit_prebins(
    table: Table,
    rules: PrebinRules | None = None,
    cut_points: Mapping[str, Sequence[float]] | None = None,
    special_codes: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Prebins, ...]:
    """Prebins for every column of ``table``.

    Args:
        cut_points: column → upper bounds of all but its last prebin, taken as they are instead of being looked for.
        special_codes: column → values to keep apart.

    Raises:
        DataError: a column named there is absent or holds text; cut points that cannot be used (``check_prebins``).
    """
    rules, cut_points, special_codes = rules or PrebinRules(), cut_points or {}, special_codes or {}
    for name in [*cut_points, *special_codes]:
        if name not in table.columns or is_category(table.columns[name]):
            raise DataError(
                "numeric_column_expected",
                f"Cut points or special codes are given for '{name}', which is no numeric column of the table.",
                f"为“{name}”给出了切点或特殊值，但表中没有名为它的数值列。",
            )
    min_rows = max(rules.min_count, math.ceil(rules.min_share * len(table)))
    fitted = []
    for name, column in table.columns.items():
        specials = tuple(map(float, special_codes.get(name, ())))
        if name in cut_points:
            cuts = tuple(map(float, cut_points[name]))
            bins = FeatureBins(name, category=False, edges=cuts, has_missing=_has_missing(column))
        else:
            bins = _fit_regular(name, column, specials, rules, min_rows)
        fitted.append(Prebins(bins, specials))
    prebins = tuple(fitted)
    check_prebins(tuple(p for p in prebins if p.name in cut_points), table.select(tuple(cut_points)))
    return prebins


def check_prebins(prebins: tuple[Prebins, ...], table: Table) -> None:
    """That prebins, say from an edited file, belong to the columns of ``table`` and part its rows.

    Raises:
        DataError: ``prebins_columns`` naming what is missing on either side; ``prebins_column_type``;
            ``cut_points_part_nothing`` if a feature has cut points and all its rows fall into one interval.
    """
    names = {p.name for p in prebins}
    absent, extra = sorted(names - set(table.columns)), sorted(set(table.columns) - names)
    if absent or extra:
        raise DataError(
            "prebins_columns",
            f"Prebins and table differ in their columns. Not in the table: {', '.join(absent) or 'none'}; "
            f"without prebins: {', '.join(extra) or 'none'}.",
            f"预分箱与表的列不一致。表中没有：{'、'.join(absent) or '无'}；没有预分箱：{'、'.join(extra) or '无'}。",
        )
    for p in prebins:
        column = table.columns[p.name]
        if is_category(column) != p.bins.category:
            raise DataError(
                "prebins_column_type",
                f"Prebins and table differ for column '{p.name}': one has numbers, the other text.",
                f"列“{p.name}”在预分箱与数据表中类型不同：一方为数值，另一方为文本。",
            )
        if p.bins.edges and np.count_nonzero(np.bincount(p.encode(column), minlength=p.n_regular)[: p.n_regular]) < 2:
            raise DataError(
                "cut_points_part_nothing",
                f"None of the {len(p.bins.edges)} cut points of '{p.name}' parts its rows. Check their scale.",
                f"“{p.name}”的 {len(p.bins.edges)} 个切点没有一个能区分数据行，请检查量纲。",
            )


def _fit_regular(
    name: str, column: Column, specials: tuple[float, ...], rules: PrebinRules, min_rows: int
) -> FeatureBins:
    if is_category(column):
        return fit_bins(Table((), {name: column}), rules.n_prebins, min_rows, level_cover=0.0)[0]
    values = np.where(np.isin(column, specials), np.nan, np.asarray(column, dtype=np.float64))
    if rules.method == "quantile":
        bins = fit_bins(Table((), {name: values}), rules.n_prebins, min_rows)[0]
        return replace(bins, has_missing=_has_missing(column))
    edges = _equal_width(values[np.isfinite(values)], rules.n_prebins, min_rows)
    return FeatureBins(name, category=False, edges=edges, has_missing=_has_missing(column))


def _equal_width(values: Floats, n_prebins: int, min_rows: int) -> tuple[float, ...]:
    """Cut points between finite values; one is left out where fewer than ``min_rows`` would lie before or after it."""
    if not len(values):
        return ()
    low, high = float(values.min()), float(values.max())
    steps = np.arange(1, n_prebins) / n_prebins
    edges = np.unique(low * (1 - steps) + high * steps)
    before = np.searchsorted(np.sort(values), edges, side="right")
    kept, n_cut = [], 0
    for edge, n_before in zip(edges.tolist(), before.tolist(), strict=True):
        if n_before - n_cut >= min_rows and len(values) - n_before >= min_rows:
            kept.append(edge)
            n_cut = n_before
    return tuple(kept)


def _has_missing(column: Column) -> bool:
    return bool(np.isnan(np.asarray(column, dtype=np.float64)).any())


def _runs(codes: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbouring codes."""
    runs: list[tuple[int, int]] = []
    for code in sorted(codes):
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs
