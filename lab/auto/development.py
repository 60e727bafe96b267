"""The rows a search may look at, found by a session that only aligns: all but those held out. And their folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console

from lab.auto.folds import Fold, make_folds
from lab.config import Config
from lab.data.sources import Division, read_division, read_labelled
from lab.evaluation import arrange
from lab.jobs import node_directory
from lab.leaks import Leak, own_leaks
from lab.runs import hold_session
from models.losses import Floats
from models.table import Table

#: Column of a fold's file that says which rows judge.
FOLD: Final = "lianmo_fold"


@dataclass(frozen=True, slots=True)
class Development:
    """Rows to choose a model on.

    Attributes:
        ids, label: of these rows, sorted by id.
        folds: of these rows.
        n_held_out: rows nobody looks at before the end.
        constant: the bank's features with one value in the rows of a fold; they are left out.
        leaks: the bank's features that alone separate better than allowed; they are left out.
    """

    ids: tuple[str, ...]
    label: Floats
    folds: tuple[Fold, ...]
    n_held_out: int
    constant: tuple[str, ...]
    leaks: tuple[Leak, ...]

    def ids_of(self, rows: Sequence[int] | np.ndarray[Any, Any]) -> pd.Series:
        return pd.Series([self.ids[r] for r in rows], dtype=str)


def find_development(
    config: Config, console: Console, folder: Path, n_folds: int, seed: int, max_single_auc: float
) -> tuple[Development, dict[str, Any]]:
    """The development rows of a run and the outcome of the session that found them.

    The rows held out are those that the run itself will hold out.

    Raises:
        DataError: those of ``arrange`` and ``make_folds``; LianmoError: whatever stops a session.
    """
    hold_session(config, console, folder, "align")
    bank = node_directory(folder, config.guest.party)
    outcome = json.loads((bank / "outcome.json").read_text(encoding="utf-8"))
    common = set(pd.read_csv(bank / "common.csv", dtype={"id": str})["id"])
    table, label, when, _ = read_labelled(config.guest, config.split.time_column)
    division = read_division(config.guest, config.split)
    split = config.split.model_copy(update={"valid": 0.0})
    everyone = np.array([row for row, i in enumerate(table.ids) if i in common], dtype=np.intp)
    a = arrange(everyone, table.ids, label, split, seed, when, division=division)
    rows = np.array(sorted(a.rows[: a.n_fit], key=lambda r: table.ids[r]), dtype=np.intp)
    y = label[rows]
    folds = make_folds(y, n_folds, seed, None if when is None else when[rows], _of(division, rows))
    own = table.take(rows)
    constant = tuple(n for n in own.columns if any(_is_constant(own, n, f) for f in folds))
    usable = own.select(tuple(n for n in own.columns if n not in constant))
    leaks = own_leaks(config.guest, usable, y, max_single_auc)
    return Development(own.ids, y, folds, len(a.rows) - a.n_fit, constant, leaks), outcome


def _of(division: Division, rows: np.ndarray[Any, Any]) -> Any:
    return None if division.group is None else division.group[rows]


def _is_constant(table: Table, name: str, fold: Fold) -> bool:
    column = pd.Series(table.columns[name][np.concatenate([fold.fit, fold.test])])
    return bool(column.nunique(dropna=False) < 2 or column.isna().all())
