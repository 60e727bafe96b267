"""How a score treats groups of applicants: approvals, defaults among the approved, separation and calibration.

Only groups that the lender may look at belong here, and only for looking: nothing in this file changes a decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import DataError
from models.losses import Floats
from models.samples import check_parameter, checked_groups, checked_label, checked_score
from models.validation.calibration import in_the_large
from models.validation.discrimination import auc_interval
from models.validation.metrics import Interval
from models.validation.proportions import proportion

#: An approval rate below this part of the highest one asks for an explanation (29 CFR 1607.4(D), "four-fifths rule").
FOUR_FIFTHS: Final = 0.8


@dataclass(frozen=True, slots=True)
class GroupReport:
    """One group; everything after ``suppressed`` is None where too few rows stand behind it.

    Attributes:
        name: of the group.
        suppressed: fewer than the minimum of rows: nothing else is told.
        n_rows: rows of the group.
        approval_rate: with its Jeffreys interval.
        approval_ratio: approval rate over the highest one among groups shown; None if that is zero.
        four_fifths: whether the ratio is at least 0.8. A small group may miss it by chance: see the interval.
        default_rate: among the approved, with its Jeffreys interval; None with fewer approved than the minimum.
        auc: of the margin within the group, with DeLong's interval.
        in_the_large: what must be added to the group's margins to make expected defaults equal observed ones, with its
            Wald interval; above 0: the group's risk is understated.
    """

    name: str
    suppressed: bool
    n_rows: int | None = None
    approval_rate: Interval | None = None
    approval_ratio: float | None = None
    four_fifths: bool | None = None
    default_rate: Interval | None = None
    auc: Interval | None = None
    in_the_large: Interval | None = None


def group_reports(
    label: ArrayLike,
    margin: ArrayLike,
    approved: ArrayLike,
    group: Sequence[str] | NDArray[Any],
    *,
    minimum: int = 100,
    minimum_per_class: int = 10,
) -> tuple[GroupReport, ...]:
    """One report per group, by name.

    If one group alone is suppressed, totals told elsewhere give its numbers away: do not tell them beside this.

    Args:
        label: in {0, 1}, shape ``(n_rows,)``, known for all rows.
        margin: log-odds of default, finite, same shape.
        approved: 1 or True where approved, same shape.
        group: name of each row's group, text, none empty or missing.
        minimum: least rows of a group, and least approved ones for their default rate; 1 or more.
        minimum_per_class: least defaults, and least non-defaults, for AUC and calibration; 2 or more.

    Raises:
        DataError: ``missing_group``, and those of ``samples``.
    """
    check_parameter("minimum", minimum, 1, 10**12)
    check_parameter("minimum_per_class", minimum_per_class, 2, 10**12)
    y = checked_label(label)
    m = checked_score(margin, len(y), "margin")
    yes = checked_groups(approved, len(y), 2) == 1
    names, own = np.unique(_names(group, len(y)), return_inverse=True)
    sizes = np.bincount(own)
    shown = sizes >= minimum
    rates = np.bincount(own, weights=yes) / sizes
    highest = float(rates[shown].max(initial=0.0))
    return tuple(
        _report(str(name), y[own == k], m[own == k], yes[own == k], highest, minimum, minimum_per_class)
        if shown[k]
        else GroupReport(str(name), suppressed=True)
        for k, name in enumerate(names)
    )


def _report(
    name: str, label: Floats, margin: Floats, approved: NDArray[np.bool_], highest: float, minimum: int, per_class: int
) -> GroupReport:
    n_approved = int(approved.sum())
    n_bad = int(label.sum())
    approval = proportion(len(label), n_approved)
    ratio = approval.value / highest if highest > 0 else None
    told = n_approved >= minimum
    both = min(n_bad, len(label) - n_bad) >= per_class
    return GroupReport(
        name=name,
        suppressed=False,
        n_rows=len(label),
        approval_rate=approval,
        approval_ratio=ratio,
        four_fifths=None if ratio is None else ratio >= FOUR_FIFTHS,
        default_rate=proportion(n_approved, int(label[approved].sum())) if told else None,
        auc=auc_interval(label, margin) if both else None,
        in_the_large=in_the_large(label, margin) if both else None,
    )


def _names(group: Sequence[str] | NDArray[Any], n_rows: int) -> NDArray[np.str_]:
    names = list(group)
    if len(names) != n_rows:
        raise DataError(
            "wrong_length",
            f"'group' has {len(names)} values for {n_rows} rows. Give one value per row.",
            f"“group”有 {len(names)} 个值，而数据有 {n_rows} 行，应每行一个值。",
        )
    n_missing = sum(not isinstance(name, str) or not name for name in names)
    if n_missing:
        raise DataError(
            "missing_group",
            f"{n_missing} rows have no group name. Leave them out or name a group for them.",
            f"有 {n_missing} 行没有分组名称，请剔除或为其指定分组。",
        )
    return np.array(names, dtype=np.str_)
