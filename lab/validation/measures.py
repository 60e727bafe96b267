"""The parts of a pack that need no calibrator: separation, comparison with the bank alone, periods, groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.validation.notes import Notes
from lab.validation.sample import ScoredSample, ValidationRules
from models.losses import Floats, Integers
from models.validation.bands import ranked_bands
from models.validation.decisions import ApprovalGain, SwapSet, approval_gain, swap_set
from models.validation.discrimination import AucGain, auc_gain, auc_interval, capture_at, lift_at
from models.validation.fairness import GroupReport, group_reports
from models.validation.metrics import Interval, auc_of_counts, bootstrap, bootstrap_gain, ks_of_counts
from models.validation.proportions import proportion

#: More distinct periods than this are shown in bands of about equal number.
MAX_PERIODS: Final = 12


@dataclass(frozen=True, slots=True)
class Separation:
    """How well margins separate the rows of one part.

    Attributes:
        auc, gini: with DeLong's intervals; None with fewer than two defaults or others.
        auc_bootstrap, ks: with bootstrap intervals.
        capture, lift: of the riskiest tenth: share of all defaults in it; its default rate over that of all.
    """

    n_rows: int
    n_defaults: int
    default_rate: Interval
    auc: Interval | None
    gini: Interval | None
    auc_bootstrap: Interval
    ks: Interval
    capture: float
    lift: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Against a reference such as the bank alone, on the same held-out rows.

    Attributes:
        reference: separation of the reference.
        auc: DeLong's test of the difference; None where it cannot be made.
        ks: difference with its paired bootstrap interval.
        swap_set, approval: at the approval rate of the rules.
    """

    reference: Separation
    auc: AucGain | None
    ks: Interval
    swap_set: SwapSet
    approval: ApprovalGain


@dataclass(frozen=True, slots=True)
class Vintage:
    """Rows of one period and part; all after ``n_rows`` is None with fewer rows than the minimum.

    Attributes:
        period: its number, or the first and last of a band.
        part: ``"development"`` or ``"holdout"``; on development rows separation and fit flatter the model.
        expected_rate: mean default probability.
        auc: DeLong; None, too, with too few of a class.
    """

    period: str
    part: str
    n_rows: int
    default_rate: Interval | None = None
    expected_rate: float | None = None
    auc: Interval | None = None


def separation(
    label: Floats, margin: Floats, rules: ValidationRules, seed: int, notes: Notes, n_resamples: int | None = None
) -> Separation:
    """Of any rows with both classes; ``n_resamples`` in place of the rules'."""
    n = n_resamples or rules.n_resamples
    delong = notes.tried(lambda: auc_interval(label, margin))
    return Separation(
        n_rows=len(label),
        n_defaults=int(label.sum()),
        default_rate=proportion(len(label), int(label.sum())),
        auc=delong,
        gini=Interval(*(2.0 * v - 1.0 for v in (delong.value, delong.low, delong.high))) if delong else None,
        auc_bootstrap=bootstrap(label, margin, auc_of_counts, seed=seed, n_resamples=n),
        ks=bootstrap(label, margin, ks_of_counts, seed=seed, n_resamples=n),
        capture=capture_at(label, margin, 0.1),
        lift=lift_at(label, margin, 0.1),
    )


def comparison(
    label: Floats, margin: Floats, reference: Floats, rules: ValidationRules, seed: int, notes: Notes
) -> Comparison:
    """Of held-out rows."""
    n, rate = rules.n_resamples, rules.approval_rate
    return Comparison(
        reference=separation(label, reference, rules, seed, notes),
        auc=notes.tried(lambda: auc_gain(label, margin, reference)),
        ks=bootstrap_gain(label, margin, reference, ks_of_counts, seed=seed, n_resamples=n),
        swap_set=swap_set(label, margin, reference, rate),
        approval=approval_gain(label, margin, reference, rate, seed=seed, n_resamples=n),
    )


def vintages(sample: ScoredSample, probability: Floats, rules: ValidationRules) -> tuple[Vintage, ...]:
    """One row per period and part, in order of time; none without periods."""
    if sample.period is None:
        return ()
    names, number = _periods(sample.period)
    rows = []
    for k, name in enumerate(names):
        for part, inside in (("development", ~sample.holdout), ("holdout", sample.holdout)):
            here = (number == k) & inside
            if here.any():
                rows.append(_vintage(name, part, sample.label[here], sample.margin[here], probability[here], rules))
    return tuple(rows)


def fairness(
    label: Floats, margin: Floats, group: Sequence[str] | NDArray[Any], rules: ValidationRules
) -> tuple[GroupReport, ...]:
    """Reports of held-out groups at the approval rate of the rules; ``margin`` is calibrated.

    If one group alone were suppressed, totals would tell its numbers: the smallest one shown is then suppressed, too.
    """
    approved = np.zeros(len(label))
    approved[np.argsort(margin, kind="stable")[: round(rules.approval_rate * len(label))]] = 1.0
    reports = group_reports(
        label, margin, approved, group, minimum=rules.minimum, minimum_per_class=rules.minimum_per_class
    )
    shown = [r for r in reports if not r.suppressed]
    if len(shown) == len(reports) - 1 and shown:
        smallest = min(shown, key=lambda r: r.n_rows or 0)
        reports = tuple(GroupReport(r.name, suppressed=True) if r is smallest else r for r in reports)
    return reports


def _vintage(
    name: str, part: str, label: Floats, margin: Floats, probability: Floats, rules: ValidationRules
) -> Vintage:
    vintage = Vintage(name, part, len(label))
    if len(label) < rules.minimum:
        return vintage
    enough = min(label.sum(), len(label) - label.sum()) >= rules.minimum_per_class
    return replace(
        vintage,
        default_rate=proportion(len(label), int(label.sum())),
        expected_rate=float(probability.mean()),
        auc=auc_interval(label, margin) if enough else None,
    )


def _periods(period: Floats) -> tuple[list[str], Integers]:
    """Names in order of time, and each row's number among them."""
    values, number = np.unique(period, return_inverse=True)
    if len(values) <= MAX_PERIODS:
        return [period_text(v) for v in values], number.astype(np.int64)
    _, band = np.unique(ranked_bands(period, MAX_PERIODS), return_inverse=True)
    ends = [(period[band == k].min(), period[band == k].max()) for k in range(int(band.max()) + 1)]
    names = [period_text(a) if a == b else f"{period_text(a)} – {period_text(b)}" for a, b in ends]
    return names, band.astype(np.int64)


def period_text(period: float) -> str:
    """Whole numbers such as 2005 or 20050131 as they are."""
    return str(int(period)) if float(period).is_integer() else f"{period:g}"
