"""Shapley values against shap and by hand: every coalition of small trees, and the axioms."""

from __future__ import annotations

import json
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.binning import FeatureBins
from models.boosting.reasons import contributions
from models.boosting.splits import Split
from models.boosting.trees import Node, Routes, Tree, margins
from models.bundle import Half, JointModel
from models.reasons import Player, Reason

BINS = tuple(FeatureBins(name, category=False, edges=(0.0,)) for name in ("income", "age"))


def grown(rng: np.random.Generator, depth: int, n_rows: int = 1000) -> Tree:
    """A tree cut at random at handles 0 to 3 of the bank and 0 to 4 of a host; cuts repeat along paths."""
    tree: Tree = [Node(n_rows=n_rows)]
    levels = {0: 0}
    for k in range(2 ** (depth + 1)):
        if k >= len(tree) or levels[k] == depth or rng.random() < 0.15 * levels[k]:
            continue
        node, n_left = tree[k], int(rng.integers(1, tree[k].n_rows))
        owner = ["bank", "host:a"][int(rng.integers(2))]
        handle = int(rng.integers(4 if owner == "bank" else 5))
        tree[k] = Node(owner, handle, len(tree), len(tree) + 1, gain=1.0, n_rows=node.n_rows)
        levels |= {len(tree): levels[k] + 1, len(tree) + 1: levels[k] + 1}
        tree += [Node(n_rows=n_left), Node(n_rows=node.n_rows - n_left)]
        if min(tree[-1].n_rows, tree[-2].n_rows) < 2:
            levels |= {len(tree) - 1: depth, len(tree) - 2: depth}
    for node in tree:
        node.value = float(rng.normal())
    return tree


def model_of(trees: list[Tree]) -> JointModel:
    own = Half("m", "bank", BINS, tuple(Split(k % 2, 0, False) for k in range(4)))
    return JointModel(own, tuple(trees), 0.3, {"host:a": ""}, host_features={"host:a": (2, 0, 2, 1, 0)})


def worth(model: JointModel, tree: Tree, routes: Routes, row: int, inside: set[Player], k: int = 0) -> float:
    """Lundberg et al. (2020), algorithm 1, as written there."""
    node = tree[k]
    if not node.owner:
        return node.value
    if model.player_of(node) in inside:
        return worth(
            model, tree, routes, row, inside, node.left if routes[node.owner][node.handle][row] else node.right
        )
    return sum(
        worth(model, tree, routes, row, inside, child) * tree[child].n_rows / node.n_rows
        for child in (node.left, node.right)
    )


@pytest.mark.parametrize("seed", range(6))
def test_values_are_those_of_every_coalition_counted_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trees = [grown(rng, depth=4) for _ in range(2)]
    model = model_of(trees)
    routes = {"bank": rng.random((4, 5)) < 0.5, "host:a": rng.random((5, 5)) < 0.5}
    found = contributions(model, routes, 5)
    players, n = found.players, len(found.players)
    assert n >= 4
    for row in range(5):
        for k, player in enumerate(players):
            others = [p for p in players if p != player]
            expected = 0.0
            for size in range(n):
                for coalition in map(set, combinations(others, size)):
                    gained = sum(
                        worth(model, t, routes, row, coalition | {player}) - worth(model, t, routes, row, coalition)
                        for t in trees
                    )
                    expected += gained / (n * comb(n - 1, size))
            assert found.values[row, k] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(
        found.average + found.values.sum(axis=1), margins(trees, 0.3, routes, 5), atol=1e-12, rtol=0
    )
    assert found.average == pytest.approx(0.3 + sum(worth(model, t, routes, 0, set()) for t in trees), abs=1e-12)


def test_players_are_own_names_and_the_hosts_numbers() -> None:
    model = model_of([])
    assert model.player_of(Node("bank", 3)) == Player("bank", "age")
    assert model.player_of(Node("host:a", 0)) == model.player_of(Node("host:a", 2)) == Player("host:a", number=2)
    older = JointModel(model.own, (), 0.3, {"host:a": ""})
    assert older.player_of(Node("host:a", 0)) == older.player_of(Node("host:a", 3)) == Player("host:a", number=-1)


