"""Which cuts a data node may show sums of, so that no difference of shown sums singles out a few rows.

Sums of neighbouring cuts, and sums of one cut for a node, its sibling and their parent, can be subtracted from each
other. So the rule is about *cells*: the rows of one of two sibling nodes between two neighbouring shown cuts of a
feature. Every cell must hold no row or at least ``floor`` rows, and a cut that was not shown for the parent is not
shown for its children. The classical name is threshold rule with complementary suppression (Hundepool et al.,
Statistical Disclosure Control, 2012, ch. 4).

Limits: where a sibling has no row in a cell of the parent, the parent's sum there is the other child's, so what is left
of that child may be small; across features and across trees nothing is promised.
"""

from __future__ import annotations

import numpy as np

from models.boosting.splits import Candidates, Mask
from models.losses import Integers


def shown(candidates: Candidates, counts: Integers, floor: int, parent: Mask) -> Mask:
    """Candidates whose sums may be shown for a node and its sibling.

    Args:
        counts: rows per bin, shape ``(n_nodes, candidates.n_bins)``; one node (the root) or two siblings.
        floor: fewest rows of a cell that is not empty; 0 or 1 shows every cut that parts rows.
        parent: what was shown for the parent (all true for the root).

    Returns:
        Mask over candidates. A cut that parts the same rows as its left neighbour is left out.
    """
    mask = np.zeros(len(candidates), dtype=bool)
    features = np.array([s.feature for s in candidates.splits], dtype=np.intp)
    bounds = np.searchsorted(features, np.arange(len(candidates.bins) + 1))
    for f, bins in enumerate(candidates.bins):
        own = slice(bounds[f], bounds[f + 1])
        cells = counts[:, candidates.starts[f] : candidates.starts[f + 1]]
        if bins.category:
            mask[own] = _shown_levels(cells, floor, parent[own])
        else:
            mask[own] = _shown_thresholds(cells, bins.n_regular, floor, parent[own])
    return mask


def _whole(cell: Integers, floor: int) -> bool:
    return bool(np.all((cell == 0) | (cell >= floor)))


def _shown_levels(cells: Integers, floor: int, parent: Mask) -> Mask:
    """One against the rest: each shown level is a cell, and so are all others together."""
    mask: Mask = parent & np.array([_whole(c, floor) and c.sum() > 0 for c in cells.T], dtype=bool)
    for level in np.argsort(cells.sum(axis=0), kind="stable"):
        if _whole(cells[:, ~mask].sum(axis=1), floor):
            break
        mask[level] = False  # hide the smallest shown levels until the rest is large enough
    return mask


def _shown_thresholds(cells: Integers, n_regular: int, floor: int, parent: Mask) -> Mask:
    """Greedy from the left: cut as soon as what lies since the last cut is whole."""
    has_missing = cells.shape[1] > n_regular
    missing = cells[:, n_regular] if has_missing else np.zeros(len(cells), dtype=np.int64)
    missing_apart = _whole(missing, floor)
    tail = 0 if missing_apart else missing  # a missing cell that is too small stays with the right side
    right = np.arange(n_regular) * (1 + has_missing)  # position of (threshold, missing right) among the candidates
    cuts: list[int] = []
    since: Integers = np.zeros(len(cells), dtype=np.int64)
    for t in range(n_regular - 1):
        since = since + cells[:, t]
        if parent[right[t]] and since.sum() > 0 and _whole(since, floor):
            cuts.append(t)
            since = np.zeros_like(since)
    while cuts:
        rest = cells[:, cuts[-1] + 1 : n_regular].sum(axis=1) + tail
        if rest.sum() > 0 and _whole(rest, floor):
            break
        cuts.pop()
    mask = np.zeros(len(parent), dtype=bool)
    mask[right[cuts]] = True
    regular = cells[:, :n_regular].sum(axis=1)
    if missing_apart and missing.sum() > 0 and regular.sum() > 0 and _whole(regular, floor):
        lefts = right[cuts] + 1
        mask[lefts] = parent[lefts]
        against_all = right[n_regular - 1]
        mask[against_all] = parent[against_all]
    return mask
