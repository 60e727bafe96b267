"""No difference of shown sums may single out a few rows: checked by brute force, whatever the node sizes."""

from __future__ import annotations

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.boosting.cells import shown
from models.boosting.splits import Candidates, Mask, goes_left
from tests.strategies import feature, features

#: Shrinking is left out: it takes long here and these examples are small anyway.
SEARCH = (Phase.explicit, Phase.generate)
counts_strategy = st.one_of(st.integers(0, 30), st.sampled_from([0, 0, 1, 2, 3]))


def bins_left(candidates: Candidates, j: int) -> Mask:
    split = candidates.splits[j]
    bins = candidates.bins[split.feature]
    return goes_left(split, bins, np.arange(bins.n_bins, dtype=np.uint8))


def halves(data: st.DataObject, counts: np.ndarray, least: int) -> np.ndarray:
    """Two children of a node: each occupied bin's rows parted at will, at least ``least`` to either side."""
    left = np.array([data.draw(st.integers(least, int(c) - least)) if c else 0 for c in counts], dtype=np.int64)
    return np.stack([left, counts - left])


def exposed(bins: FeatureBins, grandchildren: np.ndarray, floor: int) -> list[int]:
    """Sizes under ``floor`` of shown sums and of differences of two shown sums, in a root, its children and theirs.

    ``grandchildren``: rows of four nodes per bin; the atoms of which everything above is a union.
    """
    candidates = Candidates((bins,))
    children = np.stack([grandchildren[:2].sum(axis=0), grandchildren[2:].sum(axis=0)])
    everything = np.ones(len(candidates), dtype=bool)
    root = shown(candidates, children.sum(axis=0)[None], floor, everything)
    below = shown(candidates, children, floor, root)
    lowest = [shown(candidates, grandchildren[k : k + 2], floor, below) for k in (0, 2)]
    masks = [root, below, below, lowest[0], lowest[0], lowest[1], lowest[1]]
    known = []
    for nodes, visible in zip([(0, 1, 2, 3), (0, 1), (2, 3), (0,), (1,), (2,), (3,)], masks, strict=True):
        for side in [bins_left(candidates, j) for j in np.flatnonzero(visible)]:
            for part in (side, ~side):  # a node's totals are known, hence the other side too
                atoms = np.zeros(grandchildren.shape, dtype=bool)
                atoms[list(nodes)] = part
                known.append((atoms & (grandchildren > 0)).ravel())
    if not known:
        return []
    sets, weights = np.array(known), grandchildren.ravel()
    outside = sets.astype(int) @ (~sets).astype(int).T  # [b, a]: atoms of b that are not in a
    differences = (sets * weights).sum(axis=1)[None, :] - (sets * weights).sum(axis=1)[:, None]
    sizes = [*(sets @ weights).tolist(), *differences[outside == 0].tolist()]
    return sorted(n for n in set(sizes) if 0 < n < floor)


@settings(max_examples=200, phases=SEARCH)
@given(feature, st.integers(2, 12), st.data())
def test_differences_across_three_levels_cover_no_row_or_the_floor(
    bins: FeatureBins, floor: int, data: st.DataObject
) -> None:
    occupied = st.one_of(st.just(0), st.integers(4, 40))
    root = np.array([data.draw(occupied) for _ in range(bins.n_bins)], dtype=np.int64)
    grandchildren = np.concatenate([halves(data, child, 1) for child in halves(data, root, 2)])
    assert exposed(bins, grandchildren, floor) == []


def test_limit_a_cell_that_its_sibling_leaves_empty_can_show_the_rest_of_a_child() -> None:
    """Stated in ``models.boosting.cells``: a merged cell minus the parent's finer one."""
    bins = FeatureBins("x", category=False, edges=(0.0, 1.0))
    # Root: 20 | 20 | 21 rows. The second child has one row in the last bin, so its last two bins are merged; but the
    # first child has no row in the middle bin, so the root's middle bin is the second child's.
    children = np.array([[10, 0, 20], [10, 20, 1]])
    assert exposed(bins, np.concatenate([children, np.zeros_like(children)])[[0, 2, 1, 3]], 5) == [1]


