"""What any model hands in to be validated: labels, margins, and which rows it was fitted on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import DataError
from models.losses import Floats
from models.samples import check_parameter, checked_label, checked_score, need_both_classes
from models.validation.features import MINIMUM

PARTS: Final = ("fit", "valid", "holdout")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRules:
    """What is asked of a pack.

    Attributes:
        approval_rate: share of applicants approved, in (0, 1), for swap sets, approvals and fairness.
        n_bands: bands of decile, reliability and stability tables, 2 to 100.
        n_grades: most grades of the master scale, 2 to 100.
        minimum: fewest rows behind a share, a period or a group that is told.
        minimum_per_class: fewest defaults, and fewest others, behind an AUC of a period or group.
        n_resamples: of every bootstrap, 20 to 100,000.

    Raises:
        ModelError: ``bad_parameter``.
    """

    approval_rate: float = 0.7
    n_bands: int = 10
    n_grades: int = 8
    minimum: int = MINIMUM
    minimum_per_class: int = 10
    n_resamples: int = 200

    def __post_init__(self) -> None:
        check_parameter("approval_rate", self.approval_rate, 0.01, 0.99)
        check_parameter("n_bands", self.n_bands, 2, 100)
        check_parameter("n_grades", self.n_grades, 2, 100)
        check_parameter("minimum", self.minimum, 1, 10**9)
        check_parameter("minimum_per_class", self.minimum_per_class, 2, 10**9)
        check_parameter("n_resamples", self.n_resamples, 20, 100_000)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredSample:
    """Rows with known outcome and what a model says of them.

    Attributes:
        label: 1 = default, shape ``(n_rows,)``.
        margin: log-odds of default, finite, same shape.
        part: ``"fit"``, ``"valid"`` (seen, but only to stop early) or ``"holdout"`` of each row.
        period: number of each row's period, such as a year; None: no dates. Held-out rows are then taken as later.
        out_of_fold: margins by models fitted without the row, NaN where there is none; to calibrate on. Margins of
            fit rows by the model itself are too good to calibrate on and are never used so.

    Raises:
        DataError: those of ``models.samples``, ``bad_part``, and ``one_class`` unless both the fitted and the held-out
            rows have defaults and non-defaults.
    """

    label: Floats
    margin: Floats
    part: NDArray[np.str_]
    period: Floats | None = None
    out_of_fold: Floats | None = None

    def __post_init__(self) -> None:
        n_rows = len(checked_label(self.label))
        checked_score(self.margin, n_rows, "margin")
        if self.period is not None:
            checked_score(self.period, n_rows, "period")
        if len(self.part) != n_rows or not np.isin(self.part, PARTS).all():
            raise DataError(
                "bad_part",
                f"Each of the {n_rows} rows needs a part: fit, valid or holdout.",
                f"{n_rows} 行均须标明所属部分：fit、valid 或 holdout。",
            )
        need_both_classes(self.label[self.fit])
        need_both_classes(self.label[self.holdout])

    @property
    def fit(self) -> NDArray[np.bool_]:
        """Which rows the model was fitted on, shape ``(n_rows,)``."""
        return np.asarray(self.part == "fit")

    @property
    def holdout(self) -> NDArray[np.bool_]:
        """Which rows nothing was fitted on, shape ``(n_rows,)``."""
        return np.asarray(self.part == "holdout")


def sample_of(scores: pd.DataFrame, column: str = "joint") -> ScoredSample:
    """Rows of a run's ``scores.csv``.

    Args:
        scores: columns ``part``, ``label``, ``column`` with margins; ``period`` and ``out_of_fold`` if rows have them.
    """
    return ScoredSample(
        label=scores["label"].to_numpy(dtype=np.float64),
        margin=scores[column].to_numpy(dtype=np.float64),
        part=scores["part"].to_numpy(dtype=np.str_),
        period=scores["period"].to_numpy(dtype=np.float64) if "period" in scores else None,
        out_of_fold=scores["out_of_fold"].to_numpy(dtype=np.float64) if "out_of_fold" in scores else None,
    )
