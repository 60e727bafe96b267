"""The walk through trees, row by row and all at once."""

from __future__ import annotations

import numpy as np

from models.boosting.trees import Node, Tree, leaves_of, margins

TREE: Tree = [
    Node(owner="a", handle=0, left=1, right=2),
    Node(owner="b", handle=1, left=3, right=4),
    Node(value=0.7),
    Node(value=-0.1),
    Node(value=0.3),
]
ROUTES = {
    "a": np.array([[True, True, False, False]]),
    "b": np.array([[False, False, True, True], [True, False, True, False]]),
}


def test_rows_end_in_the_leaf_their_routes_lead_to() -> None:
    assert leaves_of(TREE, ROUTES, 4).tolist() == [3, 4, 2, 2]


def test_a_tree_of_one_leaf_needs_no_route() -> None:
    assert leaves_of([Node(value=1.0)], {}, 3).tolist() == [0, 0, 0]


def test_margins_add_up_tree_by_tree() -> None:
    assert margins([TREE, [Node(value=2.0)]], 0.5, ROUTES, 4).tolist() == [0.5 - 0.1 + 2, 0.5 + 0.3 + 2, 3.2, 3.2]


def test_one_row_gives_the_same_bits_as_many() -> None:
    rng = np.random.default_rng(0)
    trees: list[Tree] = []
    for handle in range(30):
        low, high = rng.normal(size=2).tolist()
        trees.append([Node(owner="a", handle=handle, left=1, right=2), Node(value=low), Node(value=high)])
    routes = rng.random((30, 50)) < 0.5
    together = margins(trees, 0.1, {"a": routes}, 50)
    alone = [margins(trees, 0.1, {"a": routes[:, [row]]}, 1)[0] for row in range(50)]
    assert together.tobytes() == np.array(alone).tobytes()
