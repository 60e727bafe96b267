"""No side of a cut that a host makes has fewer rows than its floor, however leaves are made, whatever the bank asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import federation.vertical.boosting.host as host_module
from federation.policy import HostPolicy
from federation.vertical.bits import unpack_bits
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Choose, Chosen
from models.boosting.parameters import BoostingParameters
from tests.builders import HOSTS, PLAIN, Problem, Session
from tests.federation.vertical.test_continued import continued, trained
from tests.federation.vertical.test_level_sets import regions

FLOOR = 25
#: A bank that asks for the smallest leaves there are.
GREEDY = BoostingParameters(
    n_estimators=4,
    max_depth=5,
    min_child_samples=0,
    min_data_per_group=1,
    cat_smooth=1.0,
    cat_l2=0.0,
    min_child_weight=0.0,
    reg_lambda=0.0,
)
WAYS: dict[str, dict[str, Any]] = {
    "level by level": {},
    "best first": {"num_leaves": 20},
    "one level against the rest": {"max_cat_to_onehot": 255},
    "fine bins": {"max_bin": 253},
    "a sample of the rows": {"bagging_fraction": 0.5},
    "rows of large gradients": {"data_sample_strategy": "goss", "learning_rate": 0.9},
    "some columns": {"feature_fraction": 0.5},
    "coarse gradients": {"use_quantized_grad": True},
    "amounts": {"objective": "poisson"},
    "below own cuts only": {"own_cuts_only": True},
}


def session(floor: int, **changes: Any) -> Session:
    table, label = regions(1200)
    hosts = {HOSTS[0]: table.select(("region", "tax")), HOSTS[1]: table.select(("trade", "bill"))}
    problem = Problem(table.select(("amount",)), label, hosts, table)
    return Session(problem, policy=HostPolicy(floor, cipher=PLAIN), parameters=replace(GREEDY, **changes))


@pytest.fixture
def sides(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that take part in a tree, on either side of every cut, as hosts tell them to the bank."""
    found: list[int] = []
    real: Callable[[BoostingHost, Choose], Chosen] = BoostingHost._choose  # type: ignore[assignment]

    def choose(host: BoostingHost, m: Choose) -> Chosen:
        reply, state = real(host, m), host.state
        left = unpack_bits(reply.left, len(host.table))
        for node, _ in m.choices:
            here = np.intersect1d(np.flatnonzero(state.node_of == node), state.carrying)
            found.extend((int(left[here].sum()), int((~left[here]).sum())))
        return reply

    monkeypatch.setattr(BoostingHost, "_choose", choose)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_no_side_is_under_the_floor_and_no_honest_bank_is_refused(way: str, sides: list[int]) -> None:
    session(FLOOR, **WAYS[way]).train()
    assert len(sides) >= 8
    assert min(sides) >= FLOOR


def test_nor_where_trees_are_added_to_those_of_a_host_without_a_floor(sides: list[int]) -> None:
    first = session(1)
    start = first.train().fitted.model
    assert min(sides) < FLOOR
    sides.clear()
    trained(continued(session(FLOOR, n_estimators=8), first), start)
    assert len(sides) >= 8
    assert min(sides) >= FLOOR


def test_what_was_shown_does_not_matter_when_rows_are_parted(sides: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule of cells cuts under the floor are offered; a bank that takes one is refused all the same."""
    monkeypatch.setattr(host_module, "shown", lambda candidates, counts, floor, parent: parent)
    with pytest.raises(Exception) as caught:
        session(FLOOR).train()
    assert getattr(caught.value, "code", "") == "bad_value"
    assert not sides or min(sides) >= FLOOR
