"""From goods and bads per prebin to final bins and their WOE: all that is chosen is chosen from counts.

So a party that holds labels can choose bins for a feature of which it knows no value. Regular numeric prebins are
merged with their neighbours only. Levels of a category have no order: they are put in order of their bad rate (Fisher
1958), then merged like numbers, so every direction suits them. Missing and special codes stand apart from both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, get_args

import numpy as np

from models.binning import MAX_BINS, Codes
from models.errors import DataError, ModelError
from models.losses import Floats
from models.samples import check_parameter
from models.woe.merging import (
    Group,
    Limits,
    Totals,
    merge_disordered,
    merge_small,
    merge_to,
    nearest_rate,
    pool_to_turn,
    pool_violators,
    split_greedily,
)
from models.woe.prebins import Prebins
from models.woe.tables import BinningTable, Describe, Flag, Note, WoeBins, ranked_auc, tabulate

Method = Literal["as_is", "tree", "ascending", "descending", "auto", "peak", "valley"]
SmallBins = Literal["zero", "merge"]

METHODS: Final[tuple[str, ...]] = get_args(Method)


@dataclass(frozen=True, slots=True, kw_only=True)
class WoeRules:
    """How prebins become bins.

    Attributes:
        method: ``as_is``: every regular prebin is a bin, no limit applies to it. ``tree``: cuts by information value.
            The bad rate ``ascending`` or ``descending`` with the value, ``auto``: whichever has the larger information
            value, ``peak``: first ascending, then descending, ``valley``: the reverse.
        max_bins: most regular bins, 1 to 253; those pairs are merged that lose least information value.
        min_bin_share: least share of all rows in a regular bin, 0 to 0.5.
        min_bin_count: fewest rows in a regular bin; the larger of the two applies.
        min_apart_count: fewest rows with a missing or special code for a WOE of its own.
        min_goods, min_bads: fewest of each in any bin; at 0 a bin of one class may stay, with its WOE smoothed.
        min_gain: ``tree`` only: a cut must add more information value than this, 0 to 100.
        smoothing: added to goods and bads of a bin of one class, above 0 to 100 (``models.woe.merging.Totals``).
        small_bins: a missing or special code with too few rows, goods or bads has WOE ``zero``, or is ``merge``d into
            the regular bin of nearest bad rate. One without any row has WOE 0 in either case.
        unseen_woe: WOE of codes that did not occur, -100 to 100.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    method: Method = "auto"
    max_bins: int = 8
    min_bin_share: float = 0.05
    min_bin_count: int = 1
    min_apart_count: int = 50
    min_goods: int = 0
    min_bads: int = 0
    min_gain: float = 1e-3
    smoothing: float = 0.5
    small_bins: SmallBins = "zero"
    unseen_woe: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("method", METHODS), ("small_bins", get_args(SmallBins))):
            if getattr(self, name) not in choices:
                raise ModelError(
                    "bad_parameter",
                    f"{name} is '{getattr(self, name)}'; it must be one of {', '.join(choices)}.",
                    f"{name} 为“{getattr(self, name)}”，应为 {'、'.join(choices)} 之一。",
                )
        for name, low, high in (
            ("max_bins", 1, MAX_BINS),
            ("min_bin_share", 0.0, 0.5),
            ("min_bin_count", 1, 10**9),
            ("min_apart_count", 1, 10**9),
            ("min_goods", 0, 10**9),
            ("min_bads", 0, 10**9),
            ("min_gain", 0.0, 100.0),
            ("smoothing", 1e-6, 100.0),
            ("unseen_woe", -100.0, 100.0),
        ):
            check_parameter(name, getattr(self, name), low, high)


@dataclass(frozen=True, slots=True)
class PrebinCounts:
    """All that choosing bins needs to know of a feature.

    Attributes:
        name: the feature.
        n_regular: how many of the codes are regular prebins; the later ones are missing and special codes.
        ordered: whether neighbouring codes are neighbouring intervals; if not, they are levels of a category.
        goods, bads: rows with label 0 and 1 per code.

    Raises:
        DataError: ``bad_counts`` if they are negative or do not belong together; ``one_class`` if there are no goods or
            no bads at all.
    """

    name: str
    n_regular: int
    ordered: bool
    goods: tuple[int, ...]
    bads: tuple[int, ...]

    def __post_init__(self) -> None:
        if (
            not 0 <= self.n_regular <= len(self.goods) == len(self.bads)
            or min((*self.goods, *self.bads), default=0) < 0
        ):
            raise DataError(
                "bad_counts",
                f"Goods and bads per prebin of '{self.name}' do not belong together: {len(self.goods)} and "
                f"{len(self.bads)} counts for {self.n_regular} regular prebins, none of which may be negative.",
                f"“{self.name}”各预分箱的好坏样本数不相配：{self.n_regular} 个常规预分箱对应 {len(self.goods)} 与 "
                f"{len(self.bads)} 个计数，且计数不得为负。",
            )
        if not sum(self.goods) or not sum(self.bads):
            raise DataError(
                "one_class",
                f"The label has only one class in the rows of '{self.name}': WOE has no meaning. Use more rows.",
                f"“{self.name}”所用的行只有一个标签类别，WOE 无意义。请使用更多数据行。",
            )

    def groups(self) -> tuple[list[Group], list[Group]]:
        """Each code by itself: the regular ones, and those apart."""
        pairs = zip(self.goods, self.bads, strict=True)
        groups = [Group((code,), goods, bads) for code, (goods, bads) in enumerate(pairs)]
        return groups[: self.n_regular], groups[self.n_regular :]


