"""A whole scorecard session: joint equals scikit-learn on the joined table, whatever the cipher and the memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.memory import AmnesiacWire, MemoryWire
from federation.vertical.boosting.messages import Seal
from federation.vertical.host import ALLOWED, TrainingHost
from federation.vertical.scorecard.guest import Developed, ScorecardJob, develop
from federation.vertical.scorecard.messages import Selected
from models.errors import DataError, LianmoError
from models.scorecard.card import ScorecardHalf, ScorecardRules, woe_of
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import SelectionRules
from tests.builders import BANK, PLAIN, Problem, three_quarters, vertical_problem
from tests.conftest import Key

EXACT = ScorecardRules(rounding=False)


@dataclass
class Session:
    problem: Problem
    policy: HostPolicy = field(default_factory=lambda: HostPolicy(min_rows_per_bin=5, cipher=PLAIN))
    cipher: Callable[[int], SecretCipher] = lambda _: PlainSecret()
    options: dict[str, Any] = field(default_factory=dict)
    hosts: dict[PartyId, TrainingHost] = field(init=False)

    def __post_init__(self) -> None:
        self.hosts = {party: self.build(party)() for party in self.problem.hosts}

    def build(self, party: PartyId) -> Callable[[], TrainingHost]:
        return lambda: TrainingHost(party, self.problem.hosts[party], self.policy)

    def wire(self) -> MemoryWire:
        return MemoryWire({party: Endpoint(host, BANK, ALLOWED).answer for party, host in self.hosts.items()})

    def develop(self, wire: Wire | None = None) -> Developed:
        job = ScorecardJob(
            model_id="m-1",
            party=BANK,
            table=self.problem.guest,
            label=self.problem.label,
            hosts=tuple(self.problem.hosts),
            new_cipher=self.cipher,
            arrange=three_quarters,
            **{"points": EXACT} | self.options,
        )
        return run(develop(job), wire or self.wire())

    @property
    def halves(self) -> dict[PartyId, ScorecardHalf]:
        found = {party: host.half for party, host in self.hosts.items()}
        assert all(isinstance(half, ScorecardHalf) for half in found.values())
        return found  # type: ignore[return-value]


@pytest.fixture(scope="module")
def large() -> Problem:
    return vertical_problem(2000, seed=4)


@pytest.fixture(scope="module")
def plain(large: Problem) -> tuple[Session, Developed]:
    session = Session(large)
    return session, session.develop()


def rows_of(problem: Problem, developed: Developed, party: PartyId) -> Any:
    ids = [problem.guest.ids[r] for r in developed.arrangement.rows]
    place = {identifier: k for k, identifier in enumerate(problem.hosts[party].ids)}
    return problem.hosts[party].take(np.array([place[i] for i in ids]))


def test_coefficients_are_those_of_scikit_learn_on_the_joined_woe(
    large: Problem, plain: tuple[Session, Developed]
) -> None:
    session, developed = plain
    rows, n_fit = developed.arrangement.rows, developed.arrangement.n_fit
    own = developed.fitted.model.half
    designs = [woe_of(own.features, large.guest.take(rows))]
    designs += [woe_of(half.features, rows_of(large, developed, party)) for party, half in session.halves.items()]
    assert all(d.shape[1] for d in designs)
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.hstack(designs)[:n_fit], large.label[rows][:n_fit]
    )
    joint = [*own.coefficients, *(c for half in session.halves.values() for c in half.coefficients)]
    np.testing.assert_allclose(joint, oracle.coef_[0], atol=1e-4)
    assert own.intercept == pytest.approx(float(oracle.intercept_[0]), abs=1e-4)
    np.testing.assert_allclose(developed.fitted.margin, oracle.decision_function(np.hstack(designs)), atol=1e-4)


def test_weighted_coefficients_are_those_of_scikit_learn_and_bins_count_applicants(
    large: Problem, plain: tuple[Session, Developed]
) -> None:
    weight = np.random.default_rng(0).uniform(0.2, 5.0, len(large.label))
    session = Session(large, options={"weight": weight})
    developed = session.develop()
    rows, n_fit = developed.arrangement.rows, developed.arrangement.n_fit
    own = developed.fitted.model.half
    designs = [woe_of(own.features, large.guest.take(rows))]
    designs += [woe_of(half.features, rows_of(large, developed, party)) for party, half in session.halves.items()]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.hstack(designs)[:n_fit], large.label[rows][:n_fit], sample_weight=weight[rows][:n_fit]
    )
    np.testing.assert_allclose(developed.fitted.margin, oracle.decision_function(np.hstack(designs)), atol=1e-4)
    assert [f.table for f in developed.binned.own] == [f.table for f in plain[1].binned.own]
    assert np.abs(developed.fitted.margin - plain[1].fitted.margin).max() > 0.01


def test_points_of_all_parties_add_up_to_the_score(large: Problem, plain: tuple[Session, Developed]) -> None:
    session, developed = plain
    rows = developed.arrangement.rows
    points = developed.fitted.model.half.points(large.guest.take(rows))
    for party, half in session.halves.items():
        points = points + half.points(rows_of(large, developed, party))
    np.testing.assert_allclose(points, EXACT.offset - EXACT.factor * developed.fitted.margin, atol=1e-6)


def test_encrypted_and_forgetful_hosts_give_the_same_scorecard(problem: Problem, real_key: Key) -> None:
    options = {"fitting": LogisticRules(l2=1.0)}
    expected = Session(problem, options=options).develop()
    forgetful = Session(problem, options=options)
    wire = AmnesiacWire(BANK, {party: forgetful.build(party) for party in forgetful.hosts}, ALLOWED)
    assert forgetful.develop(wire).fitted.margin.tobytes() == expected.fitted.margin.tobytes()
    encrypted = Session(problem, options=options, cipher=lambda _: real_key.secret())
    found = encrypted.develop()
    np.testing.assert_allclose(found.fitted.margin, expected.fitted.margin, atol=1e-9)
    assert [v.reason for v in found.verdicts].count("") == [v.reason for v in expected.verdicts].count("")


def test_only_selected_features_reach_the_scorecard(plain: tuple[Session, Developed], large: Problem) -> None:
    _, developed = plain
    strong = sorted((v.information_value for v in developed.verdicts), reverse=True)[2]
    session = Session(large, options={"selection": SelectionRules(min_information_value=strong)})
    fewer = session.develop()
    n_used = len(fewer.fitted.model.half.features) + sum(len(h.features) for h in session.halves.values())
    assert n_used == [v.reason for v in fewer.verdicts].count("") == 3
    assert {v.reason for v in fewer.verdicts} == {"", "weak"}


def together(problem: Problem) -> Problem:
    """One feature more at each of two parties: of the first host that of the bank, of the second that of the first."""
    rng = np.random.default_rng(0)

    def known(column: str, party: PartyId) -> Any:
        values = dict(zip(problem.whole.ids, problem.whole.columns[column], strict=True))
        found = np.array([values.get(i, np.nan) for i in problem.hosts[party].ids], dtype=np.float64)
        return found + 0.05 * rng.normal(size=len(found))

    first, second = problem.hosts
    more = {first: ("income_again", "monthly_income"), second: ("tax_again", "tax_paid_2023")}
    hosts = {
        party: replace(problem.hosts[party], columns={**problem.hosts[party].columns, name: known(of, party)})
        for party, (name, of) in more.items()
    }
    return replace(problem, hosts=hosts)


def test_features_that_go_together_across_parties_are_left_out(large: Problem) -> None:
    session = Session(together(large))
    developed = session.develop()
    gone = [v for v in developed.verdicts if v.reason == "correlated"]
    assert len(gone) == 2
    assert all(abs(v.figure or 0.0) > 0.9 for v in gone)
    # Each with one of another party; of hosts by number only.
    assert all(v.other and not v.other.startswith(v.party) for v in gone)
    halves = [developed.fitted.model.half, *session.halves.values()]
    used = [f.name for half in halves for f in half.features]
    assert len({"monthly_income", "income_again"} & set(used)) == len({"tax_paid_2023", "tax_again"} & set(used)) == 1
    assert len(developed.fitted.correlation) == len(used)


def p_values(developed: Developed) -> list[float]:
    found = [*developed.fitted.own, *(c for of_host in developed.fitted.of_hosts.values() for c in of_host)]
    return [c.p_value for c in found if c.p_value is not None]


def test_what_is_left_after_elimination_is_what_scikit_learn_fits(
    large: Problem, plain: tuple[Session, Developed]
) -> None:
    limit = float(np.median(p_values(plain[1])))
    rules = SelectionRules(min_information_value=0.0, max_p_value=limit, right_signs=True)
    session = Session(large, options={"selection": rules})
    developed = session.develop()
    assert {v.reason for v in developed.verdicts} >= {"", "insignificant"}
    rows, n_fit = developed.arrangement.rows, developed.arrangement.n_fit
    own = developed.fitted.model.half
    designs = [woe_of(own.features, large.guest.take(rows))]
    designs += [woe_of(half.features, rows_of(large, developed, party)) for party, half in session.halves.items()]
    oracle = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.hstack(designs)[:n_fit], large.label[rows][:n_fit]
    )
    joint = [*own.coefficients, *(c for half in session.halves.values() for c in half.coefficients)]
    np.testing.assert_allclose(joint, oracle.coef_[0], atol=1e-5)
    assert max(p_values(developed)) <= limit
    assert max(joint) < 0


def test_without_any_feature_there_is_no_scorecard(large: Problem) -> None:
    with pytest.raises(DataError) as caught:
        Session(large, options={"selection": SelectionRules(min_information_value=99.0)}).develop()
    assert caught.value.code == "nothing_selected"


@pytest.mark.parametrize("numbers", [(1, 1), (0,), (9,), (1, -1)], ids=str)
def test_a_host_refuses_features_that_it_does_not_have(large: Problem, numbers: tuple[int, ...]) -> None:
    session = Session(large)
    session.develop()
    host = replace_scorecard(session)
    with pytest.raises(LianmoError) as caught:
        host.answer(Selected(numbers=numbers))
    assert caught.value.code == "bad_value"
    assert host.half is None


def replace_scorecard(session: Session) -> TrainingHost:
    """The first host as it stood before features were selected."""
    host = next(iter(session.hosts.values()))
    assert host.scorecard
    host.scorecard.logistic = None
    return host


def test_a_session_that_makes_a_scorecard_does_not_boost(plain: tuple[Session, Developed]) -> None:
    host = next(iter(plain[0].hosts.values()))
    with pytest.raises(LianmoError) as caught:
        host.answer(Seal(n_handles=0))
    assert caught.value.code == "out_of_turn"
