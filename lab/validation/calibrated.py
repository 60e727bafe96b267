"""Which calibrator a model gets, and how its probabilities stand up on held-out rows.

A calibrator is fitted on rows the model was not fitted on: the ``valid`` rows, margins out of fold, or, where there are
neither, the held-out rows themselves. No row is judged by a calibrator that saw it: in the last case each held-out row
is judged by one of the same kind that was fitted on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from lab.validation.notes import Notes
from lab.validation.sample import ScoredSample, ValidationRules
from models.errors import DataError, ModelError
from models.losses import Floats, default_probability, log_loss
from models.validation.backtest import HosmerLemeshow, hosmer_lemeshow
from models.validation.calibration import BrierScore, CoxCalibration, ReliabilityRow, brier, cox, reliability_table
from models.validation.calibrators import FLOOR, Calibrator, fit_isotonic, fit_platt

FITS: Final[dict[str, Callable[[Floats, Floats], Calibrator]]] = {"platt": fit_platt, "isotonic": fit_isotonic}
N_FOLDS: Final = 5
#: Fewest defaults, and fewest others, to fit a calibrator on.
MIN_PER_CLASS: Final = 30
#: Isotonic steps overfit fewer rows than about this (Niculescu-Mizil & Caruana 2005, §4.3).
MIN_FOR_ISOTONIC: Final = 1000


@dataclass(frozen=True, slots=True)
class MethodReport:
    """One way to probabilities, on held-out rows.

    Attributes:
        method: ``"raw"``, ``"platt"`` or ``"isotonic"``.
        judged: ``"apart"``: nothing of it was fitted on held-out rows; ``"folds"``: fitted on other held-out rows.
        brier, log_loss: means over rows, lower is better.
        cox: calibration intercept and slope; None where they cannot be told.
    """

    method: str
    judged: str
    brier: float
    log_loss: float
    cox: CoxCalibration | None


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """Probabilities on held-out rows.

    Attributes:
        source: rows the calibrator was fitted on: ``"valid"``, ``"out_of_fold"``, ``"holdout"``, or ``"none"``.
        n_rows: how many those are.
        method: the one with the least cross-validated log-loss on them; ``"raw"`` if none is better.
        calibrator: its JSON (``models.validation.calibrators``); None for ``"raw"``.
        methods: all that could be tried.
        brier, hosmer_lemeshow, reliability: of ``method``; the test is None where it cannot be made.
        raw_reliability: of the model's own probabilities.
    """

    source: str
    n_rows: int
    method: str
    calibrator: dict[str, Any] | None
    methods: tuple[MethodReport, ...]
    brier: BrierScore
    hosmer_lemeshow: HosmerLemeshow | None
    reliability: tuple[ReliabilityRow, ...]
    raw_reliability: tuple[ReliabilityRow, ...]


def calibrated(
    sample: ScoredSample, rules: ValidationRules, seed: int, notes: Notes
) -> tuple[CalibrationReport, Floats]:
    """The report, and calibrated default probabilities in (0, 1) of all rows, shape ``(n_rows,)``."""
    source, label, margin = _calibration_rows(sample)
    fitted, crossed = _fits(label, margin, seed, notes)
    if not fitted:
        source, label = "none", np.empty(0)
    losses = {"raw": log_loss(label, margin)} if fitted else {}
    losses |= {kind: log_loss(label, _log_odds(p)) for kind, p in crossed.items()}
    method = min(losses, key=losses.__getitem__, default="raw")
    y, m = sample.label[sample.holdout], sample.margin[sample.holdout]
    told = {"raw": probability_of(m), **{kind: calibrator.apply(m) for kind, calibrator in fitted.items()}}
    judged = dict.fromkeys(told, "apart")
    if source == "holdout":
        told |= crossed
        judged |= dict.fromkeys(crossed, "folds")
    if source == "none":
        notes.add(
            "uncalibrated",
            "Too few rows to calibrate on: the model's own probabilities are told and judged as they are.",
            "可用于校准的样本过少：直接使用并评估模型自身的概率。",
        )
    p = told[method]
    chosen = fitted.get(method)
    report = CalibrationReport(
        source=source,
        n_rows=len(label),
        method=method,
        calibrator=chosen.to_json() if chosen else None,
        methods=tuple(_method(kind, judged[kind], y, p_kind, notes) for kind, p_kind in told.items()),
        brier=brier(y, p, rules.n_bands),
        hosmer_lemeshow=notes.tried(lambda: hosmer_lemeshow(y, p, rules.n_bands)),
        reliability=reliability_table(y, p, rules.n_bands),
        raw_reliability=reliability_table(y, told["raw"], rules.n_bands),
    )
    probability = chosen.apply(sample.margin) if chosen else probability_of(sample.margin)
    probability[sample.holdout] = p  # not by a calibrator that saw them
    return report, probability


def _fits(label: Floats, margin: Floats, seed: int, notes: Notes) -> tuple[dict[str, Calibrator], dict[str, Floats]]:
    """By kind: calibrators of all these rows, and each row's probability by one that was fitted on others. None where
    the rows are too few, or the margin ranks the wrong way."""
    fitted: dict[str, Calibrator] = {}
    crossed: dict[str, Floats] = {}
    for kind in _kinds(label):
        try:
            calibrator, p = FITS[kind](label, margin), cross_fitted(label, margin, kind, seed)
        except (DataError, ModelError) as error:
            notes.add(error.code, error.english, error.chinese)
            return {}, {}
        fitted[kind], crossed[kind] = calibrator, p
    return fitted, crossed


def cross_fitted(label: Floats, margin: Floats, kind: str, seed: int) -> Floats:
    """Each row's probability by a calibrator of ``kind`` fitted on the other folds, shape ``(n_rows,)``."""
    from sklearn.model_selection import StratifiedKFold  # CPU seconds: only where it is used

    p = np.empty(len(label))
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    for others, own in folds.split(margin[:, None], label):
        p[own] = FITS[kind](label[others], margin[others]).apply(margin[own])
    return p


def probability_of(margin: Floats) -> Floats:
    """The model's own default probability, kept as far from 0 and 1 as a calibrator keeps it."""
    return np.clip(default_probability(margin), FLOOR, 1.0 - FLOOR)


def _calibration_rows(sample: ScoredSample) -> tuple[str, Floats, Floats]:
    """Name, labels and margins of the rows to calibrate on."""
    watched = sample.part == "valid"
    if _kinds(sample.label[watched]):
        return "valid", sample.label[watched], sample.margin[watched]
    if sample.out_of_fold is not None:
        rows = sample.fit & np.isfinite(sample.out_of_fold)
        if _kinds(sample.label[rows]):
            return "out_of_fold", sample.label[rows], sample.out_of_fold[rows]
    return "holdout", sample.label[sample.holdout], sample.margin[sample.holdout]


def _kinds(label: Floats) -> list[str]:
    """What can be fitted on so many rows."""
    if min(label.sum(), len(label) - label.sum()) < MIN_PER_CLASS:
        return []
    return ["platt", "isotonic"] if len(label) >= MIN_FOR_ISOTONIC else ["platt"]


def _method(kind: str, judged: str, label: Floats, probability: Floats, notes: Notes) -> MethodReport:
    margin = _log_odds(probability)
    return MethodReport(
        method=kind,
        judged=judged,
        brier=float(np.mean((probability - label) ** 2)),
        log_loss=log_loss(label, margin),
        cox=notes.tried(lambda: cox(label, margin)),
    )


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(np.log(probability) - np.log1p(-probability))
