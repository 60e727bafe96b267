"""Best leaf first: LightGBM's trees under ``num_leaves``, fewer exchanges than cuts, and hosts that count."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import AmnesiacWire
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Choose, Grow
from federation.vertical.host import ALLOWED
from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.errors import LianmoError, ModelError
from tests.builders import BANK, PLAIN, SMALL, Counting, Problem, Session, fit_aligned, outline, vertical_problem
from tests.conftest import Key
from tests.federation.vertical.boosting.test_host import HALF, N, driven, one, refused, table
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

BASE = BoostingParameters(n_estimators=3, max_depth=12, min_child_samples=0, max_bin=16, reg_lambda=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        *({"num_leaves": n} for n in (2, 3, 6, 11)),
        {"num_leaves": 20, "min_child_weight": 2.6},  # the smallest nodes hold cuts that tie
        {"num_leaves": 7, "max_depth": 3},
        {"num_leaves": 10, "max_depth": 4},
        {"num_leaves": 9, "min_child_weight": 4.0},
        {"num_leaves": 12, "objective": "regression"},
    ],
    ids=str,
)
def test_trees_are_lightgbms(problem: Problem, changes: dict[str, object]) -> None:
    p = replace(BASE, **changes)
    parts, n_fit = cut_in(problem.whole, 2, 2, 2), len(problem.label) * 4 // 5
    joint = fit_aligned(parts, problem.label, n_fit, p)
    fit, label = problem.whole.take(np.arange(n_fit)), problem.label[:n_fit]
    booster, codes = lightgbm_twin(fit, label, p, num_leaves=p.num_leaves)
    np.testing.assert_allclose(joint.margin[:n_fit], booster.predict(codes, raw_score=True), atol=1e-6, rtol=0)
    pooled = fit_aligned([problem.whole], problem.label, n_fit, p)
    assert pooled.margin.tobytes() == joint.margin.tobytes()
    leaves = [sum(not n.owner for n in tree) for tree in joint.model.trees]
    assert leaves == [info["num_leaves"] for info in booster.dump_model()["tree_info"]]
    assert {n.owner for t in joint.model.trees for n in t} > {"", BANK} or p.num_leaves == 2


@pytest.mark.parametrize("depth", [2, 4])
def test_room_for_every_leaf_is_level_by_level(problem: Problem, depth: int) -> None:
    parts = cut_in(problem.whole, 2, 2, 2)
    p = replace(BASE, max_depth=depth)
    level, leaf = (fit_aligned(parts, problem.label, 300, replace(p, num_leaves=n)) for n in (0, 2**depth))
    assert level.margin.tobytes() == leaf.margin.tobytes()


@pytest.mark.parametrize("seed", range(4))
def test_cutting_what_is_certain_at_once_is_best_first(seed: int) -> None:
    """The tree of ``k + 1`` leaves is the tree of ``k`` leaves with its best leaf cut, however many are cut at once."""
    whole = vertical_problem(n=200, seed=seed)
    values = []
    for k in range(2, 14):
        p = replace(BASE, n_estimators=1, max_depth=5, min_child_samples=3, num_leaves=k)
        tree = fit_aligned([whole.whole], whole.label, 150, p).model.trees[0]
        values.append(sorted(n.gain for n in tree if n.owner))
    for fewer, more in pairwise(values):
        rest = list(more)
        for gain in fewer:
            rest.remove(gain)
        assert len(rest) == 1


def asked(problem: Problem, p: BoostingParameters) -> tuple[list[Grow], int]:
    """Requests one host sees in the first tree, and the tree's cuts."""
    session, seen = Session(problem, parameters=p), []

    def witness(sender: str, receiver: str, message: Message, _size: int) -> None:
        if not sender and receiver == "host:tax" and isinstance(message, Grow) and message.tree == 0:
            seen.append(message)

    trained = run(session.script(), session.wire(), witness)
    return seen, sum(bool(n.owner) for n in trained.fitted.model.trees[0])


def test_one_exchange_serves_several_nodes(problem: Problem) -> None:
    requests, n_cuts = asked(problem, replace(SMALL, max_depth=5, min_child_samples=10, num_leaves=10))
    assert n_cuts == 9
    assert len(requests) < n_cuts - 2
    assert max(len(m.pairs) for m in requests) > 1


def test_hosts_are_told_no_cut_whose_children_need_no_sums(problem: Problem) -> None:
    requests, n_cuts = asked(problem, replace(SMALL, max_depth=12, num_leaves=4))
    assert n_cuts == 3
    assert sum(len(m.cuts) for m in requests) <= 2


