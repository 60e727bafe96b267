"""Runs that are refused, parties that leave, hosts that are started anew, and scores by the common model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.endpoint import Endpoint
from federation.errors import LocalProtocolError, PartyId, PlaintextOverflow, Refused
from federation.horizontal.boosting import messages as boosting
from federation.hybrid import messages as m
from federation.messages import Message
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.scoring.guest import score
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import ScoringHost
from models.boosting.trees import leaves_of, margins
from models.bundle import JointModel
from models.errors import ModelError
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import shares
from tests.federation.hybrid.cities import POLICY, Trial

CITIES = (0, 0, 0, 0, 0, 0, 1)


def test_a_bank_scores_its_applicants_with_the_hosts_of_its_city(problem: Problem) -> None:
    """As vertical scoring does it: halves at hosts, trees at the bank; margins as in training, to the last bit."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))
    learnt = trial.learn()
    for bank, model in learnt.models.items():
        hosts = {party: trial.hosts[party] for party in trial.cities[bank].values()}
        scoring = {p: ScoringHost(host.seats[bank].table, {"m-1": host.half}, POLICY) for p, host in hosts.items()}
        wire = MemoryWire({party: Endpoint(host, bank, SCORING).answer for party, host in scoring.items()})
        site = trial.banks[bank]
        one = site.table.take(site.rows[:1])
        scored = run(score(model, one, n_reasons=2), wire)
        assert scored.margin[0] == site.boosting.state.margin[0]
        assert len(scored.reasons[0]) == 2
        everyone = run(score(model, site.table.take(site.rows)), wire)
        assert everyone.margin.tobytes() == site.boosting.state.margin.tobytes()
        assert set(model.host_digests) == set(hosts)


def test_two_banks_are_refused_before_anybody_aligns(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 2), (0, 1))
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told") as caught:
        trial.learn()
    assert caught.value.code == "too_few_sites"
    assert not trial.passed


@pytest.mark.parametrize("change", ["no host in one city", "no feature of a kind", "no feature of banks"])
def test_what_would_be_missing_somewhere_is_refused(problem: Problem, change: str) -> None:
    """A model would learn the bank from it."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))
    learning = trial.learning
    cities = {
        bank: {k: h for k, h in of.items() if bank != "bank:02" or k != "guarantor"}
        for bank, of in trial.cities.items()
    }
    changes = {
        "no host in one city": {"cities": cities},
        "no feature of a kind": {"hosted": {**learning.hosted, "tax": ()}},
        "no feature of banks": {"features": ()},
    }
    with pytest.raises(ModelError) as caught:
        replace(learning, **changes[change])
    assert caught.value.code == "bad_parameter"
    assert ("bank:02" in str(caught.value)) == (change == "no host in one city")


@pytest.mark.parametrize("most_rows", [2**28, 2**40])
def test_sums_that_would_not_fit_are_refused(problem: Problem, most_rows: int) -> None:
    """E22: not wrapped."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))
    with pytest.raises(PlaintextOverflow, match="Use fewer rows per site"):
        replace(trial.learning, most_rows=most_rows)


def test_a_bank_with_other_kinds_of_hosts_is_refused(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))
    hosts = trial.banks["bank:01"].hosts
    trial.banks["bank:01"].hosts = replace(hosts, parties=dict(reversed(hosts.parties.items())))
    with pytest.raises(Refused, match="bank:01"):
        trial.learn()


@pytest.mark.parametrize("gone", ["bank:06", "host:tax-1"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_who_vanishes_leaves_the_model_of_the_rest(problem: Problem, gone: PartyId, depth: int) -> None:
    """A bank, or a host and with it the banks of its city: the tree ends, the next ones are of those that remain."""
    lost: set[PartyId] = set()
    levels: list[int] = []

    def loss(sender: PartyId, receiver: PartyId, request: Message) -> bool:
        kind = boosting.Grow if gone.startswith("bank") else m.Cuts
        if receiver == gone and isinstance(request, kind) and request.tree == 1:
            levels.append(1)
            if len(levels) == depth + 1:
                lost.add(gone)
        return receiver in lost

    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 7), CITIES, lost=loss)
    learnt = trial.learn()
    assert lost
    rest = trial.names[:-3]  # two stand aside with it (ADR 0047), and get the model
    assert learnt.contributors[0] == trial.names
    assert learnt.contributors[-1] == rest
    assert tuple(learnt.models) == trial.names[:-1]
    whole = Trial(problem.whole, problem.label, trial.parts, CITIES).learn()
    assert learnt.models["bank:00"].trees[0] == whole.models["bank:00"].trees[0]
    leaves_are_of(trial, learnt.models, rest)


def leaves_are_of(trial: Trial, models: Mapping[PartyId, JointModel], banks: Sequence[PartyId]) -> None:
    """Leaf values of the last tree, computed anew from the rows of these banks and the trees before it."""
    sums: dict[int, NDArray[np.int64]] = {}
    for bank in banks:
        model, site = models[bank], trial.banks[bank]
        rows = site.table.take(site.rows)
        everything = trial.table.take(trial.parts[trial.names.index(bank)][site.rows])
        routes = {bank: model.own.routes(rows)}
        routes |= {host: trial.hosts[host].half.routes(everything) for host in trial.cities[bank].values()}
        before = margins(model.trees[:-1], model.base_margin, routes, len(rows))
        y = site.label[site.rows]
        probability = 1 / (1 + np.exp(-before))
        g, h = probability - y, probability * (1 - probability)
        for leaf, *values in zip(leaves_of(model.trees[-1], routes, len(rows)).tolist(), g, h, strict=True):
            sums[leaf] = sums.get(leaf, np.zeros(2)) + values
    last = models[banks[0]].trees[-1]
    found = {k: node.value for k, node in enumerate(last) if not node.owner}
    p = trial.parameters
    assert found == pytest.approx(
        {k: -p.learning_rate * g / (h + p.reg_lambda) for k, (g, h) in sums.items()}, abs=1e-6
    )


def test_too_few_that_remain_end_the_run_with_the_trees_there_are(problem: Problem) -> None:
    def loss(sender: PartyId, receiver: PartyId, request: Message) -> bool:
        return receiver == "host:tax-1" and isinstance(request, m.Cuts)

    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1), lost=loss)
    learnt = trial.learn()
    assert not learnt.complete
    assert len(learnt.contributors) == 1


def test_hosts_may_be_started_anew_between_any_two_messages(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3), (0, 0, 1))

    def anew(sender: PartyId, receiver: PartyId, request: Message) -> bool:
        for host in trial.hosts.values():
            host.load(host.dump())
        return False

    for wire in (trial.wire, *(bank.hosts.wire for bank in trial.banks.values())):
        wire.lost = anew
    trial.learn()
    plain = Trial(problem.whole, problem.label, trial.parts, (0, 0, 1))
    plain.learn()
    assert trial.margin().tobytes() == plain.margin().tobytes()
