"""Halving, budget and the one-standard-error rule, on trials whose outcome is written down."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lab.auto.candidates import Candidate
from lab.auto.search import Budget, Dropped, Leak, Record, Search, Trial, simplest_within_one_error


def candidate(name: str, work: float = 1.0) -> Candidate:
    kind = "trees" if name.startswith("t") else "scorecard"
    return Candidate(name=name, kind=kind, settings={}, work=work, english=name, chinese=name)  # type: ignore[arg-type]


def trial(
    auc: float, variance: float = 1e-4, seconds: float = 1.0, work: float = 1.0, leaks: tuple[Leak, ...] = ()
) -> Trial:
    return Trial(
        auc=auc, variance=variance, ks=0.3, bank_auc=0.6, n_rows=100, n_parameters=5, n_trees=0, seconds=seconds,
        work=work, host_leaks=leaks,
    )  # fmt: skip


class Oracle:
    """Answers with a fixed AUC per candidate, and notes who was asked for what."""

    def __init__(self, auc: dict[str, float], **fields: float) -> None:
        self.auc, self.fields = auc, fields
        self.asked: list[tuple[str, int]] = []

    def __call__(self, c: Candidate, fold: int) -> Trial:
        self.asked.append((c.name, fold))
        return trial(self.auc[c.name], seconds=c.work, work=c.work, **self.fields)


AUC = {"s1": 0.70, "s2": 0.71, "t1": 0.72, "t2": 0.74, "t3": 0.60, "t4": 0.61, "t5": 0.62, "t6": 0.63}
NAMES = [candidate(n) for n in AUC]


def test_the_better_half_goes_on_and_costs_are_told_first() -> None:
    oracle, told = Oracle(AUC, variance=1e-8), []
    search = Search(NAMES, 5, Budget(), oracle, lambda seconds, n: told.append((seconds, n)))
    records = search.run()
    assert [r.candidate.name for r in records if not r.dropped] == ["t1", "t2"]
    assert [len(r.trials) for r in records] == [3, 3, 5, 5, 2, 2, 2, 2]
    assert {r.dropped.code for r in records if r.dropped} == {"halved"}
    assert oracle.asked[:2] == [("s1", 0), ("t1", 0)]
    assert len(oracle.asked) == search.n_sessions == 8 * 2 + 4 + 2 * 2
    assert told == [(24 - 2, 24 - 2)]


def test_what_would_be_chosen_is_never_dropped() -> None:
    """``s1`` is worst of all, but within one standard error of the best, and the simplest."""
    oracle = Oracle({"s1": 0.70, "s2": 0.701, "t1": 0.702, "t2": 0.703}, variance=1e-4)
    records = Search(NAMES[:4], 5, Budget(), oracle).run()
    assert not records[0].dropped
    best, chosen = simplest_within_one_error([r for r in records if not r.dropped])
    assert (best.candidate.name, chosen.candidate.name) == ("t2", "s1")


@pytest.mark.parametrize(("second", "expected"), [(0.7899, "plain"), (0.7901, "plain"), (0.7801, "middle")])
def test_the_simplest_within_one_standard_error(second: float, expected: str) -> None:
    """Two folds with variances 1 and 3 (times 1e-4): the error of their mean is 1e-2."""
    records = []
    for name, auc in (("plain", second), ("middle", 0.795), ("best", 0.80)):
        records.append(Record(candidate(name), [trial(auc - 0.01, 1e-4), trial(auc + 0.01, 3e-4)]))
    assert records[2].error == pytest.approx(math.sqrt(4e-4) / 2)
    best, chosen = simplest_within_one_error(records)
    if second < 0.79:
        expected = "middle"
    assert (best.candidate.name, chosen.candidate.name) == ("best", expected)


def test_a_budget_of_sessions_leaves_out_what_two_folds_cannot_pay_for() -> None:
    oracle = Oracle(AUC)
    told: list[tuple[float, int]] = []
    search = Search(NAMES, 5, Budget(sessions=6), oracle, lambda seconds, n: told.append((seconds, n)))
    records = search.run()
    assert len(oracle.asked) <= 6
    assert told == [(4, 4)]
    assert [len(r.trials) for r in records[:3]] == [2, 2, 2]
    assert [r.dropped.code for r in records[3:] if r.dropped] == ["budget"] * 5


def test_a_budget_of_time_keeps_enough_for_the_last_run() -> None:
    works = [candidate("s1", 1.0), candidate("t1", 10.0), candidate("t2", 20.0), candidate("t3", 40.0)]
    oracle = Oracle({"s1": 0.7, "t1": 0.71, "t2": 0.72, "t3": 0.73})
    search = Search(works, 5, Budget(seconds=90.0), oracle)
    records = search.run()
    dropped = records[3].dropped
    assert dropped
    assert dropped.code == "budget"
    assert search.spent + 20.0 <= 90.0
    assert len(records[2].trials) == 2


def test_a_leak_at_a_host_rules_out_trees_before_one_is_grown() -> None:
    leak = Leak(party="host:tax", feature="host:tax feature 3", auc=0.97)
    asked: list[str] = []

    def run(c: Candidate, _: int) -> Trial:
        asked.append(c.name)
        return trial(0.7, leaks=(leak,))

    records = Search(NAMES, 2, Budget(), run).run()
    assert set(asked) == {"s1", "s2"}
    fates = [r.dropped for r in records[2:]]
    assert all(d and d.code == "host_leak" and "host:tax" in d.english and "0.97" in d.chinese for d in fates)


def test_a_candidate_that_cannot_be_built_is_out_and_the_others_go_on() -> None:
    def run(c: Candidate, _: int) -> Trial | Dropped:
        return Dropped("failed", "none", "无") if c.name == "s1" else trial(AUC[c.name])

    records = Search(NAMES[:3], 2, Budget(), run).run()
    assert [r.dropped is None for r in records] == [False, True, True]
    assert np.all([len(r.trials) == 2 for r in records[1:]])


def test_where_the_simplest_scorecard_fails_another_looks_for_leaks_before_trees() -> None:
    asked: list[str] = []

    def run(c: Candidate, _: int) -> Trial | Dropped:
        asked.append(c.name)
        return Dropped("failed", "none", "无") if c.name == "s1" else trial(AUC[c.name])

    Search(NAMES[:4], 2, Budget(), run).run()
    assert asked[:3] == ["s1", "s2", "t1"]


@pytest.mark.parametrize(("auc", "n_trees_out"), [(0.95, 2), (0.85, 0)])
def test_trees_that_are_too_good_are_out_where_a_host_has_a_feature_nobody_could_bin(
    auc: float, n_trees_out: int
) -> None:
    def run(c: Candidate, _: int) -> Trial:
        return replace(trial(auc if c.kind == "trees" else 0.7), opaque=() if c.kind == "trees" else ("host:tax",))

    records = Search(NAMES[:4], 2, Budget(), run).run()
    assert sum(r.dropped is not None and r.dropped.code == "host_leak" for r in records) == n_trees_out
