"""A master scale from development rows, and what held-out rows say of each grade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab.validation.sample import ScoredSample, ValidationRules
from models.errors import DataError
from models.losses import Floats
from models.samples import need_spread
from models.validation.backtest import (
    HosmerLemeshow,
    binomial_test,
    hosmer_lemeshow,
    jeffreys_test,
    traffic_light,
)
from models.validation.bands import counts_of, joined, sums_of
from models.validation.low_default import prudent_bounds
from models.validation.master_scale import Concentration, MasterScale, concentration, inversions
from models.validation.metrics import Interval
from models.validation.proportions import jeffreys_interval


@dataclass(frozen=True, slots=True)
class GradeRow:
    """One grade, safest first.

    Attributes:
        lower, upper: its default probabilities, ``lower <= p < upper``.
        default_probability: what is said of it.
        n_rows, n_defaults: held-out.
        default_rate: held-out, with its Jeffreys interval; None without rows.
        binomial_p, jeffreys_p: one-sided; small: risk is understated.
        light: of ``jeffreys_p``: ``"green"``, ``"amber"`` (below 0.05), ``"red"`` (below 0.01).
        prudent_bound: upper bound at 90 % by the most prudent principle (Pluto & Tasche 2005).
        development_share, holdout_share: of the rows.
    """

    name: str
    lower: float
    upper: float
    default_probability: float
    n_rows: int
    n_defaults: int
    default_rate: Interval | None
    binomial_p: float
    jeffreys_p: float
    light: str
    prudent_bound: float
    development_share: float
    holdout_share: float


@dataclass(frozen=True, slots=True)
class GradeReport:
    """The scale and its test.

    Attributes:
        scale: JSON of ``models.validation.master_scale``.
        inversions: neighbouring grades (safer, riskier) of which the safer defaulted more often.
        hosmer_lemeshow: over grades, with their stated probabilities' rows.
    """

    scale: dict[str, Any]
    rows: tuple[GradeRow, ...]
    inversions: tuple[tuple[str, str], ...]
    hosmer_lemeshow: HosmerLemeshow
    concentration: Concentration


def grade_report(
    sample: ScoredSample, probability: Floats, rules: ValidationRules, scale: MasterScale | None = None
) -> GradeReport:
    """Grades of ``probability`` (all rows), tested on held-out rows.

    Args:
        scale: the bank's own; None: ``development_scale``.

    Raises:
        DataError: ``constant_score`` or ``too_few_rows``.
    """
    held_out = sample.holdout
    scale = scale or development_scale(probability[~held_out], rules)
    label, p = sample.label[held_out], probability[held_out]
    grade = scale.assign(p)
    n, d = counts_of(label, grade, scale.n_grades)
    developed = np.bincount(scale.assign(probability[~held_out]), minlength=scale.n_grades)
    stated = np.asarray(scale.default_probabilities)
    low, high = jeffreys_interval(n, d)
    binomial, jeffreys, bounds = binomial_test(n, d, stated), jeffreys_test(n, d, stated), prudent_bounds(n, d)
    lights = traffic_light(jeffreys)
    ends = (0.0, *scale.bounds, 1.0)
    rows = tuple(
        GradeRow(
            name=name,
            lower=ends[k],
            upper=ends[k + 1],
            default_probability=float(stated[k]),
            n_rows=int(n[k]),
            n_defaults=int(d[k]),
            default_rate=Interval(float(d[k] / n[k]), float(low[k]), float(high[k])) if n[k] else None,
            binomial_p=float(binomial[k]),
            jeffreys_p=float(jeffreys[k]),
            light=lights[k],
            prudent_bound=float(bounds[k]),
            development_share=float(developed[k] / developed.sum()),
            holdout_share=float(n[k] / n.sum()),
        )
        for k, name in enumerate(scale.names)
    )
    return GradeReport(
        scale=scale.to_json(),
        rows=rows,
        inversions=tuple((scale.names[a], scale.names[b]) for a, b in inversions(n, d)),
        hosmer_lemeshow=hosmer_lemeshow(label, stated[grade], group=grade),
        concentration=concentration(n),
    )


def development_scale(probability: Floats, rules: ValidationRules) -> MasterScale:
    """Grades with bounds that grow by one ratio over the middle 96 % of development rows, small ones joined.

    No label is used: a grade's default probability is the mean probability of its development rows, so held-out
    defaults test the model and not the scale.

    Raises:
        DataError: ``constant_score``, ``too_few_rows``.
    """
    need_spread(probability, "default_probability")
    low, high = np.quantile(probability, [0.02, 0.98])
    bounds = np.unique(np.geomspace(low, high, rules.n_grades + 1)[1:-1])
    grade = np.searchsorted(bounds, probability, side="right")
    n_rows = np.bincount(grade, minlength=len(bounds) + 1)
    least = max(rules.minimum, round(0.02 * len(probability)))
    new = joined(n_rows[None, :], (least,))
    if new[-1] == 0:
        raise DataError(
            "too_few_rows",
            f"The {len(probability)} development rows fill only one grade of {least} rows. Use more rows.",
            f"{len(probability)} 行开发样本仅够一个等级（每级至少 {least} 行）。请使用更多数据行。",
        )
    sums = sums_of(probability, new[grade], int(new[-1]) + 1)
    means = sums / np.bincount(new[grade], minlength=len(sums))
    names = tuple(f"G{k + 1}" for k in range(len(means)))
    return MasterScale(names, tuple(map(float, bounds[np.flatnonzero(np.diff(new))])), tuple(map(float, means)))
