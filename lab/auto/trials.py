"""One trial is one session of all parties: a candidate fitted on a fold's rows and judged on its others."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console

from lab.auto.candidates import Candidate
from lab.auto.development import FOLD, Development
from lab.auto.search import Dropped, Trial
from lab.auto.spending import Spending
from lab.config import Config
from lab.config_sections import SplitSection
from lab.data.extract import extract
from lab.jobs import node_directory
from lab.leaks import Leak
from lab.runs import train_run
from models.bundle import JointModel, load
from models.errors import LianmoError
from models.validation.discrimination import auc_variance
from models.validation.metrics import auc, ks

#: Why a candidate, and not the search, failed: it cannot be built on these rows.
CANDIDATE_FAILS: Final = frozenset(
    {
        "nothing_selected",
        "separated",
        "collinear",
        "not_converged",
        "too_few_outcomes",
        "woe_too_large",
    }
)


@dataclass(slots=True)
class Sessions:
    """Runs trials; nothing of them is kept but what is measured.

    Attributes:
        config: the run without the features that are left out.
        folder: where sessions are written, on the bank's own disk.
        before: called before each session.
        out_of_fold: candidate → margin of each row by a model fitted without it, by id.
    """

    config: Config
    development: Development
    folder: Path
    seed: int
    spending: Spending
    before: Callable[[Candidate, int], None] = lambda *_: None
    out_of_fold: dict[str, dict[str, float]] = field(default_factory=dict)
    _folds: dict[int, Config] = field(default_factory=dict)

    def run(self, candidate: Candidate, fold: int) -> Trial | Dropped:
        """A ``RunTrial``. Raises LianmoError for whatever stops a session and is no fault of the candidate."""
        self.before(candidate, fold)
        config = candidate.applied(self._fold(fold), self.seed)
        started = time.perf_counter()
        try:
            result = train_run(config, Console(quiet=True), task="trial")
        except LianmoError as error:
            if error.code not in CANDIDATE_FAILS:
                raise
            return Dropped("failed", error.english.rstrip("."), error.chinese.rstrip("。"))
        seconds = time.perf_counter() - started
        self.spending.add(f"fold {fold + 1}", result, seconds)
        outcome = self._measured(candidate, config, result, seconds)
        shutil.rmtree(config.run.directory)
        return outcome

    def _fold(self, fold: int) -> Config:
        if fold not in self._folds:
            rows = self.development.folds[fold]
            judged = self.development.ids_of(rows.test)
            ids = pd.concat([self.development.ids_of(rows.fit), judged])
            guest = extract(self.config.guest, ids, self.folder / f"fold-{fold}", {FOLD: judged})
            unused = [n for n in (self.config.split.time_column, FOLD) if n]
            split = SplitSection(holdout_column=FOLD, group=self.config.split.group)
            self._folds[fold] = self.config.model_copy(
                update={
                    "run": self.config.run.model_copy(update={"directory": self.folder / "trial"}),
                    "guest": guest.model_copy(update={"drop": (*guest.drop, *unused)}),
                    "split": split,
                }
            )
        return self._folds[fold]

    def _measured(
        self, candidate: Candidate, config: Config, result: dict[str, Any], seconds: float
    ) -> Trial | Dropped:
        bank = node_directory(config.run.directory, config.guest.party)
        scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
        scores = scores[scores["part"] == "holdout"]
        label, margin, alone = (scores[c].to_numpy(dtype=np.float64) for c in ("label", "joint", "bank_only"))
        if np.ptp(margin) == 0:
            return Dropped("failed", "gives every applicant the same score", "对所有申请人给出相同的评分")
        self.out_of_fold.setdefault(candidate.name, {}).update(zip(scores["id"], margin.tolist(), strict=True))
        if candidate.kind == "trees":
            trees = JointModel.from_json(load(bank / "model.json")).trees
            n_parameters = sum(not node.owner for tree in trees for node in tree)
            n_trees, work = (
                len(trees),
                candidate.work * len(result["tree_seconds"]) / candidate.settings["n_estimators"],
            )
        else:
            n_parameters, n_trees, work = len(result["coefficients"]), 0, 1.0
        return Trial(
            auc=auc(label, margin),
            variance=auc_variance(label, margin),
            ks=ks(label, margin),
            bank_auc=auc(label, alone),
            n_rows=len(label),
            n_parameters=n_parameters,
            n_trees=n_trees,
            seconds=seconds,
            work=work,
            host_leaks=tuple(
                Leak(party=f["party"], feature=f["variable"], auc=f["single_auc"])
                for f in result.get("features", ())
                if f["reason"] == "leak" and f["party"] != config.guest.party
            ),
            opaque=tuple(
                dict.fromkeys(
                    f["party"]
                    for f in result.get("features", ())
                    if f["reason"] == "flagged" and f["party"] != config.guest.party
                )
            ),
        )
