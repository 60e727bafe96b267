"""A site that refuses is one that leaves; where too few are left, it is named."""

from __future__ import annotations

import logging

import pytest

from federation.errors import LocalProtocolError, Refused
from federation.horizontal.conduct import run_over_sites
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import Trial, shares


def refusing(problem: Problem, n_sites: int, party: str = "bank:01") -> Trial:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), n_sites))
    trial.sites[party].boosting.label = trial.sites[party].label + 0.5
    return trial


def test_the_others_go_on_and_it_is_logged(problem: Problem, caplog: pytest.LogCaptureFixture) -> None:
    trial = refusing(problem, 4)
    with caplog.at_level(logging.WARNING, "lianmo.sites"):
        grown = run_over_sites(trial.boosting.fit(), trial.wire, trial.aggregation.presence)
    rest = ("bank:00", "bank:02", "bank:03")
    assert grown.contributors == (rest,) * 3
    assert trial.aggregation.presence.refusals == {"bank:01": "bad_data"}
    assert [r.getMessage() for r in caplog.records if r.name == "lianmo.sites"] == [
        "bank:01 refused and is left out: bad_data 拒绝并退出本次运行"
    ]


def test_a_run_that_cannot_go_on_ends_with_the_first_refusal(problem: Problem) -> None:
    trial = refusing(problem, 3)
    with pytest.raises(Refused) as caught:
        run_over_sites(trial.boosting.fit(), trial.wire, trial.aggregation.presence)
    assert (caught.value.party, caught.value.code) == ("bank:01", "bad_data")
    assert isinstance(caught.value.__cause__, LocalProtocolError)


def test_too_few_without_a_refusal_are_just_too_few(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    trial.wire.loss = lambda party, request: "before" if party == "bank:01" else ""
    with pytest.raises(LocalProtocolError, match="over 2 sites"):
        run_over_sites(trial.boosting.fit(), trial.wire, trial.aggregation.presence)


def test_a_site_that_refuses_in_the_middle_does_not_leave_sums_alone(problem: Problem) -> None:
    """Others stand aside with it, as with one that vanishes."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 7))
    answer = trial.sites["bank:01"].boosting.answer

    class Fickle:
        def __getattr__(self, name: str) -> object:
            return getattr(trial.sites["bank:01"].boosting, name)

        def answer(self, request: object) -> object:
            if getattr(request, "tree", 0) == 1:
                raise LocalProtocolError("policy", "no more", "不再参与")
            return answer(request)

    original, trial.sites["bank:01"].boosting = trial.sites["bank:01"].boosting, Fickle()
    grown = run_over_sites(trial.boosting.fit(), trial.wire, trial.aggregation.presence)
    assert original.state.tree == 1
    assert [len(c) for c in grown.contributors] == [7, 4, 4]
    assert trial.aggregation.presence.refusals == {"bank:01": "policy"}