def test_reasons_are_what_raises_the_margin_most_whoever_owns_it() -> None:
    tree = [Node("bank", 0, 1, 2, n_rows=10), Node(value=1.0, n_rows=5), Node(value=-1.0, n_rows=5)]
    other = [Node("host:a", 1, 1, 2, n_rows=10), Node(value=3.0, n_rows=5), Node(value=-3.0, n_rows=5)]
    routes = {"bank": np.ones((4, 2), dtype=bool), "host:a": np.array([[True, False]] * 5)}
    found = contributions(model_of([tree, other]), routes, 2)
    first, second = found.top(0, 5), found.top(1, 5)
    assert first == (Reason(Player("host:a", number=0), 3.0), Reason(Player("bank", "income"), 1.0))
    assert second == (Reason(Player("bank", "income"), 1.0),)
    assert found.top(0, 1) == first[:1]


def test_a_tree_of_one_leaf_has_no_player() -> None:
    found = contributions(model_of([[Node(value=0.5, n_rows=10)]]), {}, 3)
    assert found.values.shape == (3, 0)
    assert found.average == pytest.approx(0.8)
    assert found.top(0, 3) == ()


SHAP = json.loads((Path(__file__).parents[2] / "vectors" / "reasons_shap.json").read_text(encoding="utf-8"))


def shared_out() -> tuple[JointModel, Routes, list[Player]]:
    """The model of the vector with its features at three parties, and which player each feature is."""
    names = [f["name"] for f in SHAP["features"]]
    owners = ["bank", "bank", "host:tax", "host:tax", "host:电信", "host:电信"]
    players = [
        Player(o, n) if o == "bank" else Player(o, number=7 - k)
        for k, (o, n) in enumerate(zip(owners, names, strict=True))
    ]
    cuts: dict[str, list[dict[str, Any]]] = {owner: [] for owner in owners}
    trees: list[Tree] = []
    for nodes in SHAP["trees"]:
        tree = []
        for n in nodes:
            if "feature" in n:
                owner = owners[n["feature"]]
                tree.append(Node(owner, len(cuts[owner]), n["left"], n["right"], n_rows=n["n_rows"]))
                cuts[owner].append(n)
            else:
                tree.append(Node(value=n["value"], n_rows=n["n_rows"]))
        trees.append(tree)
    codes = np.array(SHAP["codes"])
    routes = {o: np.array([np.isin(codes[n["feature"]], n["left_codes"]) for n in found]) for o, found in cuts.items()}
    own = Half(
        "m",
        "bank",
        tuple(FeatureBins(name, category=False) for name in names),
        tuple(Split(n["feature"], 0, False) for n in cuts["bank"]),
    )
    numbers = {o: tuple(players[n["feature"]].number for n in cuts[o]) for o in set(owners) - {"bank"}}
    model = JointModel(own, tuple(trees), SHAP["base_margin"], dict.fromkeys(numbers, ""), host_features=numbers)
    return model, routes, players


def test_values_are_those_of_shap_with_missing_values_and_categories() -> None:
    """``TreeExplainer``, path-dependent, on the pooled twin: the same values wherever the features lie."""
    model, routes, players = shared_out()
    codes = np.array(SHAP["codes"])
    used = {n["feature"] for tree in SHAP["trees"] for n in tree if "feature" in n}
    missing = np.array([f["missing_code"] for f in SHAP["features"]])[:, None] == codes
    assert {k for k, f in enumerate(SHAP["features"]) if f["category"]} <= used
    assert missing.any(axis=0).mean() > 0.2
    theirs = np.array(SHAP["values"])
    ours = contributions(model, routes, codes.shape[1])
    assert set(ours.players) == {players[k] for k in used}
    for k, player in enumerate(players):
        own = ours.values[:, ours.players.index(player)] if player in ours.players else 0.0
        np.testing.assert_allclose(own, theirs[:, k], atol=1e-12, rtol=0)
    assert ours.average == pytest.approx(SHAP["average"], abs=1e-12)
    assert np.abs(theirs).max() > 0.1
