"""The end of a run in both directions: each bank gets its model, checks it against what it was told, and tests it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from federation.errors import PartyId
from federation.horizontal.closing.coordinator import Closed, close_each
from federation.horizontal.closing.messages import Take
from federation.horizontal.closing.site import band_counts
from federation.horizontal.conduct import run_over_sites
from federation.hybrid import messages as m
from federation.hybrid.coordinator import Learnt
from federation.messages import Goodbye, Message
from federation.script import Script
from models.boosting.trees import margins
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import shares
from tests.federation.hybrid.cities import Passed, Trial

ENDING = "bank:01"


def trial_of(problem: Problem, lost: Callable[[PartyId, PartyId, Message], bool] | None = None) -> Trial:
    """A tenth of every bank's rows held out."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))
    for bank in trial.banks.values():
        bank.divide = lambda common: (common[: len(common) * 9 // 10], common[len(common) * 9 // 10 :])
    for wire in (trial.wire, *(bank.hosts.wire for bank in trial.banks.values())):
        wire.lost = lost or wire.lost
    return trial


def ended(trial: Trial, change: Callable[[dict[str, Any]], None] = lambda _: None) -> tuple[Learnt, Closed]:
    """``change``: of the model that one bank gets."""

    def whole() -> Script[tuple[Learnt, Closed]]:
        learnt = yield from trial.learning.learn()
        models = {bank: model.to_json() for bank, model in learnt.models.items()}
        change(models[ENDING])
        closed = yield from close_each(trial.learning.aggregation, "trees", models)
        yield from trial.learning.part(learnt.models)
        return learnt, closed

    return run_over_sites(whole(), trial.wire, trial.learning.aggregation.presence)


@pytest.fixture(scope="module")
def done(problem: Problem) -> tuple[Trial, Learnt, Closed]:
    trial = trial_of(problem)
    return trial, *ended(trial)


def test_held_out_rows_score_as_the_whole_model_does_and_are_counted_together(
    done: tuple[Trial, Learnt, Closed],
) -> None:
    trial, learnt, closed = done
    assert closed.takers == closed.contributors == trial.names
    bins = {b.name: trial.table.columns[b.name] for b in learnt.whole.own.bins}
    counts = 0
    for part, bank in zip(trial.parts, trial.banks.values(), strict=True):
        rows = part[bank.held_out]
        table = trial.table.select(tuple(bins)).take(rows)
        whole = learnt.whole
        expected = margins(whole.trees, whole.base_margin, {whole.party: whole.own.routes(table)}, len(rows))
        assert bank.closing is not None
        assert bank.closing.margin is not None
        assert bank.closing.margin.tobytes() == expected.tobytes()
        counts = counts + band_counts(expected, trial.label[rows])
    assert closed.goods is not None
    assert np.concatenate([closed.goods, closed.bads]).tolist() == counts.tolist()


def test_nothing_of_held_out_rows_is_in_the_model(done: tuple[Trial, Learnt, Closed], problem: Problem) -> None:
    """Another run without them gives the same trees."""
    trial, learnt, _ = done
    fitted = [part[bank.rows] for part, bank in zip(trial.parts, trial.banks.values(), strict=True)]
    alone = Trial(problem.whole, problem.label, fitted, (0, 0, 1)).learn()
    assert alone.whole.trees == learnt.whole.trees


def test_hosts_learn_positions_and_banks_sides_of_held_out_rows_only(done: tuple[Trial, Learnt, Closed]) -> None:
    trial, *_ = done
    passed: list[Passed] = [p for p in trial.passed if isinstance(p[2], m.RoutesWanted)]
    assert {(sender, receiver) for sender, receiver, _ in passed} <= {
        (bank, host) for bank, hosts in trial.cities.items() for host in hosts.values()
    }
    for bank, _, asked in passed:
        assert isinstance(asked, m.RoutesWanted)
        assert len(asked.positions) == 4 * len(trial.banks[bank].held_out)


def test_hosts_are_let_go_at_the_end(done: tuple[Trial, Learnt, Closed]) -> None:
    trial, *_ = done
    last = [(receiver, message) for sender, receiver, message in trial.passed if sender == "coordinator"]
    assert {receiver for receiver, message in last if isinstance(message, Goodbye)} == {*trial.names, *trial.hosts}


def a_leaf(model: dict[str, Any]) -> None:
    leaf = next(node for node in model["trees"][-1] if not node["owner"])
    leaf["value"] = np.nextafter(leaf["value"], 1.0)


def an_owner(model: dict[str, Any]) -> None:
    owners = list(model["host_digests"])
    node = next(node for tree in model["trees"] for node in tree if node["owner"] in owners)
    node["owner"] = next(owner for owner in owners if owner != node["owner"])


def an_own_cut(model: dict[str, Any]) -> None:
    model["own"]["splits"][0]["code"] += 1


def a_missing_tree(model: dict[str, Any]) -> None:
    model["trees"].pop()


def the_start(model: dict[str, Any]) -> None:
    model["base_margin"] += 1e-9


@pytest.mark.parametrize("change", [a_leaf, an_owner, an_own_cut, a_missing_tree, the_start])
def test_a_model_that_is_not_what_was_told_is_refused(
    problem: Problem, change: Callable[[dict[str, Any]], None]
) -> None:
    trial = trial_of(problem)
    _, closed = ended(trial, change)
    assert closed.takers == ("bank:00", "bank:02")
    assert closed.goods is None  # of two banks nothing is counted
    assert trial.learning.aggregation.presence.refusals == {ENDING: "bad_value"}
    closing = trial.banks[ENDING].closing
    assert closing is not None
    assert closing.model is None
    assert not [x for s, _, x in trial.passed if s == ENDING and isinstance(x, m.RoutesWanted)]


def test_another_banks_model_is_refused(done: tuple[Trial, Learnt, Closed], problem: Problem) -> None:
    trial = trial_of(problem)
    learnt, _ = ended(trial)
    bank = trial.banks["bank:00"]
    assert bank.closing is not None
    bank.closing.state.phase = "closed"
    other = json.dumps(learnt.models["bank:01"].to_json()).encode()
    with pytest.raises(Exception, match="not the one trained here"):
        bank.answer(Take(model_kind="trees", model=other))
