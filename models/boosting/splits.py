"""Ways to cut a node in two, the rows each puts left, and what each gains.

A feature with ``B`` regular bins offers: numeric, ``code <= t`` for every ``t`` (missing right, and once more missing
left where missing occurs, and "missing against all"); category, ``code == level`` one against the rest, and where there
are many levels, sets of them (``models.boosting.sets``). All candidates of a party stand in one list, ordered by
feature, threshold, direction: that order settles ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.binning import Codes, FeatureBins
from models.errors import DataError
from models.losses import Floats, Integers

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Split:
    """One cut, in terms of codes.

    Attributes:
        feature: index of the feature among its owner's.
        code: numeric: rows with ``code <= this`` go left; category: rows with ``code == this``.
        missing_left: numeric only: where rows with a missing value go.
        also: category only: further codes that go left.
    """

    feature: int
    code: int
    missing_left: bool
    also: tuple[int, ...] = ()


def goes_left(split: Split, bins: FeatureBins, codes: Codes) -> Mask:
    """Which rows go left. ``codes``: of this feature, shape ``(n_rows,)``. Unseen levels go right."""
    if bins.category:
        return np.isin(codes, (split.code, *split.also))
    left: Mask = codes <= split.code
    missing: Mask = codes == bins.missing_code
    return left | missing if split.missing_left else left & ~missing


def default_side(split: Split, bins: FeatureBins, codes: Codes) -> Split:
    """``split`` with missing sent to the larger side, if none of the node's fitted rows (``codes``) is missing."""
    if bins.category or bool((codes == bins.missing_code).any()):
        return split
    n_left = int((codes <= split.code).sum())
    return replace(split, missing_left=2 * n_left > len(codes))


@dataclass(frozen=True, slots=True)
class Candidates:
    """All candidates of one party's features, over its bins laid end to end (``n_bins`` in all).

    Feature ``f`` has the bins ``starts[f] .. starts[f] + bins[f].n_bins - 1``. The left side of candidate ``j`` holds
    the bins ``first[j] .. last[j]`` and, if not -1, the bin ``missing[j]``.
    """

    bins: tuple[FeatureBins, ...]
    splits: tuple[Split, ...] = field(init=False)
    starts: NDArray[np.intp] = field(init=False)
    first: NDArray[np.intp] = field(init=False)
    last: NDArray[np.intp] = field(init=False)
    missing: NDArray[np.intp] = field(init=False)

    def __post_init__(self) -> None:
        starts = np.concatenate([[0], np.cumsum([b.n_bins for b in self.bins])]).astype(np.intp)
        splits = [s for f, b in enumerate(self.bins) for s in _splits_of(f, b)]
        start = np.array([starts[s.feature] for s in splits], dtype=np.intp)
        code = np.array([s.code for s in splits], dtype=np.intp)
        category = np.array([self.bins[s.feature].category for s in splits], dtype=bool)
        missing_bin = np.array([starts[s.feature] + self.bins[s.feature].missing_code for s in splits], dtype=np.intp)
        missing_left = np.array([s.missing_left for s in splits], dtype=bool)
        for name, value in (
            ("splits", tuple(splits)),
            ("starts", starts),
            ("first", np.where(category, start + code, start)),
            ("last", start + code),
            ("missing", np.where(missing_left, missing_bin, -1)),
        ):
            object.__setattr__(self, name, value)

    @property
    def n_bins(self) -> int:
        return int(self.starts[-1])

    def __len__(self) -> int:
        return len(self.splits)

    def of(self, features: Sequence[int]) -> Mask:
        """Which candidates belong to these features."""
        return np.isin([s.feature for s in self.splits], list(features))

    def categories(self, max_cat_to_onehot: int) -> Integers:
        """Of every candidate: 0 if it is offered by itself, else a number above 0 that it shares with all levels of its
        category, which are offered as sets. As LightGBM does, a category is if it has ``max_cat_to_onehot`` levels or
        more, merged and missing ones counted."""
        many = np.array([f + 1 if b.category and b.n_bins >= max_cat_to_onehot else 0 for f, b in enumerate(self.bins)])
        return np.array([many[s.feature] for s in self.splits], dtype=np.int64)

    def flat(self, codes: Codes) -> NDArray[np.intp]:
        """Positions among all bins, shape ``(n_features, n_rows)``, of codes as ``binning.encode`` gives them."""
        flat: NDArray[np.intp] = codes + self.starts[:-1, None]
        return flat

    def left(self, per_bin: Integers) -> Integers:
        """Left side of every candidate, from any integer per bin (counts, sums): shape ``(n_candidates,)``."""
        running = np.concatenate([[0], np.cumsum(per_bin)])
        inside: Integers = running[self.last + 1] - running[self.first]
        return np.add(inside, np.where(self.missing >= 0, per_bin[self.missing], 0))


def _splits_of(feature: int, bins: FeatureBins) -> list[Split]:
    if bins.category:
        return [Split(feature, code, False) for code in range(bins.n_bins)]
    splits = []
    for code in range(bins.n_regular):
        last = code == bins.n_regular - 1
        if not last or bins.has_missing:
            splits.append(Split(feature, code, False))
        if not last and bins.has_missing:
            splits.append(Split(feature, code, True))
    return splits


