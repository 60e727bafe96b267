"""Rebuilding rows from sums of tree nodes: exact where it can be, chance where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from lab.leakage.rebuilding import drawn_from_bins, drawn_from_boxes, finest, matched, node_sums, rebuilt
from models.binning import FeatureBins
from models.boosting.splits import Candidates, Split
from models.boosting.trees import Node

BINS = (
    FeatureBins("x", category=False, edges=(0.0, 1.0, 2.0), has_missing=True),
    FeatureBins("c", category=True, levels=("a", "b")),
)
CANDIDATES = Candidates(BINS)
BASE = -1.0
TREE = [Node("sites", 0, 1, 2), Node("sites", 1, 3, 4), Node(), Node(), Node()]


def sums_of(codes: np.ndarray, label: np.ndarray) -> np.ndarray:
    """As sites make them, from the logistic loss written out here."""
    p = 1 / (1 + np.exp(-BASE))
    g, h = np.rint((p - label) * 2**32), np.full(len(label), np.rint(p * (1 - p) * 2**32))
    flat = codes + np.array([[0], [BINS[0].n_bins]])
    n_bins = CANDIDATES.n_bins
    return np.array([sum(np.bincount(row, v, n_bins) for row in flat) for v in (g, h)]).astype(np.int64)


@pytest.fixture(scope="module")
def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = np.array([rng.integers(0, BINS[0].n_bins, 200), rng.integers(0, 2, 200)])
    return codes, (rng.random(200) < 0.3).astype(np.float64)


def test_counts_and_labels_of_every_bin_come_back_exactly(rows: tuple[np.ndarray, np.ndarray]) -> None:
    codes, label = rows
    found, labels = rebuilt([sums_of(codes, label)], BASE, CANDIDATES, np.random.default_rng(1))
    for f in range(2):
        for y in (0, 1):
            assert sorted(found[f][labels == y]) == sorted(codes[f][label == y])


def test_nodes_of_one_row_are_that_row(rows: tuple[np.ndarray, np.ndarray]) -> None:
    codes, label = rows
    each = [sums_of(codes[:, [k]], label[[k]]) for k in range(20)]
    found, _ = rebuilt(each, BASE, CANDIDATES, np.random.default_rng(1))
    assert sorted(map(tuple, found.T)) == sorted(map(tuple, codes[:, :20].T))
    assert matched(codes[:, :20], found, CANDIDATES).tolist() == [1.0] * 20


def test_the_larger_child_is_the_difference_and_every_row_is_in_one_of_the_finest(
    rows: tuple[np.ndarray, np.ndarray],
) -> None:
    codes, label = rows
    left = codes[0] < 2
    told = [([0], np.array([sums_of(codes, label)])), ([1], np.array([sums_of(codes[:, left], label[left])]))]
    sums = node_sums(TREE, told)
    assert (sums[2] == sums_of(codes[:, ~left], label[~left])).all()
    assert sorted(finest(TREE, sums)) == [1, 2]
    assert rebuilt([sums[k] for k in finest(TREE, sums)], BASE, CANDIDATES, np.random.default_rng(0))[0].shape[1] == 200


def test_a_number_may_be_one_bin_off_a_level_may_not() -> None:
    true = np.array([[0, 3], [0, 1]])
    assert matched(true, np.array([[1, 2], [0, 1]]), CANDIDATES).tolist() == [1.0, 1.0]
    assert matched(np.array([[0], [0]]), np.array([[2], [1]]), CANDIDATES).tolist() == [0.0]
    missing = BINS[0].missing_code
    assert matched(np.array([[missing - 1], [0]]), np.array([[missing], [0]]), CANDIDATES).tolist() == [0.5]


def test_guesses_from_distributions_have_them() -> None:
    shares = np.array([0.5, 0.5, 0, 0, 0, 0.2, 0.8])
    found = drawn_from_bins(2000, CANDIDATES, shares, np.random.default_rng(0))
    assert set(found[0]) == {0, 1}
    assert abs(found[1].mean() - 0.8) < 0.05


def test_rows_of_a_leaf_lie_where_its_path_leads() -> None:
    splits = (Split(0, 1, missing_left=False), Split(1, 0, missing_left=False))
    shares = np.full(CANDIDATES.n_bins, 0.25)
    found = drawn_from_boxes(TREE, splits, {2: 5, 3: 7, 4: 9}, CANDIDATES, shares, np.random.default_rng(0))
    assert found.shape == (2, 21)
    where = [(x <= 1, c == 0) for x, c in found.T.tolist()]
    assert where[:5] == [(False, where[k][1]) for k in range(5)]
    assert where[5:12] == [(True, True)] * 7
    assert where[12:] == [(True, False)] * 9
