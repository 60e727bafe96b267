"""The bank's own model beside a joint one, for when a data node cannot answer: trained apart, calibrated apart.

It is of the same kind as the joint model and stored in the same form, a joint model without hosts, so that it is served
by the same code; the parameters are the run's, the columns are the bank's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.plain import PlainSecret
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from federation.vertical.guest import Arrangement
from federation.vertical.scorecard.guest import ScorecardJob, develop
from lab.auto.folds import make_folds
from lab.validation.calibrated import MIN_PER_CLASS, N_FOLDS
from models.boosting.parameters import BoostingParameters
from models.errors import DataError, ModelError
from models.joint import Joint
from models.losses import Floats
from models.table import Table

SUFFIX: Final = "-bank-only"

#: Which rows, and how many of them to fit and to watch → the model and the margins of all of them; None: no column of
#: the bank tells anything.
Fit = Callable[[Arrangement], tuple[Joint, Floats] | None]


@dataclass(frozen=True, slots=True)
class BankOnly:
    """Attributes:
    margin: log-odds of default of all rows of the run, in its order.
    out_of_fold: those of fitted rows by models fitted without them, NaN elsewhere; to calibrate on. None: rows were
        set apart for that.
    """

    model: Joint
    margin: Floats
    out_of_fold: Floats | None = None


def bank_only(
    fit: Fit, label: Floats, a: Arrangement, seed: int, group: NDArray[np.intp] | None = None
) -> BankOnly | None:
    """The bank's own model; None if its columns tell nothing.

    Args:
        label: per row of the bank's table.
        seed: of the folds that stand in for rows to calibrate on, where the run watches too few.
        group: per row of the bank's table: no group is in two folds.
    """
    found = fit(a)
    if found is None:
        return None
    model, margin = found
    watched = label[a.rows[a.n_fit : a.n_fit + a.n_valid]]
    enough = min(watched.sum(), len(watched) - watched.sum()) >= MIN_PER_CLASS
    return BankOnly(model, margin, None if enough else _out_of_fold(fit, label, a, seed, group))


def trees_alone(
    model_id: str, party: str, table: Table, label: Floats, weight: Floats | None, parameters: BoostingParameters
) -> Fit:
    """Boosted trees without hosts."""
    own = replace(parameters, first_trees_guest_only=0, own_cuts_only=False)

    def fit(a: Arrangement) -> tuple[Joint, Floats] | None:
        rows = TrainingRows(
            table.take(a.rows), label[a.rows], a.n_fit, a.n_valid, None if weight is None else weight[a.rows]
        )
        script = JointBoosting(model_id + SUFFIX, party, rows, (), PlainSecret(), own).fit()
        fitted = run(script, MemoryWire({}))
        return None if np.ptp(fitted.margin) == 0.0 else (fitted.model, fitted.margin)

    return fit


def card_alone(job: ScorecardJob) -> Fit:
    """A scorecard of the bank's own features: even weak ones, else those that the selection lets pass."""
    alone = replace(
        job,
        model_id=job.model_id + SUFFIX,
        hosts=(),
        new_cipher=lambda _: PlainSecret(),
        watch=lambda _: None,
        keeper=None,
    )

    def fit(a: Arrangement) -> tuple[Joint, Floats] | None:
        for selection in (replace(job.selection, min_information_value=0.0), job.selection):
            with suppress(DataError, ModelError):  # nothing is selected, collinear, separated
                there = replace(alone, arrange=lambda _: a, selection=selection)
                fitted = run(develop(there), MemoryWire({})).fitted
                return fitted.model, fitted.margin
        return None

    return fit


def _out_of_fold(fit: Fit, label: Floats, a: Arrangement, seed: int, group: NDArray[np.intp] | None) -> Floats | None:
    """None if there are too few rows for folds."""
    seen: NDArray[np.intp] = a.rows[: a.n_fit]
    margin = np.full(len(a.rows), np.nan)
    try:
        folds = make_folds(label[seen], N_FOLDS, seed, group=None if group is None else group[seen])
    except DataError:
        return None
    for fold in folds:
        found = fit(Arrangement(np.concatenate([seen[fold.fit], seen[fold.test]]), len(fold.fit), 0))
        if found is not None:
            margin[fold.test] = found[1][len(fold.fit) :]
    return margin