@dataclass(frozen=True, slots=True)
class SplitRules:
    """What a cut must satisfy, under LightGBM's names."""

    reg_lambda: float
    min_split_gain: float
    min_child_weight: float


#: Least and greatest value of a node, before shrinking.
Bounds = tuple[float, float]
FREE: Final[Bounds] = (-math.inf, math.inf)
#: Per candidate: 1 if the right side must not lie below the left, -1 if not above it, 0 if either may be.
Directions = NDArray[np.int8]


def gains(
    g_left: Integers,
    h_left: Integers,
    g_all: int,
    h_all: int,
    units: tuple[float, float],
    rules: SplitRules,
    directions: Directions | None = None,
    bounds: Bounds = FREE,
    cat_l2: float = 0.0,
) -> Floats:
    """Gain of each cut: Chen & Guestrin (2016), eq. 7, without the factor 1/2; -inf where ``rules`` forbid it.

    Args:
        g_left, h_left: fixed-point sums of the left sides.
        g_all, h_all: the same of the whole node.
        units: what one unit of g and of h stands for.
        directions: a cut whose sides lie the other way is forbidden.
        bounds: of the node's values; a cut gains less where they hold a side back (LightGBM's monotone constraints,
            method "basic").
        cat_l2: L2 penalty on the values of both sides, besides ``reg_lambda``.
    """
    g_unit, h_unit = units
    gl, hl = g_left * g_unit, h_left * h_unit
    gr, hr = (g_all - g_left) * g_unit, (h_all - h_left) * h_unit
    g, h = g_all * g_unit, h_all * h_unit
    lam = rules.reg_lambda + cat_l2
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = np.float64(g * g) / (h + rules.reg_lambda)
        gain: Floats = gl * gl / (hl + lam) + gr * gr / (hr + lam) - whole
        if bounds != FREE or (directions is not None and directions.any()):
            values = np.stack([-gl / (hl + lam), -gr / (hr + lam)])
            left, right = kept = np.clip(values, *bounds)
            given = -(2 * gl * left + (hl + lam) * left**2) - (2 * gr * right + (hr + lam) * right**2)
            gain = np.where((kept == values).all(axis=0), gain, given - whole)
            if directions is not None:
                gain = np.where(directions * (left - right) > 0, -np.inf, gain)
    allowed = (np.minimum(hl, hr) >= rules.min_child_weight) & (np.minimum(hl, hr) > 0) & (gain > rules.min_split_gain)
    return np.where(allowed, gain, -np.inf)


def leaf_value(g_all: float, h_all: float, reg_lambda: float, learning_rate: float, bounds: Bounds = FREE) -> float:
    """Newton step of a leaf: Chen & Guestrin (2016), eq. 5, shrunken. ``g_all``, ``h_all``: sums in real numbers."""
    if bounds == FREE:
        return -learning_rate * g_all / (h_all + reg_lambda)
    return learning_rate * min(max(-g_all / (h_all + reg_lambda), bounds[0]), bounds[1])


def bounds_below(left: float, right: float, direction: int, bounds: Bounds) -> tuple[Bounds, Bounds]:
    """Bounds of both children of a cut: where it has a direction, neither may pass the middle of their values."""
    if not direction:
        return bounds, bounds
    middle = (left + right) / 2
    low, high = (bounds[0], min(bounds[1], middle)), (max(bounds[0], middle), bounds[1])
    return (low, high) if direction > 0 else (high, low)


def directions_of(candidates: Candidates, wanted: Mapping[str, int]) -> Directions:
    """Direction of every candidate.

    Args:
        wanted: feature → 1 if predictions must rise with it, -1 if they must fall.

    Raises:
        DataError: ``monotone_constraints`` for a name that is no feature, or a category.
    """
    by_name = {b.name: b for b in candidates.bins}
    wrong = [name for name in wanted if name not in by_name or by_name[name].category]
    if wrong:
        raise DataError(
            "monotone_constraints",
            f"monotone_constraints names what is no numeric feature of this party: {', '.join(wrong)}.",
            f"monotone_constraints 中有并非本方数值特征的名称：{'、'.join(wrong)}。",
        )
    of_feature = [wanted.get(b.name, 0) for b in candidates.bins]
    return np.array([of_feature[s.feature] for s in candidates.splits], dtype=np.int8)


def best_of(candidate_gains: Sequence[Floats]) -> tuple[int, tuple[int, ...]]:
    """The party with the best candidate and all of its candidates that tie for it; ``(-1, ())`` if none may be used.

    Earlier parties win ties between parties; ties within a party are its own to settle, so that a shuffled order of
    candidates cannot change the model.
    """
    tops = [float(np.max(g, initial=-np.inf)) for g in candidate_gains]
    party = int(np.argmax(tops)) if tops else -1
    if party < 0 or tops[party] == -np.inf:
        return -1, ()
    return party, tuple(int(j) for j in np.flatnonzero(candidate_gains[party] == tops[party]))