@dataclass(frozen=True, slots=True)
class FittedWoe:
    """The map from codes to WOE, and what it was chosen from.

    Attributes:
        fine_auc: of ranking by the bad rate of prebins, 0.5 to 1: merging may hide that a feature knows the label.
    """

    bins: WoeBins
    table: BinningTable
    fine_auc: float


def count_prebins(prebins: Prebins, codes: Codes, label: Floats) -> PrebinCounts:
    """Goods and bads per prebin where one party holds both. Unseen levels, if there are any, count as one more code.

    Args:
        codes: of this feature, shape ``(n_rows,)``.
        label: 0 or 1, shape ``(n_rows,)``.

    Raises:
        DataError: ``label_not_binary``; and as ``PrebinCounts``.
    """
    if not np.isin(label, (0, 1)).all():
        raise DataError(
            "label_not_binary",
            "The label must be 0 or 1 in every row. Leave out rows without a known outcome.",
            "每一行的标签都应为 0 或 1，请剔除结果未知的行。",
        )
    goods, bads = (np.bincount(codes[label == y], minlength=prebins.n_codes).tolist() for y in (0, 1))
    n_codes = max(len(goods), len(bads))
    goods, bads = (tuple(c + [0] * (n_codes - len(c))) for c in (goods, bads))
    return PrebinCounts(prebins.name, prebins.n_regular, not prebins.bins.category, goods, bads)


def fit_woe(counts: PrebinCounts, rules: WoeRules | None = None, describe: Describe | None = None) -> FittedWoe:
    """Bins of one feature.

    Args:
        describe: names bins by their prebin codes, as ``Prebins.describe`` does; without it, bins are named by codes.
    """
    rules, describe = rules or WoeRules(), describe or _describe_codes
    if rules.method != "auto":
        return _fit(counts, rules, rules.method, describe)
    both = [_fit(counts, rules, method, describe) for method in ("ascending", "descending")]
    return max(both, key=lambda fitted: fitted.table.information_value)


def _fit(counts: PrebinCounts, rules: WoeRules, method: str, describe: Describe) -> FittedWoe:
    totals = Totals(sum(counts.goods), sum(counts.bads), rules.smoothing)
    single, apart = counts.groups()
    spare: list[Group] = []
    if method == "as_is":
        shaped = groups = single
    else:
        share = math.ceil(rules.min_bin_share * (totals.goods + totals.bads))
        limits = Limits(max(rules.min_bin_count, share), rules.min_goods, rules.min_bads)
        shape = method
        if not counts.ordered:
            single, spare = _by_rate(single)
            shape = "tree" if method == "tree" else "ascending"
        shaped = _shape(single, totals, limits, rules, shape)
        groups = merge_to(merge_small(shaped, totals, limits), totals, rules.max_bins)
    enough = Limits(rules.min_apart_count, rules.min_goods, rules.min_bads)
    if rules.small_bins == "merge" and any(g.count for g in single):
        groups, apart = _attach(groups, apart, enough)
    if method != "as_is":
        groups = merge_disordered(groups, totals)
    finals = [*((g, _note(g)) for g in [*groups, *spare]), *((g, _note(g, enough)) for g in apart)]
    flags = _flags(single, len(shaped), len(groups), counts.ordered and method not in {"as_is", "tree"})
    table = tabulate(counts.name, method, finals, flags, totals, describe)
    bin_of = {code: final for final, (group, _) in enumerate(finals) for code in group.codes}
    woe = tuple(row.woe for row in table.rows if row.woe is not None)
    in_code_order = tuple(bin_of[code] for code in range(len(counts.goods)))
    return FittedWoe(
        WoeBins(counts.name, in_code_order, woe, rules.unseen_woe), table, ranked_auc(counts.goods, counts.bads)
    )


def _by_rate(levels: list[Group]) -> tuple[list[Group], list[Group]]:
    """Levels with rows in order of their bad rate, and those without any."""
    filled = [g for g in levels if g.count]
    return sorted(filled, key=lambda g: (Fraction(g.bads, g.count), g.codes)), [g for g in levels if not g.count]


def _shape(groups: list[Group], totals: Totals, limits: Limits, rules: WoeRules, method: str) -> list[Group]:
    if not groups:
        return []
    match method:
        case "tree":
            return split_greedily(groups, totals, limits, rules.max_bins, rules.min_gain)
        case "peak" | "valley":
            return pool_to_turn(groups, totals, peak=method == "peak")
        case _:
            return pool_violators(groups, ascending=method == "ascending")


def _attach(groups: list[Group], apart: list[Group], limits: Limits) -> tuple[list[Group], list[Group]]:
    """Small codes that stand apart, merged into regular bins; and those that are not small."""
    attached, kept = list(groups), []
    for group in apart:
        if group.count and not limits.allow(group):
            k = nearest_rate(attached, group)
            attached[k] = attached[k] + group
        else:
            kept.append(group)
    return attached, kept


def _note(group: Group, limits: Limits | None = None) -> Note:
    """``limits``: of a code that stands apart."""
    if not group.count:
        return "empty"
    if limits and not limits.allow(group):
        return "small"
    return "smoothed" if group.pure else ""


def _flags(single: list[Group], n_shaped: int, n_bins: int, directed: bool) -> tuple[Flag, ...]:
    filled = [g for g in single if g.count]
    flags: list[Flag] = []
    if not filled:
        flags.append("all_missing")
    elif len(filled) == 1:
        flags.append("constant")
    elif n_bins == 1:
        flags.append("contradicted" if directed and n_shaped == 1 else "one_bin")
    if all(g.pure for g in filled) and any(g.goods for g in filled) and any(g.bads for g in filled):
        flags.append("separates")
    return tuple(flags)


def _describe_codes(codes: Sequence[int]) -> str:
    return "prebins " + ", ".join(map(str, codes))
