"""What is made ready for one row at a time gives the bits of what it stands for: margins, sides, Shapley values."""

from __future__ import annotations

import numpy as np
import pytest

from models.binning import FeatureBins, encode
from models.boosting import reasons
from models.boosting.cuts import Cuts
from models.boosting.reasons import contributions
from models.boosting.splits import Split, goes_left
from models.boosting.trees import Node, Tree, margins
from models.boosting.walk import Walk
from models.bundle import Half, JointModel
from models.losses import Floats
from models.table import Table

BINS = (
    FeatureBins("age", category=False, edges=tuple(np.linspace(-1, 1, 9).tolist()), has_missing=True),
    FeatureBins("job", category=True, levels=("a", "b", "c", "d"), has_other=True, has_missing=True),
    FeatureBins("size", category=False, edges=(0.0,)),
)
N_ROWS = 300


def random_tree(rng: np.random.Generator, n_cuts: dict[str, int], depth: int) -> Tree:
    """A tree of random shape; each of its cuts is new."""
    tree: Tree = [Node(n_rows=1000)]
    level = [0]
    for k in range(2**depth):
        if k >= len(tree) or level[k] == depth or (k and rng.random() < 0.2):
            continue
        owner = str(rng.choice(["bank", "host:a", "host:b"]))
        rows = int(rng.integers(1, max(2, tree[k].n_rows)))
        tree[k] = Node(owner, n_cuts[owner], len(tree), len(tree) + 1, n_rows=tree[k].n_rows)
        n_cuts[owner] += 1
        tree += [Node(n_rows=rows), Node(n_rows=max(1, tree[k].n_rows - rows))]
        level += [level[k] + 1] * 2
    for node in tree:
        if not node.owner:
            node.value = float(rng.normal())
    return tree


def made(seed: int, n_trees: int = 12, depth: int = 4) -> tuple[JointModel, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    n_cuts = {"bank": 0, "host:a": 0, "host:b": 0}
    trees = tuple(random_tree(rng, n_cuts, depth) for _ in range(n_trees))
    splits = tuple(
        Split(int(f), int(rng.integers(0, BINS[f].n_bins)), bool(rng.random() < 0.5) and not BINS[f].category)
        for f in rng.integers(0, 3, n_cuts["bank"])
    )
    own = Half("m", "bank", BINS, splits)
    features = {h: tuple(int(k) for k in rng.integers(0, 3, n_cuts[h])) for h in ("host:a", "host:b")}
    routes = {owner: rng.random((n, N_ROWS)) < 0.5 for owner, n in n_cuts.items()}
    model = JointModel(own, trees, -1.3, {"host:a": "", "host:b": ""}, host_features=features)
    return model, routes


@pytest.mark.parametrize("seed", range(6))
def test_the_walk_gives_the_margins_of_the_trees_to_the_last_bit_for_one_row_and_for_many(seed: int) -> None:
    model, routes = made(seed)
    expected = margins(model.trees, model.base_margin, routes, N_ROWS)
    walked = model.walk.margins(model.base_margin, model.walk.sides(routes, N_ROWS))
    assert walked.tolist() == expected.tolist()
    for row in range(0, N_ROWS, 37):
        one = {owner: sides[:, [row]] for owner, sides in routes.items()}
        assert model.walk.margins(model.base_margin, model.walk.sides(one, 1)).tolist() == [expected[row]]


def test_trees_without_a_cut() -> None:
    walk = Walk.of([[Node(value=0.25)], [Node(value=0.5)]])
    assert walk.margins(1.0, walk.sides({}, 3)).tolist() == [1.75] * 3


@pytest.mark.parametrize("seed", range(6))
def test_reasons_made_ready_are_those_worked_out_row_by_row(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, routes = made(seed)
    assert model.ready
    found = contributions(model, routes, N_ROWS)
    monkeypatch.setattr(reasons, "MOST_READY", 0)
    slow_model, _ = made(seed)
    assert slow_model.ready is None
    slow = contributions(slow_model, routes, N_ROWS)
    assert (found.players, found.average) == (slow.players, slow.average)
    assert found.values.tolist() == slow.values.tolist()
    one = contributions(model, {owner: sides[:, [5]] for owner, sides in routes.items()}, 1)
    assert one.values[0].tolist() == found.values[5].tolist()
    margin = margins(model.trees, model.base_margin, routes, N_ROWS)
    np.testing.assert_allclose(found.average + found.values.sum(axis=1), margin, atol=1e-9)


def test_all_cuts_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(3)
    age: Floats = rng.normal(size=N_ROWS)
    age[::7] = np.nan
    job = np.array([["a", "b", "c", "d", "never seen", None][i] for i in rng.integers(0, 6, N_ROWS)], dtype=object)
    table = Table(
        tuple(f"i{k}" for k in range(N_ROWS)), {"age": age, "job": job, "size": np.where(age > 0.3, np.nan, age)}
    )
    splits = [
        *(Split(0, code, left) for code in range(10) for left in (False, True)),
        *(Split(1, code, False, also) for code in range(6) for also in ((), (0, 3))),
        Split(2, 0, True),
        Split(2, 1, False),
    ]
    codes = encode(table, BINS)
    expected = np.stack([goes_left(s, BINS[s.feature], codes[s.feature]) for s in splits])
    assert Cuts.of(splits, BINS).left(list(codes)).tolist() == expected.tolist()
    assert Half("m", "bank", BINS, tuple(splits)).routes(table).tolist() == expected.tolist()