def test_encrypted_and_forgetful_hosts_build_the_same_model(problem: Problem, real_key: Key) -> None:
    p = replace(SMALL, max_depth=6, num_leaves=7, n_estimators=1)
    expected = outline(Session(problem, parameters=p).train())
    forgetful = Session(problem, parameters=p)
    assert outline(forgetful.train(AmnesiacWire(BANK, forgetful.builds, ALLOWED))) == expected
    assert outline(Session(problem, parameters=p, cipher=lambda _: real_key.secret()).train()) == expected


def test_a_floor_holds(problem: Problem) -> None:
    p = replace(SMALL, max_depth=8, num_leaves=10)
    first, again = (
        Session(problem, policy=HostPolicy(min_rows_per_bin=8, cipher=PLAIN), parameters=p).train() for _ in range(2)
    )
    assert outline(first) == outline(again)


# -- the host counts -----------------------------------------------------------------------------------------------


def growing(num_leaves: int, max_depth: int = 3) -> Counting:
    c = driven("closed")
    c.host = BoostingHost("host:a", table(), HostPolicy(3, min_rows=1, cipher=PLAIN))
    c.host.answer(c.opening(num_leaves=num_leaves, max_depth=max_depth))
    c.begin()
    c.root()
    return c


QUARTER = np.packbits(np.arange(N) % 4 == 0).tobytes()
FIRST = Grow(tree=0, cuts=((0, 1, 2),), left=HALF, pairs=((1, 2),))


def test_no_more_nodes_are_shown_than_the_leaves_allow() -> None:
    assert refused(growing(2).host, FIRST) == "bad_value"
    c = growing(4, max_depth=1)  # leaves count, not levels
    c.host.answer(FIRST)
    c.host.answer(Grow(tree=0, cuts=((1, 3, 4),), left=QUARTER, pairs=((3, 4),)))
    again = Grow(tree=0, cuts=((2, 5, 6),), left=np.packbits(np.arange(N) % 3 == 0).tobytes(), pairs=((5, 6),))
    assert refused(c.host, again) == "bad_value"
    roomier = growing(5, max_depth=1)
    for request in (FIRST, Grow(tree=0, cuts=((1, 3, 4),), left=QUARTER, pairs=((3, 4),)), again):
        roomier.host.answer(request)
    assert roomier.host.state.n_shown == 7


def test_a_node_that_waited_may_be_cut_later_and_once() -> None:
    c = growing(6)
    c.host.answer(FIRST)
    c.host.answer(Grow(tree=0, cuts=((1, 3, 4),), left=QUARTER, pairs=((3, 4),)))
    assert set(c.host.state.offered) == {2, 3, 4}
    mask = np.unpackbits(np.frombuffer(dict(c.host.state.masks)[2], np.uint8), count=c.n_candidates).astype(bool)
    place = int(np.flatnonzero(mask[c.host.state.order])[0])
    for gone in (0, 1):
        assert refused(c.host, Choose(tree=0, choices=((gone, one(place)),))) == "bad_value"
    choice = Choose(tree=0, choices=((2, one(place)),))
    assert c.host.answer(choice).handles == (0,)
    assert refused(c.host, choice) == "bad_value"


def test_level_by_level_no_node_waits() -> None:
    c = growing(0)
    c.host.answer(FIRST)
    c.host.answer(Grow(tree=0, cuts=((1, 3, 4),), left=QUARTER, pairs=((3, 4),)))
    assert set(c.host.state.offered) == {3, 4}


@pytest.mark.parametrize("wrong", [1, -1, 4097])
def test_leaves_out_of_range_are_refused(wrong: int) -> None:
    c = driven("closed")
    host = BoostingHost("host:a", table(), HostPolicy(3, min_rows=1, cipher=PLAIN))
    with pytest.raises(LianmoError) as caught:
        host.answer(c.opening(num_leaves=wrong))
    assert caught.value.code == "bad_value"
    with pytest.raises(ModelError, match="num_leaves"):
        BoostingParameters(num_leaves=wrong)


def test_the_bank_alone_has_as_many_leaves(problem: Problem) -> None:
    booster = fit_baseline(problem.whole, problem.label, replace(SMALL, num_leaves=5, max_depth=8)).booster
    assert max(t["num_leaves"] for t in booster.dump_model()["tree_info"]) == 5
