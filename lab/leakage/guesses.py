"""How an honest-but-curious host guesses labels, from what it holds: row sets, its own features, a few known labels.

After ID2Graph (arXiv 2307.10318: rows that share nodes form a graph, whose communities are labels) and instance
clustering (arXiv 2404.04490). Communities are found by normalised cuts (Shi & Malik, IEEE PAMI 22(8), 2000) of rows
against nodes (Dhillon, KDD 2001). No function here is given a label the host does not know.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.stats import rankdata
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import LogisticRegression

from lab.leakage.rowsets import RowSets
from models.losses import Floats
from models.table import Column, Table, is_category

#: Weight of a tree beside the one before: early trees tell more.
DECAY: Final = 0.95
_DIMENSIONS: Final = 4
_RARE: Final = 0.02
_L2: Final = 100.0


def place_rows(seen: RowSets) -> Floats:
    """Rows as points, near if they share nodes; columns of unit variance, at most 4, shape ``(n_rows, n_columns)``."""
    if not seen.trees:
        return np.zeros((seen.n_rows, 1))
    ordered = [seen.trees[tree] for tree in sorted(seen.trees)]
    joined = csr_array(np.concatenate([sets / sets.sum(1, keepdims=True) ** 0.5 for sets in ordered]).T)
    joined = joined @ diags_array(np.repeat(DECAY ** (np.arange(len(ordered)) / 2), [len(sets) for sets in ordered]))
    scale = diags_array((joined @ joined.sum(axis=0)) ** -0.5)
    found = TruncatedSVD(min(_DIMENSIONS + 1, joined.shape[1]), random_state=0).fit(scale @ joined)
    real = found.singular_values_ > 1e-6
    points: Floats = (scale @ found.transform(scale @ joined))[:, real][:, 1:]  # the first is the same for all rows
    points /= points.std(axis=0)
    return points


def by_clusters(seen: RowSets) -> Floats:
    """Without any label: two clusters of rows, and how much nearer a row is to the one taken for defaults.

    That is the one whose rows lie in smaller nodes: the sizes of two clusters are often too alike to tell.
    """
    if not seen.trees:
        return np.zeros(seen.n_rows)
    line = place_rows(seen)[:, :1]
    found = KMeans(2, n_init=10, random_state=0).fit(line)
    away: Floats = found.transform(line)
    in_first, size = found.labels_ == 0, by_small_nodes(seen)
    towards_first = away[:, 1] - away[:, 0]
    return towards_first if size[in_first].mean() > size[~in_first].mean() else -towards_first


def by_small_nodes(seen: RowSets) -> Floats:
    """Without any label: trees part the few from the many, so rows in small nodes are taken for defaults."""
    guess = np.zeros(seen.n_rows)
    for place, tree in enumerate(sorted(seen.trees)):
        sets = seen.trees[tree]
        smallest = np.where(sets, sets.sum(1, keepdims=True), seen.n_rows).min(axis=0)
        guess -= DECAY**place * np.log(smallest)
    return guess


def from_labels(points: Floats, known: NDArray[np.intp], label: Floats) -> Floats:
    """With the labels of ``known`` rows, shape ``(n_known,)``: log-odds of every row by logistic regression."""
    guess: Floats = LogisticRegression(C=1 / _L2, max_iter=1000).fit(points[known], label).decision_function(points)
    return guess


def own_points(own: Table) -> Floats:
    """The host's features as columns of unit variance: ranks, levels and what is missing."""
    columns = [part for column in own.columns.values() for part in _parts(column)]
    points: Floats = np.array([part for part in columns if part.std() > 0] or [np.zeros(len(own))]).T
    points -= points.mean(axis=0)
    points /= np.maximum(points.std(axis=0), 1e-12)
    return points


def with_own(seen: RowSets, own: Table) -> Floats:
    """Row sets beside the host's features, which together weigh as much as one column."""
    features = own_points(own)
    return np.hstack([place_rows(seen), features / features.shape[1] ** 0.5])


def _parts(column: Column) -> list[Floats]:
    """Frequent levels of a category; ranks of numbers, and whether they are missing."""
    if is_category(column):
        levels = np.array([str(value) for value in column])
        names, counts = np.unique(levels, return_counts=True)
        return [(levels == name).astype(np.float64) for name in names[counts >= _RARE * len(levels)]]
    numbers = np.asarray(column, dtype=np.float64)
    missing = np.isnan(numbers)
    ranks = np.full(len(numbers), 0.5)
    ranks[~missing] = rankdata(numbers[~missing]) / max(1, int((~missing).sum()))
    return [ranks, missing.astype(np.float64)] if missing.mean() >= _RARE else [ranks]
