"""How well a site's rows can be rebuilt from sums per bin of tree nodes, its own in clear or those over many sites.

After TimberStrike (Di Gennaro et al. 2025, arXiv 2506.07605), "first-tree probing": all hessians of a first tree are
alike and gradients take two values, so sums tell rows and defaults of every bin of every node. Rows are then put
together, node by node; in which row two features' bins meet is left to chance. Measured as there: rebuilt rows are
matched to true ones, and what counts is the share of values that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from models.binning import Codes
from models.boosting.derivatives import DERIVATIVE_BITS
from models.boosting.splits import Candidates, Split, goes_left
from models.boosting.trees import Tree
from models.losses import Floats, Integers, default_probability

#: node → sums of g, then of h, per bin of all features, shape ``(2, n_bins)``, in units of ``2**-DERIVATIVE_BITS``
NodeSums = Mapping[int, Integers]


def node_sums(tree: Tree, told: Sequence[tuple[Sequence[int], Integers]]) -> NodeSums:
    """Of all nodes that are known, from the smaller children's that were summed and their parents'.

    Args:
        told: nodes asked for, level by level, and their sums, shape ``(len(nodes), 2, n_bins)``.
    """
    found: dict[int, Integers] = {}
    parent = {child: k for k, node in enumerate(tree) if node.owner for child in (node.left, node.right)}
    for nodes, sums in told:
        for node, values in zip(nodes, sums, strict=True):
            found[node] = values
            if node:
                above = tree[parent[node]]
                found[above.left + above.right - node] = found[parent[node]] - values
    return found


def finest(tree: Tree, sums: NodeSums) -> list[int]:
    """Nodes whose sums are known and whose children's are not: every row is in one of them."""
    return [k for k in sums if not tree[k].owner or tree[k].left not in sums]


def rebuilt(
    sums: Sequence[Integers], base_margin: float, candidates: Candidates, rng: np.random.Generator
) -> tuple[Codes, Floats]:
    """Rows that have these sums, shape ``(n_features, n_rows)``, and their labels.

    Args:
        sums: of nodes of the first tree that share out the rows among them.
        base_margin: where boosting began.
    """
    p = float(default_probability(np.array([base_margin]))[0])
    good, bad, h = (round(value * 2**DERIVATIVE_BITS) for value in (p, p - 1.0, p * (1.0 - p)))
    starts = candidates.starts
    codes, labels = [], []
    for g_bins, h_bins in sums:
        n = np.rint(h_bins / h).astype(np.int64)
        n_bad = np.rint((n * good - g_bins) / (good - bad)).astype(np.int64)
        for label, counts in ((0.0, n - n_bad), (1.0, n_bad)):
            per_feature = [counts[a:b] for a, b in pairwise(starts)]
            columns = [rng.permutation(np.repeat(np.arange(len(c)), np.maximum(c, 0))) for c in per_feature]
            codes.append(np.array([column[: min(map(len, columns))] for column in columns], dtype=np.int64))
            labels.append(np.full(codes[-1].shape[1], label))
    return np.concatenate(codes, axis=1), np.concatenate(labels)


def matched(true: Codes, guessed: Codes, candidates: Candidates, within: int = 1) -> Floats:
    """Share of each true row's values that its rebuilt row has, shape ``(n_rows,)``; rows are matched so that all
    together fit best (Hungarian method).

    Args:
        within: bins by which a number may be off; levels and missing values must be the same.
    """
    fits = np.zeros((true.shape[1], guessed.shape[1]))
    for bins, a, b in zip(candidates.bins, true, guessed, strict=True):
        same = a[:, None] == b[None, :]
        if not bins.category:
            there = (a != bins.missing_code)[:, None] & (b != bins.missing_code)[None, :]
            same |= there & (np.abs(a[:, None].astype(np.int64) - b[None, :]) <= within)
        fits += same
    rows, columns = linear_sum_assignment(-fits)
    share: Floats = np.zeros(true.shape[1])
    share[rows] = fits[rows, columns] / len(candidates.bins)
    return share


def drawn_from_bins(n_rows: int, candidates: Candidates, shares: Floats, rng: np.random.Generator) -> Codes:
    """Rows of independent values, as who knows nothing but each feature's distribution would guess.

    Args:
        shares: of each bin among the rows of its feature, laid end to end.
    """
    pairs: list[NDArray[np.int64]] = []
    for a, b in pairwise(candidates.starts):
        pairs.append(rng.choice(b - a, n_rows, p=shares[a:b] / shares[a:b].sum()))
    return np.array(pairs)


def drawn_from_boxes(
    tree: Tree,
    splits: Sequence[Split],
    n_rows: Mapping[int, int],
    candidates: Candidates,
    shares: Floats,
    rng: np.random.Generator,
) -> Codes:
    """Rows as who has a site's tree would guess: as many in each leaf as its hessian tells, anywhere on its path's side
    of every cut.

    Args:
        n_rows: leaf → rows in it.
        shares: as ``drawn_from_bins``.
    """
    found: list[Codes] = []
    waiting = [(0, shares.astype(np.float64))]
    while waiting:
        place, inside = waiting.pop(0)
        node = tree[place]
        if not node.owner:
            found.append(drawn_from_bins(n_rows[place], candidates, np.maximum(inside, 1e-12), rng))
            continue
        split = splits[node.handle]
        bins, start = candidates.bins[split.feature], int(candidates.starts[split.feature])
        left = np.ones(len(inside), dtype=np.bool_)
        left[start : start + bins.n_bins] = goes_left(split, bins, np.arange(bins.n_bins, dtype=np.uint8))
        right = ~left
        right[:start] = right[start + bins.n_bins :] = True
        waiting += [(node.left, inside * left), (node.right, inside * right)]
    return np.concatenate(found, axis=1)
