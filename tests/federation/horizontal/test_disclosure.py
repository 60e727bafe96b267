"""What a run over sites is said to have told."""

from __future__ import annotations

import inspect
import re

import pytest

from federation.horizontal.aggregation.masking import messages as masking
from federation.horizontal.boosting import messages as m
from federation.horizontal.conduct import run_over_sites
from federation.horizontal.disclosure import SUMS, NotedSums
from federation.messages import REGISTRY
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import Trial, shares


def test_sums_stand_in_the_table_with_how_many_sites_they_are_of(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 7))
    trial.wire.loss = lambda party, request: "before" if getattr(request, "tree", 0) and party == "bank:02" else ""
    trial.boosting.aggregation = noted = NotedSums(trial.aggregation)
    run_over_sites(trial.boosting.fit(), trial.wire, noted.presence)
    labels, grown = noted.told()
    assert (labels["asked"], labels["times"], labels["fewest_sites"]) == (m.LabelsWanted.kind, 1, 7)
    assert (grown["asked"], grown["fewest_sites"]) == (m.Grow.kind, 4)
    opened = {
        (request.turn, reply)
        for party, request, reply in trial.wire.passed
        if party == "bank:00" and isinstance(request, masking.Unmask)
    }
    assert labels["times"] + grown["times"] == len(opened) > 6  # what a site helped to open, and nothing else
    assert "defaults per bin" in grown["reveals"]


def test_every_request_for_a_contribution_says_what_its_sum_tells() -> None:
    """A request says "Contribute" in its docstring."""
    asking = {
        kind
        for kind in REGISTRY.values()
        if kind.__module__.startswith("federation.horizontal")
        and re.search("ontribute[ ,]", inspect.getdoc(kind) or "")
        if "Coordinator →" in (inspect.getdoc(kind) or "")
    } | {m.Grow}
    assert asking - {masking.Contributors} == set(SUMS)


@pytest.mark.parametrize("kind", SUMS, ids=lambda kind: kind.kind)
def test_both_languages_are_there(kind: type) -> None:
    english, chinese = SUMS[kind]
    assert english.endswith(".")
    assert chinese.endswith("。")
    assert "these sites" in english
    assert "这些站点" in chinese
