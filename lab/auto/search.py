"""Successive halving over folds: every candidate is judged on the first ones, the better half on the others.

As in Jamieson & Talwalkar (2016, algorithm 1), with folds as the resource. What would be chosen if the search ended now
is never dropped. Nothing here knows what a session is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from lab.auto.candidates import Candidate
from lab.leaks import Leak

#: After so many folds the worse half is dropped, if folds are left.
HALVED_AFTER: Final = (2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate on one fold.

    Attributes:
        auc, variance: on the fold's own rows, with DeLong's variance.
        bank_auc: of a model of the bank alone, on the same rows.
        n_parameters: leaves of trees, or coefficients of a scorecard.
        n_trees: kept; 0 of a scorecard.
        work: done, in units of ``Candidate.work``.
        host_leaks: features of hosts that may know the outcome; only a scorecard's bins tell.
        opaque: hosts with a feature that has one bin only. It may be constant, or separate so well that floors on goods
            and bads allow no second bin.
    """

    auc: float
    variance: float
    ks: float
    bank_auc: float
    n_rows: int
    n_parameters: int
    n_trees: int
    seconds: float
    work: float
    host_leaks: tuple[Leak, ...] = ()
    opaque: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """Why a candidate is out: ``code`` for machines, a sentence in each language."""

    code: str
    english: str
    chinese: str


