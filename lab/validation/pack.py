"""The validation pack: one call, from any model's scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lab.validation.calibrated import CalibrationReport, calibrated, probability_of
from lab.validation.cohorts import CohortReport
from lab.validation.grades import GradeReport, grade_report
from lab.validation.measures import (
    Comparison,
    Separation,
    Vintage,
    comparison,
    fairness,
    separation,
    vintages,
)
from lab.validation.notes import Note, Notes
from lab.validation.rejects import RejectReport, reject_report
from lab.validation.sample import ScoredSample, ValidationRules
from models.losses import Floats
from models.samples import checked_score
from models.validation.calibrators import calibrator_from_json
from models.validation.decisions import bad_rate_at
from models.validation.discrimination import ScoreBand, decile_table
from models.validation.fairness import GroupReport
from models.validation.features import FeatureShift
from models.validation.master_scale import MasterScale
from models.validation.stability import Stability, stability_of_scores

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class ValidationPack:
    """Everything measured of one model.

    Attributes:
        out_of_time: whether all held-out rows are later than all others.
        development, holdout: separation on fitted and on held-out rows; the first flatters the model.
        bad_rate: default rate among those approved at the rules' approval rate, held-out.
        deciles: held-out, riskiest first.
        grades, stability: None where they cannot be made (see ``notes``).
        stability: of scores, fitted against held-out.
        features: shifts of the features, the own and what other parties told of theirs.
        comparison: against the challenger; None without one.
        vintages, groups: empty without periods or groups.
        rejects: what the rejected could mean, if their margins are given.
        notes: what could not be measured, and why.
        cohorts: default rates by months on book; None unless the bank's file says when loans began and defaulted.
    """

    rules: ValidationRules
    out_of_time: bool
    development: Separation
    holdout: Separation
    bad_rate: float
    deciles: tuple[ScoreBand, ...]
    calibration: CalibrationReport
    grades: GradeReport | None
    stability: Stability | None
    features: tuple[FeatureShift, ...]
    comparison: Comparison | None
    vintages: tuple[Vintage, ...]
    groups: tuple[GroupReport, ...]
    rejects: RejectReport | None
    notes: tuple[Note, ...]
    cohorts: CohortReport | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain objects, lists, numbers and texts; no row, no id. The inverse is not needed: scores are kept."""
        plain: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False))
        return plain


def validate(
    sample: ScoredSample,
    *,
    challenger: ArrayLike | None = None,
    groups: Sequence[str] | NDArray[Any] | None = None,
    rejected_margin: ArrayLike | None = None,
    features: tuple[FeatureShift, ...] = (),
    scale: MasterScale | None = None,
    rules: ValidationRules | None = None,
    seed: int,
) -> ValidationPack:
    """Measure a model on rows it was not fitted on.

    Args:
        challenger: margins to compare with, such as the bank alone, finite, shape ``(n_rows,)``.
        groups: name of each row's group, ``n_rows`` texts; only groups the lender may look at.
        rejected_margin: log-odds of applicants without outcome, any length.
        features: shifts of the own features, and of others as far as told.
        scale: the bank's own master scale; None: one made of development rows.
        seed: of bootstraps and folds.

    Raises:
        DataError: those of ``models.samples`` and ``models.validation.fairness``.
    """
    rules, notes = rules or ValidationRules(), Notes()
    held_out = sample.holdout
    label, margin = sample.label[held_out], sample.margin[held_out]
    calibration, probability = calibrated(sample, rules, seed, notes)
    other = None if challenger is None else checked_score(challenger, len(sample.label), "challenger")[held_out]
    log_odds: Floats = np.log(probability) - np.log1p(-probability)
    return ValidationPack(
        rules=rules,
        out_of_time=_out_of_time(sample),
        development=separation(
            sample.label[sample.fit], sample.margin[sample.fit], rules, seed, notes, max(20, rules.n_resamples // 4)
        ),
        holdout=separation(label, margin, rules, seed, notes),
        bad_rate=bad_rate_at(label, margin, rules.approval_rate),
        deciles=decile_table(label, margin, rules.n_bands),
        calibration=calibration,
        grades=notes.tried(lambda: grade_report(sample, probability, rules, scale)),
        stability=notes.tried(
            lambda: stability_of_scores(sample.margin[sample.fit], margin, rules.n_bands, minimum=rules.minimum)
        ),
        features=features,
        comparison=None if other is None else comparison(label, margin, other, rules, seed, notes),
        vintages=vintages(sample, probability, rules),
        groups=() if groups is None else fairness(label, log_odds[held_out], np.asarray(groups)[held_out], rules),
        rejects=None if rejected_margin is None else _rejects(sample, calibration, rejected_margin, seed),
        notes=tuple(notes.kept),
    )


def _rejects(
    sample: ScoredSample, calibration: CalibrationReport, rejected_margin: ArrayLike, seed: int
) -> RejectReport:
    margin = checked_score(rejected_margin, name="rejected_margin")
    stored = calibration.calibrator
    told = calibrator_from_json(stored).apply if stored else probability_of
    return reject_report(sample, told, told(margin), seed=seed)


def _out_of_time(sample: ScoredSample) -> bool:
    if sample.period is None:
        return False
    return bool(sample.period[sample.holdout].min() > sample.period[~sample.holdout].max())
