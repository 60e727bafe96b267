"""Joint cells: rows are added up once per *combination* of bins of several features, and exact marginals follow.

Adding up encrypted values over the bins of ``F`` features costs ``F`` additions per row. Summing once per non-empty
combination of bins of two features costs one per row, and two more per combination to get back to the bins: less
whenever there are fewer combinations than rows. Features are merged pairwise in a tree, those with the fewest
combinations first; each node of a boosted tree then uses as much of the tree as pays for its own rows. This is
aggregation by smallest parent from data cubes (Agarwal et al. 1996, VLDB, §4), applied to ciphertexts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.binning import Codes

#: Cells of rows; a row number fits, so a cell does.
Labels = NDArray[np.int32]
Cells = NDArray[np.int64]
#: (group, left part, cells → its cells, how many, right part, cells → its cells, how many)
Step = tuple[int, int, Cells, int, int, Cells, int]

#: Rows looked at when deciding which features belong together.
SAMPLE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Grouping:
    """A merge tree over features: groups below ``n_features`` are features, ``n_features + k`` joins ``merges[k]``.

    Attributes:
        n_bins: of each feature; 0 for one that has no part in the work.
        merges: pairs of groups.
    """

    n_bins: tuple[int, ...]
    merges: tuple[tuple[int, int], ...]

    def only(self, features: Sequence[int]) -> Grouping:
        """The merge tree without the other features, which then have no part in the work and no bins."""
        n = len(self.n_bins)
        stands_for: dict[int, int] = {f: f for f in features}
        merges: list[tuple[int, int]] = []
        for k, pair in enumerate(self.merges, start=n):
            kept = [stands_for[group] for group in pair if group in stands_for]
            if len(kept) == 2:
                merges.append((kept[0], kept[1]))
                stands_for[k] = n + len(merges) - 1
            elif kept:
                stands_for[k] = kept[0]
        return Grouping(tuple(size if f in stands_for else 0 for f, size in enumerate(self.n_bins)), tuple(merges))


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a node's work, independent of all others: a top group summed over rows, then taken apart.

    Attributes:
        labels: cell of each row, shape ``(n_rows,)``.
        n_cells: number of cells.
        steps: outermost first; a group without a step is a feature, its cells are bins.
        top: the group that ``labels`` belong to.
    """

    top: int
    labels: Labels
    n_cells: int
    steps: tuple[Step, ...]

    @property
    def n_additions(self) -> int:
        """Ciphertext additions at most, the measure of cost."""
        inner = sum(2 * len(to_left) - n_left - n_right for _, _, to_left, n_left, _, _, n_right in self.steps)
        return len(self.labels) - self.n_cells + inner


def group_features(codes: Codes, n_bins: tuple[int, ...]) -> Grouping:
    """Merge features greedily by the number of non-empty combinations on a sample of the rows.

    Args:
        codes: shape ``(n_features, n_rows)``; ``codes[f] < n_bins[f]``.
    """
    sample = codes[:, :SAMPLE].astype(np.int32)
    labels = {f: (sample[f], n_bins[f]) for f in range(len(n_bins))}
    sizes = {(a, b): _n_combined(labels[a], labels[b]) for a in labels for b in labels if a < b}
    merges: list[tuple[int, int]] = []
    while len(labels) > 1:
        a, b = min(sizes, key=lambda pair: (sizes[pair], labels[pair[0]][1] * labels[pair[1]][1], pair))
        combined, _, inverse = _combine(labels.pop(a), labels.pop(b))
        merges.append((a, b))
        new = len(n_bins) + len(merges) - 1
        sizes = {pair: size for pair, size in sizes.items() if not {a, b} & set(pair)}
        sizes |= {(c, new): _n_combined(labels[c], (inverse, len(combined))) for c in labels}
        labels[new] = (inverse, len(combined))
    return Grouping(n_bins, tuple(merges))


def parts_of(grouping: Grouping, codes: Codes, rows: NDArray[np.intp]) -> list[Part]:
    """The work for a node with these rows: as much of the merge tree as saves additions for them."""
    cells: dict[int, tuple[Labels, int]] = {
        f: (codes[f][rows].astype(np.int32), n) for f, n in enumerate(grouping.n_bins) if n
    }
    steps: dict[int, Step] = {}
    for k, (a, b) in enumerate(grouping.merges, start=len(grouping.n_bins)):
        if a not in cells or b not in cells:
            continue
        combined, n_right, inverse = _combine(cells[a], cells[b])
        if len(combined) < len(rows):
            steps[k] = (k, a, combined // n_right, cells[a][1], b, combined % n_right, n_right)
            del cells[a], cells[b]
            cells[k] = (inverse, len(combined))
    return [Part(top, *cells[top], tuple(_below(top, steps))) for top in sorted(cells)]


def _below(group: int, steps: dict[int, Step]) -> list[Step]:
    if group not in steps:
        return []
    step = steps[group]
    return [step, *_below(step[1], steps), *_below(step[4], steps)]


def _combine(left: tuple[Labels, int], right: tuple[Labels, int]) -> tuple[Cells, int, Labels]:
    """Non-empty combinations as ``left * n_right + right``, ``n_right``, and the combination of each row."""
    (a, n_left), (b, n_right) = left, right
    joint = a.astype(np.int64) * n_right + b
    if n_left * n_right > 8 * len(joint) + 1024:
        combined, inverse = np.unique(joint, return_inverse=True)
        return combined, n_right, inverse.astype(np.int32)
    present = np.zeros(n_left * n_right, dtype=bool)
    present[joint] = True
    place = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(present), n_right, place[joint]


def _n_combined(left: tuple[Labels, int], right: tuple[Labels, int]) -> int:
    return len(_combine(left, right)[0])
