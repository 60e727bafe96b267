"""Noise on what a host shows of its features: drawn per prebin, for goods and for bads.

One applicant lies in one prebin of each feature, and is good or bad there. So of all goods and bads of a feature one
number moves by one when he is added or left out, and noise of scale ``1 / epsilon`` on each makes the feature's release
epsilon-differentially private, given the prebins; features add up (``models.noise``). Rows shown are goods and bads
together, and carry the noise of both: the host need not know which is which.

Small prebins are merged (``cells``) by their *noisy* rows, so which ones are merged tells nothing more; by so much
above the floor that hardly ever a cell has fewer rows than that (one prebin in a hundred thousand). Empty ones are
merged too: that they are empty is not to be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from federation.vertical.binning.cells import Cells, merge_cells
from models.losses import Integers
from models.noise import likely


def noisy_cells(counts: Sequence[int], n_regular: int, floor: int, epsilon: float, noise: Integers) -> Cells:
    """Cells of one feature, by noisy rows; ``Cells.counts`` has the exact rows.

    Args:
        counts: rows per prebin code.
        epsilon: of the noise; 0: there is none.
        noise: of goods and of bads per prebin code, shape ``(2, n_prebins)``.
    """
    if not epsilon:
        return merge_cells(counts, n_regular, floor)
    least = floor + 2 * likely(epsilon)
    seen = np.maximum(np.array(counts) + noise.sum(axis=0), 1)
    if seen.sum() >= least:
        cells = merge_cells(seen.tolist(), n_regular, least)
    else:  # noise has eaten all rows: nothing can be shown apart
        cells = Cells((0,) * len(counts), min(n_regular, 1), (0,))
    exact = per_cell(cells, np.array(counts))
    return replace(cells, counts=tuple(exact.tolist()))


def per_cell(cells: Cells, values: Integers) -> Integers:
    """Sums of values per prebin code."""
    found = np.zeros(len(cells.counts), dtype=np.int64)
    np.add.at(found, np.array(cells.cell_of, dtype=np.intp), values)
    return found