def test_few_rows_with_a_value_are_not_shown_against_the_missing() -> None:
    candidates = Candidates((FeatureBins("x", category=False, edges=(0.0,), has_missing=True),))
    assert not shown(candidates, np.array([[1, 1, 50]]), 5, np.ones(3, dtype=bool)).any()


@settings(max_examples=250, phases=SEARCH)
@given(features, st.integers(2, 12), st.data())
def test_every_cell_of_a_pair_holds_no_row_or_the_floor(
    bins: tuple[FeatureBins, ...], floor: int, data: st.DataObject
) -> None:
    candidates = Candidates(bins)
    pair = np.array([[data.draw(counts_strategy) for _ in range(candidates.n_bins)] for _ in range(2)])
    parent = np.array([data.draw(st.booleans()) for _ in range(len(candidates))], dtype=bool)
    mask = shown(candidates, pair, floor, parent)
    assert not (mask & ~parent).any()
    for f, b in enumerate(bins):
        sides = [bins_left(candidates, j) for j in np.flatnonzero(mask) if candidates.splits[j].feature == f]
        if not sides:
            continue
        per_bin = pair[:, candidates.starts[f] : candidates.starts[f + 1]]
        cell_of = [tuple(column) for column in np.array(sides).T]  # bins on the same side of every shown cut
        for cell in set(cell_of):
            inside = [k for k in range(b.n_bins) if cell_of[k] == cell]
            for n in per_bin[:, inside].sum(axis=1).tolist():
                assert n == 0 or n >= floor


@given(features, st.integers(0, 1), st.data())
def test_a_floor_of_one_shows_every_distinct_way_to_part_the_rows(
    bins: tuple[FeatureBins, ...], floor: int, data: st.DataObject
) -> None:
    candidates = Candidates(bins)
    counts = np.array([[data.draw(counts_strategy) for _ in range(candidates.n_bins)]])
    mask = shown(candidates, counts, floor, np.ones(len(candidates), dtype=bool))
    for f in range(len(bins)):
        occupied = counts[0, candidates.starts[f] : candidates.starts[f + 1]] > 0

        def partings(chosen: Mask, f: int = f, occupied: Mask = occupied) -> set[frozenset[tuple[bool, ...]]]:
            sides = [
                bins_left(candidates, j)[occupied] for j in np.flatnonzero(chosen) if candidates.splits[j].feature == f
            ]
            return {
                frozenset([tuple(side.tolist()), tuple((~side).tolist())])
                for side in sides
                if 0 < side.sum() < len(side)
            }

        assert partings(mask) == partings(np.ones(len(candidates), dtype=bool))


def test_a_cut_with_too_few_rows_on_one_side_is_hidden() -> None:
    bins = (FeatureBins("x", category=False, edges=(0.0, 1.0, 2.0)),)
    everything = np.ones(3, dtype=bool)
    assert shown(Candidates(bins), np.array([[3, 20, 20, 4]]), 5, everything).tolist() == [False, True, False]


def test_a_small_sibling_hides_what_would_show_it_by_subtraction() -> None:
    candidates = Candidates((FeatureBins("x", category=False, edges=(0.0,)),))
    everything = np.ones(1, dtype=bool)
    assert shown(candidates, np.array([[50, 50]]), 5, everything).tolist() == [True]
    assert shown(candidates, np.array([[50, 50], [1, 90]]), 5, everything).tolist() == [False]


def test_a_second_level_is_hidden_with_a_rare_one() -> None:
    candidates = Candidates((FeatureBins("c", category=True, levels=("a", "b", "rare")),))
    mask = shown(candidates, np.array([[50, 30, 2]]), 5, np.ones(3, dtype=bool))
    assert mask.tolist() == [True, False, False]  # all but a and b would otherwise be the two rare rows


def test_few_missing_rows_are_not_shown_apart() -> None:
    candidates = Candidates((FeatureBins("x", category=False, edges=(0.0,), has_missing=True),))
    everything = np.ones(3, dtype=bool)  # (<=0), (<=0 or missing), (missing against all)
    assert shown(candidates, np.array([[50, 50, 2]]), 5, everything).tolist() == [True, False, False]
    assert shown(candidates, np.array([[50, 50, 9]]), 5, everything).tolist() == [True, True, True]
