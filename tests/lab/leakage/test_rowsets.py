"""A curious host keeps what its messages carry, and no more: checked against the trees the guest holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import Fitted, JointBoosting, TrainingRows
from federation.vertical.boosting.host import BoostingHost
from lab.leakage.rowsets import Watching
from models.binning import encode
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import Tree
from models.table import Table
from tests.builders import BANK, BOOSTING_ALLOWED, PLAIN, SMALL

N_ROWS, N_FIT = 300, 200
DEEP = replace(SMALL, n_estimators=3)


def train(p: BoostingParameters) -> tuple[Fitted, dict[str, Watching], list[Table]]:
    rng = np.random.default_rng(3)
    ids = tuple(map(str, range(N_ROWS)))
    tables = [Table(ids, {f"x{k}": rng.normal(size=N_ROWS), f"z{k}": rng.normal(size=N_ROWS)}) for k in range(3)]
    risk = np.sum([t.columns[f"x{k}"] for k, t in enumerate(tables)], axis=0)
    label = (risk + rng.normal(size=N_ROWS) > 1).astype(np.float64)
    policy = HostPolicy(min_rows_per_bin=1, min_rows=1, cipher=PLAIN)
    hosts = {f"host:{k}": Watching(BoostingHost(f"host:{k}", tables[k], policy)) for k in (1, 2)}
    wire = MemoryWire({party: Endpoint(host, BANK, BOOSTING_ALLOWED).answer for party, host in hosts.items()})
    boosting = JointBoosting("m", BANK, TrainingRows(tables[0], label, N_FIT), tuple(hosts), PlainSecret(), p)
    return run(boosting.fit(), wire), hosts, tables


def expected(fitted: Fitted, hosts: dict[str, Watching], tables: list[Table], party: str, tree: Tree) -> set[bytes]:
    """Sets of the nodes whose parents were cut above the last level, or by ``party``: from the model's halves."""
    routes = {BANK: fitted.model.own.routes(tables[0])}
    for k, host in enumerate(hosts.values(), 1):
        assert isinstance(host.responder, BoostingHost)
        assert host.responder.half is not None
        routes[f"host:{k}"] = host.responder.half.routes(tables[k])
    found: set[bytes] = set()

    def walk(place: int, here: np.ndarray, depth: int) -> None:
        node = tree[place]
        if not node.owner:
            return
        left = routes[node.owner][node.handle]
        for child, rows in ((node.left, here & left), (node.right, here & ~left)):
            if depth + 1 < DEEP.max_depth or node.owner == party:
                found.add(rows[:N_FIT].tobytes())
            walk(child, rows, depth + 1)

    walk(0, np.ones(N_ROWS, dtype=bool), 0)
    return found


def test_a_host_keeps_the_summed_nodes_and_its_own_last_cuts_and_nothing_else() -> None:
    fitted, hosts, tables = train(DEEP)
    for party, host in hosts.items():
        assert host.seen.n_rows == N_FIT
        for number, tree in enumerate(fitted.model.trees):
            kept = host.seen.trees[number]
            assert {sets.tobytes() for sets in kept} == expected(fitted, hosts, tables, party, tree)
            assert len({sets.tobytes() for sets in kept}) == len(kept)
    assert hosts["host:1"].seen.trees[0].shape != hosts["host:2"].seen.trees[0].shape


@pytest.mark.parametrize("alone", [1, 2])
def test_trees_of_the_guest_alone_are_not_seen(alone: int) -> None:
    _, hosts, _ = train(replace(DEEP, first_trees_guest_only=alone))
    assert [sorted(host.seen.trees) for host in hosts.values()] == [list(range(alone, 3))] * 2


def test_best_leaf_first_is_watched_too() -> None:
    _, hosts, _ = train(replace(DEEP, num_leaves=5))
    for sets in hosts["host:1"].seen.trees.values():
        assert 2 <= len(sets) <= 2 * 5 - 2
        assert sets.sum(axis=1).min() > 0
        assert sets.sum(axis=1).max() < N_FIT


def made_by_others(host: Watching, own: Table) -> int:
    """How many of the sets a host saw part rows that all of its own features have in common."""
    assert isinstance(host.responder, BoostingHost)
    assert host.responder.half is not None
    codes = encode(own, host.responder.half.bins)[:, :N_FIT]
    _, alike = np.unique(codes, axis=1, return_inverse=True)
    sizes = np.bincount(alike)
    seen = [sets for trees in host.seen.trees.values() for sets in trees]
    inside = [np.bincount(alike, weights=rows) for rows in seen]
    return sum(bool(((n > 0) & (n < sizes)).any()) for n in inside)


@pytest.mark.parametrize("more", [{}, {"num_leaves": 6}, {"bagging_fraction": 0.7}], ids=str)
def test_below_own_cuts_only_a_host_sees_what_it_could_have_parted_itself(more: dict[str, float]) -> None:
    p = replace(DEEP, n_estimators=6, max_bin=3, min_child_samples=5, **more)
    fitted, hosts, tables = train(replace(p, own_cuts_only=True))
    assert {n.owner for tree in fitted.model.trees for n in tree} == {BANK, *hosts, ""}
    for k, host in enumerate(hosts.values(), 1):
        assert host.seen.trees
        assert made_by_others(host, tables[k]) == 0
    _, open_, tables = train(p)
    assert all(made_by_others(host, tables[k]) > 0 for k, host in enumerate(open_.values(), 1))


def test_below_own_cuts_only_trees_still_mix_parties() -> None:
    fitted, _, _ = train(replace(DEEP, n_estimators=6, own_cuts_only=True))
    paths = {frozenset(owners) for tree in fitted.model.trees for owners in owners_of_paths(tree)}
    assert any({BANK, host} <= path for path in paths for host in ("host:1", "host:2"))
    assert not any({"host:1", "host:2"} <= path for path in paths)


def owners_of_paths(tree: Tree) -> list[set[str]]:
    """Of each leaf those whose cuts lead to it."""
    found: list[set[str]] = []

    def walk(place: int, above: set[str]) -> None:
        node = tree[place]
        if not node.owner:
            found.append(above)
            return
        for child in (node.left, node.right):
            walk(child, above | {node.owner})

    walk(0, set())
    return found
