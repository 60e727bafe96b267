"""Rows and columns that take part in a tree: draws that save work and cost accuracy, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from models.boosting.derivatives import Rows
from models.losses import Floats


def bag(n_rows: int, fraction: float, rng: np.random.Generator) -> Rows:
    """``fraction`` of the rows, without replacement, ascending (LightGBM's ``bagging_fraction``)."""
    return np.sort(rng.choice(n_rows, max(1, int(fraction * n_rows)), replace=False)).astype(np.intp)


def goss(g: Floats, h: Floats, top_rate: float, other_rate: float, rng: np.random.Generator) -> tuple[Rows, Floats]:
    """Gradient-based one-side sampling (Ke et al. 2017, "LightGBM", alg. 2).

    Keeps ``top_rate`` of the rows, those with the largest ``|g h|`` as LightGBM has it, and ``other_rate`` of all rows
    at random from the rest.

    Returns:
        The rows, ascending, and the weight of every row: ``(1 - top_rate) / other_rate`` for the drawn ones, else 1.
    """
    n_rows = len(g)
    n_top, n_other = max(1, int(top_rate * n_rows)), int(other_rate * n_rows)
    order = np.argsort(-np.abs(g * h), kind="stable")
    drawn = rng.choice(order[n_top:], min(n_other, n_rows - n_top), replace=False)
    weight = np.ones(n_rows)
    weight[drawn] = (n_rows - n_top) / max(1, len(drawn))
    return np.sort(np.concatenate([order[:n_top], drawn])).astype(np.intp), weight


def draw_columns(n_columns: int, fraction: float, seed: int, tree: int, party: str) -> Sequence[int]:
    """Columns of one party for one tree, at least one, ascending (LightGBM's ``feature_fraction``, party by party)."""
    if fraction >= 1.0:
        return range(n_columns)
    rng = np.random.default_rng([seed, tree, crc32(party.encode())])
    n_drawn = min(n_columns, max(1, round(fraction * n_columns)))
    return sorted(rng.choice(n_columns, n_drawn, replace=False).tolist())
