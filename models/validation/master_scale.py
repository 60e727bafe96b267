"""Grades of default probability: their bounds, how rows get them, and how they are built from a scored sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from models.errors import ModelError
from models.losses import Floats, Integers
from models.samples import (
    check_parameter,
    checked_cells,
    checked_counts,
    checked_label,
    checked_probability,
    need_both_classes,
    need_rows,
    need_spread,
)
from models.validation.bands import counts_of, joined, ranked_bands

FORMAT: Final = 1
MAX_GRADES: Final = 100


@dataclass(frozen=True, slots=True)
class MasterScale:
    """Grades from safest to riskiest.

    Attributes:
        names: one per grade, all different.
        bounds: where each grade but the first begins, rising, in (0, 1): grade ``k`` holds
            ``bounds[k - 1] <= default_probability < bounds[k]``.
        default_probabilities: what is said of each grade, in (0, 1), rising.

    Raises:
        ModelError: ``bad_master_scale`` if any of this does not hold.
    """

    names: tuple[str, ...]
    bounds: tuple[float, ...]
    default_probabilities: tuple[float, ...]

    def __post_init__(self) -> None:
        texts = all(isinstance(name, str) and name for name in self.names)
        lengths = len(self.names) == len(self.bounds) + 1 == len(self.default_probabilities)
        if not (texts and lengths and len(set(self.names)) == len(self.names)):
            raise _unsound("names, bounds and probabilities do not belong together", "名称、边界与概率不匹配")
        if not (_rising(self.bounds) and _rising(self.default_probabilities)):
            raise _unsound("bounds or probabilities do not rise within (0, 1)", "边界或概率未在 (0, 1) 内递增")

    @property
    def n_grades(self) -> int:
        return len(self.names)

    def assign(self, probability: ArrayLike) -> Integers:
        """Grade of each row, ``0 .. n_grades - 1``, int64, shape ``(n_rows,)``."""
        p = checked_probability(probability)
        return np.searchsorted(np.asarray(self.bounds), p, side="right").astype(np.int64)

    def counts(self, label: ArrayLike, probability: ArrayLike) -> tuple[Integers, Integers]:
        """Rows and defaults per grade, int64, shape ``(n_grades,)`` each."""
        y = checked_label(label)
        return counts_of(y, self.assign(checked_probability(probability, len(y))), self.n_grades)

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "names": list(self.names),
            "bounds": list(self.bounds),
            "default_probabilities": list(self.default_probabilities),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MasterScale:
        """Raises ``ModelError`` ``master_scale_unreadable`` or ``bad_master_scale``."""
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise _unreadable()
        try:
            return cls(tuple(data["names"]), tuple(data["bounds"]), tuple(data["default_probabilities"]))
        except (KeyError, TypeError) as error:
            raise _unreadable() from error


@dataclass(frozen=True, slots=True)
class Concentration:
    """How unevenly rows fall into grades.

    Attributes:
        herfindahl: sum of squared shares, from 1 / n_grades (even) to 1 (all in one).
        normalised: the same stretched to [0, 1].
        largest_share: share of the fullest grade.
    """

    herfindahl: float
    normalised: float
    largest_share: float


def geometric_scale(probability: ArrayLike, n_grades: int) -> MasterScale:
    """Grades whose bounds grow by one ratio, over the range of a scored sample.

    A grade's default probability is the geometric middle of its ends, the sample's extremes for the outermost.

    Args:
        probability: in (0, 1), shape ``(n_rows,)``, not all the same.
        n_grades: 2 to 100.
    """
    check_parameter("n_grades", n_grades, 2, MAX_GRADES)
    p = checked_probability(probability, inside=True)
    need_spread(p, "default_probability")
    ends = np.geomspace(p.min(), p.max(), n_grades + 1)
    return _scale(ends[1:-1], np.sqrt(ends[:-1] * ends[1:]))


def merged_scale(
    label: ArrayLike,
    probability: ArrayLike,
    *,
    min_rows: int,
    min_defaults: int = 1,
    max_grades: int = 20,
) -> MasterScale:
    """Grades from the sample's own default rates, which rise from grade to grade.

    ``max_grades`` bands of about equal number are joined until each has the minimum of rows and of defaults, then
    neighbours whose default rates do not rise are pooled (pool adjacent violators: Ayer et al. 1955). A grade's default
    probability is its default rate in the sample.

    Args:
        label: in {0, 1}, shape ``(n_rows,)``, both classes.
        probability: in [0, 1], same shape; what grades will be assigned by.
        min_rows, min_defaults: least of each in a grade, 1 or more. Grades need non-defaults, too: one is asked for.
        max_grades: bands to begin with, 1 to 100.

    Raises:
        DataError: ``one_class``, or ``too_few_rows`` if all rows together miss a minimum.
    """
    check_parameter("min_rows", min_rows, 1, 10**12)
    check_parameter("min_defaults", min_defaults, 1, 10**12)
    check_parameter("max_grades", max_grades, 1, MAX_GRADES)
    y = checked_label(label)
    p = checked_probability(probability, len(y))
    need_both_classes(y)
    band = ranked_bands(p, max_grades)
    n, d = counts_of(y, band, max_grades)
    band = joined(np.stack([n, d, n - d]), (min_rows, min_defaults, 1))[band]
    n, d = counts_of(y, band, int(band.max()) + 1)
    grade = _pooled(n.tolist(), d.tolist())[band]
    n, d = counts_of(y, grade, int(grade.max()) + 1)
    lowest = np.array([p[grade == k].min() for k in range(1, len(n))])
    highest = np.array([p[grade == k].max() for k in range(len(n) - 1)])
    middle = (lowest + highest) / 2.0
    return _scale(np.where(middle > highest, middle, lowest), d / n)


def inversions(n_rows: ArrayLike, n_defaults: ArrayLike) -> tuple[tuple[int, int], ...]:
    """Neighbouring grades (safer, riskier) of which the safer defaulted more often; empty grades are passed over.

    Empty if default rates never fall from the safest to the riskiest grade. A fall may be chance: see ``backtest``.
    """
    n, d = checked_cells(n_rows, n_defaults)
    filled = np.flatnonzero(n)
    return tuple((int(a), int(b)) for a, b in pairwise(filled) if int(d[a]) * int(n[b]) > int(d[b]) * int(n[a]))


def concentration(n_rows: ArrayLike) -> Concentration:
    """Herfindahl index of rows per grade (Hirschman 1964); ``n_rows`` has shape ``(n_grades,)`` and is not all zero."""
    n = checked_counts(n_rows)
    need_rows(n)
    share = n / n.sum()
    index = float(share @ share)
    even = 1.0 / len(n)
    normalised = (index - even) / (1.0 - even) if len(n) > 1 else 1.0
    return Concentration(index, max(0.0, normalised), float(share.max()))


def _pooled(n_rows: list[int], n_defaults: list[int]) -> Integers:
    """Pool of each band so that default rates rise; in whole numbers, so that no rounding parts equal rates."""
    pools: list[tuple[int, int, int]] = []  # rows, defaults, bands
    for rows, defaults in zip(n_rows, n_defaults, strict=True):
        n, d, k = rows, defaults, 1
        while pools and pools[-1][1] * n >= d * pools[-1][0]:
            n, d, k = n + pools[-1][0], d + pools[-1][1], k + pools.pop()[2]
        pools.append((n, d, k))
    return np.repeat(np.arange(len(pools), dtype=np.int64), [k for _, _, k in pools])


def _scale(bounds: Floats, probabilities: Floats) -> MasterScale:
    width = len(str(len(probabilities)))
    names = tuple(f"G{k + 1:0{width}d}" for k in range(len(probabilities)))
    return MasterScale(names, tuple(map(float, bounds)), tuple(map(float, probabilities)))


def _rising(values: tuple[float, ...]) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) and 0.0 < v < 1.0 for v in values)
    return numbers and all(a < b for a, b in pairwise(values))


def _unsound(english: str, chinese: str) -> ModelError:
    return ModelError(
        "bad_master_scale",
        f"The master scale cannot be used: {english}. Build it again.",
        f"主标尺不可用：{chinese}。请重新构建。",
    )


def _unreadable() -> ModelError:
    return ModelError(
        "master_scale_unreadable",
        f"The stored master scale is damaged or of another format; this release reads format {FORMAT}. Build it again.",
        f"主标尺文件损坏或格式不符，本版本读取格式 {FORMAT}。请重新构建。",
    )
