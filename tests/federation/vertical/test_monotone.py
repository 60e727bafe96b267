"""Monotone constraints: LightGBM's trees with method "basic"; each party states its own, the guest learns no name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.codec import decode, encode
from federation.errors import LianmoError, Refused, RemoteProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import AmnesiacWire, FaultyWire
from federation.vertical.boosting.messages import Sums
from federation.vertical.host import ALLOWED
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import margins
from models.bundle import Half, JointModel
from models.errors import DataError, ModelError
from models.table import Table
from tests.builders import BANK, HOSTS, PLAIN, SMALL, Problem, Session, fit_aligned, outline
from tests.conftest import Key
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

BASE = BoostingParameters(n_estimators=3, max_depth=2, min_child_samples=0, max_bin=16, reg_lambda=0.0)
#: One of them against the data: risk rises with tax_paid_2023 in this problem.
CONSTRAINTS = {"monthly_income": -1, "tax_paid_2023": 1, "tax_arrears_days": -1, "phone_bill_mean": -1}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"max_depth": 3},
        {"max_depth": 5, "num_leaves": 6},
        {"n_estimators": 8, "learning_rate": 0.5},
        {"objective": "regression", "max_depth": 3},
        {"reg_lambda": 3.0},
    ],
    ids=str,
)
def test_trees_are_lightgbms(problem: Problem, changes: dict[str, object]) -> None:
    p = replace(BASE, **changes)
    n_fit = len(problem.label) * 4 // 5
    joint = fit_aligned(cut_in(problem.whole, 2, 2, 2), problem.label, n_fit, p, constraints=CONSTRAINTS)
    fit, label = problem.whole.take(np.arange(n_fit)), problem.label[:n_fit]
    options = {
        "monotone_constraints": [CONSTRAINTS.get(name, 0) for name in fit.columns],
        "monotone_constraints_method": "basic",
        "num_leaves": p.num_leaves or 2**p.max_depth,
    }
    booster, codes = lightgbm_twin(fit, label, p, **options)
    expected = booster.predict(codes, raw_score=True)
    np.testing.assert_allclose(joint.margin[:n_fit], expected, atol=1e-6, rtol=0)
    free, _ = lightgbm_twin(fit, label, p, num_leaves=options["num_leaves"])
    assert np.abs(free.predict(codes, raw_score=True) - expected).max() > 0.01
    pooled = fit_aligned([problem.whole], problem.label, n_fit, p, constraints=CONSTRAINTS)
    assert pooled.margin.tobytes() == joint.margin.tobytes()


def moved(model: JointModel, halves: list[Half], table: Table, name: str) -> np.ndarray:
    """Margins of ``table`` while ``name`` takes ever larger values, shape ``(n_values, n_rows)``."""
    found = []
    for value in np.linspace(-3, 3, 25):
        changed = Table(table.ids, {**table.columns, name: np.full(len(table), value)})
        routes = {half.party: half.routes(changed) for half in halves}
        found.append(margins(model.trees, model.base_margin, routes, len(table)))
    return np.array(found)


@pytest.mark.parametrize(
    "changes", [{}, {"use_quantized_grad": True, "max_depth": 6}, {"objective": "poisson"}], ids=str
)
def test_predictions_rise_and_fall_as_every_party_said(problem: Problem, changes: dict[str, object]) -> None:
    p = replace(BASE, **({"max_depth": 5, "n_estimators": 6, "learning_rate": 0.5} | changes))
    policies = {
        HOSTS[0]: {"tax_paid_2023": 1, "tax_arrears_days": -1},
        HOSTS[1]: {"phone_bill_mean": -1},
    }
    session = constrained(problem, policies, replace(p, monotone_constraints={"loan_amount": 1, "monthly_income": -1}))
    model = session.train().fitted.model
    halves = [model.own, *(host.half for host in session.hosts.values())]
    said = {"loan_amount": 1, "monthly_income": -1, **policies[HOSTS[0]], **policies[HOSTS[1]]}
    table = problem.whole.take(np.arange(60))
    flat = 0
    for name, direction in said.items():
        steps = direction * np.diff(moved(model, halves, table, name), axis=0)
        assert steps.min() >= 0
        flat += steps.max() == 0
    assert flat < len(said)
    free = Session(problem, parameters=p)
    wild = free.train().fitted.model
    halves = [wild.own, *(host.half for host in free.hosts.values())]
    assert any((d * np.diff(moved(wild, halves, table, name), axis=0)).min() < 0 for name, d in said.items())


def constrained(problem: Problem, wishes: dict[str, dict[str, int]], p: BoostingParameters) -> Session:
    session = Session(problem, parameters=p)
    for party, host in session.hosts.items():
        host.policy = HostPolicy(min_rows_per_bin=1, cipher=PLAIN, monotone_constraints=wishes.get(party, {}))
    return session


def test_a_constraint_that_the_data_contradict_yields_no_cut(problem: Problem) -> None:
    p = replace(BASE, max_depth=1, n_estimators=3)
    parts = cut_in(problem.whole.select(("loan_amount", "tax_paid_2023")), 1, 1)
    with_the_data = fit_aligned(parts, problem.label, 300, p, constraints={"tax_paid_2023": 1})
    against = fit_aligned(parts, problem.label, 300, p, constraints={"tax_paid_2023": -1, "loan_amount": -1})
    assert any(n.owner == "host:0" for t in with_the_data.model.trees for n in t)
    missing_apart = [n for t in against.model.trees for n in t if n.owner]  # only "missing against all" can be left
    assert all(n.gain < 5 for n in missing_apart)
    assert max(n.gain for t in with_the_data.model.trees for n in t) > 20


def told(problem: Problem, wishes: dict[str, dict[str, int]]) -> dict[str, list[bytes]]:
    seen: dict[str, list[bytes]] = {}

    def witness(sender: str, _receiver: str, message: Message, _size: int) -> None:
        if isinstance(message, Sums):
            seen.setdefault(sender, []).append(message.directions)

    session = constrained(problem, wishes, SMALL)
    run(session.script(), session.wire(), witness)
    return seen


def test_directions_are_told_once_a_tree_and_only_by_who_has_some(problem: Problem) -> None:
    seen = told(problem, {HOSTS[0]: {"tax_paid_2023": 1}})
    assert set(seen[HOSTS[1]]) == {b""}
    spoken = [bits for bits in seen[HOSTS[0]] if bits]
    assert len(spoken) == SMALL.n_estimators
    assert spoken[0] != spoken[1]  # a new order for each tree
    assert sorted(np.unpackbits(np.frombuffer(spoken[0], np.uint8))) == sorted(
        np.unpackbits(np.frombuffer(spoken[1], np.uint8))
    )


def test_encrypted_and_forgetful_hosts_build_the_same_model(problem: Problem, real_key: Key) -> None:
    p = replace(SMALL, n_estimators=1, monotone_constraints={"loan_amount": -1})
    policy = {HOSTS[0]: {"tax_paid_2023": 1}}

    def session(**options: object) -> Session:
        made = constrained(problem, policy, p)
        for name, value in options.items():
            setattr(made, name, value)
        return made

    expected = outline(session().train())
    assert outline(session(cipher=lambda _: real_key.secret()).train()) == expected
    forgetful = session()
    hosts = forgetful.builds

    def build(party: str) -> Callable[[], object]:
        def made() -> object:
            host = hosts[party]()
            host.policy = forgetful.hosts[party].policy
            return host

        return made

    assert outline(forgetful.train(AmnesiacWire(BANK, {party: build(party) for party in hosts}, ALLOWED))) == expected


@pytest.mark.parametrize("name", ["tax_paid", "occupation_class"])
def test_a_constraint_on_no_numeric_feature_is_named_at_home(problem: Problem, name: str) -> None:
    with pytest.raises(Refused) as refused:
        constrained(problem, {HOSTS[1]: {name: 1}}, SMALL).train()
    assert (refused.value.party, refused.value.code) == (HOSTS[1], "bad_data")
    with pytest.raises(DataError, match=name) as caught:
        fit_aligned([problem.whole], problem.label, 300, replace(SMALL, monotone_constraints={name: 1}))
    assert caught.value.code == "monotone_constraints"


@pytest.mark.parametrize("bits", [b"\xff", b"\xff" * 100, None])
def test_directions_that_do_not_fit_name_the_culprit(problem: Problem, bits: bytes | None) -> None:
    def damage(count: int, party: str, frame: bytes) -> bytes:
        message = decode(frame, party)
        if party == HOSTS[0] and isinstance(message, Sums) and bool(message.directions) == (bits is not None):
            wrong = bits or b"\0" * 9
            return encode(replace(message, directions=wrong))
        return frame

    session = constrained(problem, {HOSTS[0]: {"tax_paid_2023": 1}}, SMALL)
    with pytest.raises(LianmoError) as caught:
        session.train(FaultyWire(session.wire(), damage))
    assert isinstance(caught.value, RemoteProtocolError)
    assert (caught.value.party, caught.value.code) == (HOSTS[0], "bad_value")


def test_directions_are_minus_one_zero_or_one() -> None:
    with pytest.raises(ModelError, match="monotone_constraints"):
        BoostingParameters(monotone_constraints={"x": 2})