@dataclass(slots=True)
class Record:
    """What is known of a candidate."""

    candidate: Candidate
    trials: list[Trial] = field(default_factory=list)
    dropped: Dropped | None = None

    def mean(self, name: str) -> float:
        """Of an attribute of its trials, over folds."""
        return float(np.mean([getattr(t, name) for t in self.trials]))

    @property
    def auc(self) -> float:
        return self.mean("auc")

    @property
    def error(self) -> float:
        """Standard error of ``auc``: folds are apart, so variances of a mean add."""
        return math.sqrt(sum(t.variance for t in self.trials)) / len(self.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Most seconds, and most sessions, for trials; the last run comes on top of the sessions."""

    seconds: float = math.inf
    sessions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoRules:
    """How much is tried.

    Attributes:
        n_folds: of the development rows, at least 2.
        budget: of the trials.
    """

    n_folds: int = 5
    budget: Budget = field(default_factory=Budget)


#: A candidate and the number of a fold → what came of it, or why nothing did.
RunTrial = Callable[[Candidate, int], Trial | Dropped]


def simplest_within_one_error(records: Sequence[Record]) -> tuple[Record, Record]:
    """The best by mean AUC, and the first of ``records`` within one standard error of it (Breiman, Friedman, Olshen &
    Stone 1984, §3.4.3).

    Args:
        records: simplest first, all judged on the same folds.
    """
    best = max(records, key=lambda r: r.auc)
    return best, next(r for r in records if r.auc >= best.auc - best.error)


@dataclass(slots=True)
class Search:
    """Attributes:
    told: called with the seconds that what is left may take, and how many sessions those are, when that is first known.
    spent: seconds so far.
    max_single_auc: what a feature alone may reach.
    """

    candidates: Sequence[Candidate]
    n_folds: int
    budget: Budget
    run_trial: RunTrial
    told: Callable[[float, int], None] = lambda *_: None
    spent: float = 0.0
    max_single_auc: float = 0.9
    n_sessions: int = field(init=False, default=0)
    records: list[Record] = field(init=False, default_factory=list)

    def run(self) -> tuple[Record, ...]:
        """All records, in the order of the candidates; those not dropped were judged on the same folds."""
        self.records = [Record(c) for c in self.candidates]
        self._first_fold()
        for fold in range(1, self.n_folds):
            if not self._make_room():
                break
            for record in self.alive:
                self._judge(record, fold)
            if fold + 1 in HALVED_AFTER and fold + 1 < self.n_folds:
                self._halve(fold + 1)
        return tuple(self.records)

    @property
    def alive(self) -> list[Record]:
        return [r for r in self.records if not r.dropped]

    def forecast(self, record: Record) -> float:
        """Seconds of the next trial: as long as the last, or as others of its kind did for their work; 0: unknown."""
        kin = record if record.trials else self._kin(record)
        return kin.trials[-1].seconds / kin.trials[-1].work * record.candidate.work if kin else 0.0

    def most_sessions(self) -> int:
        """Sessions to come if nothing is dropped but by halving, within the budget."""
        n, alive = 0, len(self.alive)
        for fold in range(self.n_folds):
            n += alive - sum(len(r.trials) > fold for r in self.alive)
            if fold + 1 in HALVED_AFTER and fold + 1 < self.n_folds:
                alive = (alive + 1) // 2
        return n if self.budget.sessions is None else max(0, min(n, self.budget.sessions - self.n_sessions))

    def _first_fold(self) -> None:
        """The simplest of each kind that can be built comes first: it tells what others cost, and of leaks.

        A candidate comes in only if two folds of all that are in fit into the budget: one fold decides nothing.
        """
        for kind in dict.fromkeys(c.kind for c in self.candidates):
            for record in self.records:
                if record.candidate.kind == kind and not record.dropped:
                    self._judge(record, 0)
                    if record.trials:
                        break
        cost = sum(self.forecast(r) for r in self.alive) / max(1, len(self.alive)) * self.most_sessions()
        self.told(cost, self.most_sessions())
        for record in self.alive:
            if record.trials:
                continue
            again = [r for r in self.alive if r.trials]
            if self._affordable([record, record, *again]):
                self._judge(record, 0)
            else:
                record.dropped = _OVER_BUDGET

    def _judge(self, record: Record, fold: int) -> None:
        outcome = self.run_trial(record.candidate, fold)
        self.n_sessions += 1
        if isinstance(outcome, Dropped):
            record.dropped = outcome
            return
        record.trials.append(outcome)
        self.spent += outcome.seconds
        if outcome.host_leaks:
            self._drop_trees(_leaking(outcome.host_leaks[0]))
        elif record.candidate.kind == "trees" and outcome.auc > self.max_single_auc:
            opaque = {party for r in self.records for t in r.trials for party in t.opaque}
            if opaque:
                self._drop_trees(_suspect(sorted(opaque), outcome.auc))

    def _drop_trees(self, why: Dropped) -> None:
        """Trees use what scorecards leave out by themselves, and the bank cannot name a host's feature to it."""
        for record in self.alive:
            if record.candidate.kind == "trees":
                record.dropped = why

    def _make_room(self) -> bool:
        """Drop what the next fold cannot pay for, the costliest first; False if not even the leaders fit."""
        while not self._affordable(self.alive):
            leaders = simplest_within_one_error(self.alive) if self.alive else ()
            spare = [r for r in self.alive if all(r is not leader for leader in leaders)]
            if not spare:
                return False
            max(spare, key=self.forecast).dropped = _OVER_BUDGET
        return bool(self.alive)

    def _affordable(self, records: Sequence[Record]) -> bool:
        """Whether these trials fit, with time left for the last run."""
        last = max((self.forecast(r) for r in self.alive if r.trials), default=0.0)
        needed = sum(map(self.forecast, records)) + last
        most = self.budget.sessions
        return self.spent + needed <= self.budget.seconds and (most is None or self.n_sessions + len(records) <= most)

    def _halve(self, n_folds: int) -> None:
        alive = self.alive
        if not alive:
            return
        _, chosen = simplest_within_one_error(alive)
        ranked = sorted(alive, key=lambda r: -r.auc)
        for record in ranked[(len(alive) + 1) // 2 :]:
            if record is not chosen:
                record.dropped = _halved(n_folds)

    def _kin(self, record: Record) -> Record | None:
        return next((r for r in self.records if r.trials and r.candidate.kind == record.candidate.kind), None)


_OVER_BUDGET: Final = Dropped("budget", "did not fit into the budget", "超出预算")


def _halved(n_folds: int) -> Dropped:
    return Dropped("halved", f"in the worse half after {n_folds} folds", f"{n_folds} 折后位于较差的一半")


def _leaking(leak: Leak) -> Dropped:
    return Dropped(
        "host_leak",
        f"trees would use a feature of {leak.party} that alone reaches an AUC of {leak.auc:.2f} and may know the "
        "outcome; only that party can leave it out (drop)",
        f"{leak.party} 的某一特征单独 AUC 即达 {leak.auc:.2f}，可能已知结果，树模型会用到它；"
        "只有该方可将其剔除（drop）",
    )


def _suspect(parties: Sequence[str], auc: float) -> Dropped:
    return Dropped(
        "host_leak",
        f"trees reach an AUC of {auc:.2f}, and {', '.join(parties)} has a feature that floors leave in one bin: "
        "it may know the outcome; only that party can leave it out (drop)",
        f"树模型的 AUC 达 {auc:.2f}，而 {'、'.join(parties)} 有特征因下限只能分为一箱：可能已知结果；"
        "只有该方可将其剔除（drop）",
    )
