"""Importance and reasons of joint models: LightGBM's own figures on the pooled twin, and no name but one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import RemoteProtocolError
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import FaultyWire, MemoryWire
from federation.vertical.boosting.guest import Fitted, JointBoosting, TrainingRows
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Sealed
from federation.vertical.scoring.guest import score
from models.boosting.importance import Importance, by_feature, by_party, for_host, named
from models.boosting.parameters import BoostingParameters
from models.boosting.reasons import contributions
from models.bundle import Half, JointModel
from models.errors import ModelError
from models.losses import Floats
from models.reasons import Player
from models.table import Table
from tests.builders import BANK, BOOSTING_ALLOWED, FEW, HOSTS, PLAIN, SMALL, Problem, Session
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

BASE = BoostingParameters(n_estimators=4, max_depth=4, min_child_samples=0, max_bin=16, reg_lambda=0.0)


def fitted(tables: list[Table], label: Floats, n_fit: int, p: BoostingParameters) -> tuple[Fitted, list[Half]]:
    """A joint model and the halves of its hosts."""
    policy = HostPolicy(min_rows_per_bin=1, min_rows=1, cipher=PLAIN)
    hosts = {f"host:{k}": BoostingHost(f"host:{k}", table, policy) for k, table in enumerate(tables[1:])}
    boosting = JointBoosting("m", BANK, TrainingRows(tables[0], label, n_fit), tuple(hosts), PlainSecret(), p)
    wire = MemoryWire({party: Endpoint(host, BANK, BOOSTING_ALLOWED).answer for party, host in hosts.items()})
    done = run(boosting.fit(), wire)
    return done, [host.half for host in hosts.values()]


def name_of(player: Player, halves: list[Half]) -> str:
    """For the test alone: which feature a player is."""
    names = {half.party: half.names_of_numbers() for half in halves}
    return player.feature or names[player.party][player.number]


#: Shapley values ask where a row would go in nodes it never reaches. For values that no fitted row of a node has,
#: LightGBM and we answer differently (it takes the last of thresholds that tie, we the first; missing values go where
#: its scan left them, with us to the larger side). Wide bins and complete rows keep clear of that.
WIDE = replace(BASE, max_bin=4, max_depth=3, **FEW)
CASES = [WIDE, replace(WIDE, num_leaves=7, max_depth=4), replace(WIDE, objective="poisson", min_child_weight=20.0)]


@pytest.mark.parametrize("p", CASES, ids=["level-wise", "leaf-wise", "poisson"])
def test_contributions_and_importance_are_lightgbms_on_the_pooled_twin(problem: Problem, p: BoostingParameters) -> None:
    n_fit = len(problem.label) * 4 // 5
    tables = cut_in(problem.whole, 2, 2, 2)
    done, halves = fitted(tables, problem.label, n_fit, p)
    fit = problem.whole.take(np.arange(n_fit))
    booster, codes = lightgbm_twin(fit, problem.label[:n_fit], p, num_leaves=p.num_leaves or 2**p.max_depth)
    theirs = booster.predict(codes, pred_contrib=True)
    routes = {
        half.party: half.routes(table.take(np.arange(n_fit)))
        for half, table in zip((done.model.own, *halves), tables, strict=True)
    }
    ours = contributions(done.model, routes, n_fit)
    names = [name_of(player, halves) for player in ours.players]
    assert len(set(names)) == len(names) >= 5  # players are features, each once
    whole = ~np.isnan(codes).any(axis=1)
    assert whole.sum() > 150
    for k, name in enumerate(problem.whole.columns):
        own = ours.values[:, names.index(name)] if name in names else np.zeros(n_fit)
        np.testing.assert_allclose(own[whole], theirs[whole, k], atol=1e-6, rtol=0)
    assert ours.average == pytest.approx(theirs[0, -1], abs=1e-6)
    np.testing.assert_allclose(ours.average + ours.values.sum(axis=1), done.margin[:n_fit], atol=1e-12, rtol=0)

    importance = {name_of(player, halves): i for player, i in by_feature(done.model).items()}
    gain, split = (booster.feature_importance(kind) for kind in ("gain", "split"))
    for k, name in enumerate(problem.whole.columns):
        found = importance.get(name, Importance())
        assert found.n_splits == split[k]
        assert found.gain == pytest.approx(gain[k], rel=1e-5)
    parties = by_party(done.model)
    assert list(parties) == [BANK, "host:0", "host:1"]
    assert parties["host:0"].n_splits == split[2] + split[3]
    assert sum(i.gain for i in parties.values()) == pytest.approx(gain.sum(), rel=1e-5)


@pytest.fixture(scope="module")
def session(problem: Problem) -> Session:
    session = Session(problem, parameters=replace(SMALL, n_estimators=4, max_depth=4))
    session.trained = session.train()
    return session


def test_the_banks_half_names_no_feature_of_a_host(session: Session, problem: Problem) -> None:
    text = str(session.trained.fitted.model.to_json()) + str(by_feature(session.trained.fitted.model))
    assert "loan_amount" in text
    assert not [name for host in problem.hosts.values() for name in host.columns if name in text]


def test_a_host_puts_its_own_names_to_what_it_is_told(session: Session, problem: Problem) -> None:
    model = session.trained.fitted.model
    for party, host in session.hosts.items():
        told = for_host(model, party)
        at_home = named(host.half, told)
        assert set(at_home) <= set(problem.hosts[party].columns)
        used = {host.half.bins[s.feature].name for s in host.half.splits}
        assert set(at_home) == used
        for name, importance in at_home.items():
            cuts = [h for h, s in enumerate(host.half.splits) if host.half.bins[s.feature].name == name]
            nodes = [n for t in model.trees for n in t if n.owner == party and n.handle in cuts]
            assert importance.n_splits == len(nodes)
            assert importance.gain == pytest.approx(sum(n.gain for n in nodes))
        with pytest.raises(ModelError, match="1 of the feature numbers"):
            named(host.half, {99: next(iter(told.values()))})


def test_numbers_change_with_the_salt_and_tell_nothing_of_the_order(session: Session) -> None:
    half = next(h.half for h in session.hosts.values() if len({s.feature for s in h.half.splits}) == 2)
    seen = {replace(half, salt=str(k)).numbers() for k in range(20)}
    assert len(seen) == 2
    for numbers in seen:
        assert len(set(zip(numbers, [s.feature for s in half.splits], strict=True))) == 2


def test_reasons_come_with_the_scores_and_need_no_further_message(session: Session, problem: Problem) -> None:
    model, seen = session.trained.fitted.model, []
    wire = session.scoring_wire()
    plain = run(score(model, problem.guest), wire, lambda *m: seen.append(type(m[2])))
    explained = run(score(model, problem.guest, n_reasons=3), wire, lambda *m: seen.append(type(m[2])))
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    assert plain.reasons == ()
    assert explained.margin.tobytes() == plain.margin.tobytes()
    for row, reasons in enumerate(explained.reasons):
        values = [r.contribution for r in reasons]
        assert values == sorted(values, reverse=True)
        assert len(reasons) <= 3
        assert all(value > 0 for value in values)
        if np.isnan(explained.margin[row]):
            assert reasons == ()
    assert {r.player.party for reasons in explained.reasons for r in reasons} == {BANK, *HOSTS}
    alone = run(score(model, problem.guest.take(np.array([7])), n_reasons=3), wire)
    assert alone.reasons[0] == explained.reasons[7]


def test_a_stored_model_explains_alike_and_an_older_one_by_party(session: Session, problem: Problem) -> None:
    model = session.trained.fitted.model
    table = problem.guest.take(session.trained.arrangement.rows[:5])
    again = JointModel.from_json(model.to_json())
    assert again.digest() == model.digest()
    wire = session.scoring_wire()
    assert run(score(again, table, 4), wire).reasons == run(score(model, table, 4), wire).reasons
    older = JointModel.from_json({k: v for k, v in model.to_json().items() if k != "host_features"})
    found = run(score(older, table, 9), wire).reasons
    assert {r.player.number for reasons in found for r in reasons if r.player.party in HOSTS} == {-1}


@pytest.mark.parametrize(
    "change", [lambda m: m.features[:-1], lambda m: (*m.features, 0), lambda m: (-1, *m.features[1:])]
)
def test_numbers_that_do_not_fit_name_the_culprit(problem: Problem, change: Callable) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        spoil = party == HOSTS[1] and isinstance(message, Sealed)
        return encode(replace(message, features=change(message))) if spoil else frame

    session = Session(problem)
    with pytest.raises(RemoteProtocolError) as caught:
        session.train(FaultyWire(session.wire(), damage))
    assert (caught.value.party, caught.value.code) == (HOSTS[1], "bad_value")
