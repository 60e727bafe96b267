"""Joint cells give exactly the direct sums, and cost less where combinations are few."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import encode, fit_bins
from models.boosting.grouping import Part, group_features, parts_of
from models.table import Table


def marginals(part: Part, values: np.ndarray) -> dict[int, np.ndarray]:
    """Sums per bin of a part's features, taken apart step by step."""
    sums = {part.top: np.bincount(part.labels, weights=values, minlength=part.n_cells)}
    for group, left, to_left, n_left, right, to_right, n_right in part.steps:
        cells = sums.pop(group)
        sums[left] = np.bincount(to_left, weights=cells, minlength=n_left)
        sums[right] = np.bincount(to_right, weights=cells, minlength=n_right)
    return sums


@given(st.integers(1, 6), st.integers(1, 60), st.integers(0, 2**32 - 1), st.data())
def test_marginals_of_joint_cells_are_the_direct_sums(
    n_features: int, n_rows: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    n_bins = tuple(data.draw(st.integers(1, 9)) for _ in range(n_features))
    codes = np.stack([rng.integers(0, n, n_rows) for n in n_bins]).astype(np.uint8)
    rows = np.flatnonzero(rng.random(n_rows) < 0.7)
    values = rng.integers(-1000, 1000, n_rows).astype(float)
    parts = parts_of(group_features(codes, n_bins), codes, rows)
    found = {f: sums for part in parts for f, sums in marginals(part, values[rows]).items()}
    assert sorted(found) == list(range(n_features))
    for f, n in enumerate(n_bins):
        direct = np.bincount(codes[f][rows], weights=values[rows], minlength=n)
        assert found[f].tolist() == direct.tolist()


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_without_some_features_the_others_are_summed_as_before(n_features: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_bins = tuple(rng.integers(1, 9, n_features).tolist())
    codes = np.stack([rng.integers(0, n, 80) for n in n_bins]).astype(np.uint8)
    rows, values = np.arange(80), rng.integers(-1000, 1000, 80).astype(float)
    kept = np.flatnonzero(rng.random(n_features) < 0.6).tolist()
    parts = parts_of(group_features(codes, n_bins).only(kept), codes, rows)
    found = {f: sums for part in parts for f, sums in marginals(part, values).items()}
    assert sorted(found) == kept
    for f in kept:
        assert found[f].tolist() == np.bincount(codes[f], weights=values, minlength=n_bins[f]).tolist()


def test_features_that_repeat_each_other_cost_as_one() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 8, 1000).astype(np.uint8)
    codes = np.stack([one, one, one])
    parts = parts_of(group_features(codes, (8, 8, 8)), codes, np.arange(1000))
    assert sum(part.n_additions for part in parts) < 1100


@pytest.mark.parametrize("n_rows", [30_000, 7_500, 1_900])
def test_default_credit_needs_a_third_of_the_additions_or_less(shared_data: Path, n_rows: int) -> None:
    frame = pd.read_csv(shared_data / "default_credit_host.csv.gz")
    table = Table(tuple(map(str, frame["id"])), {c: frame[c].to_numpy(float) for c in frame if c != "id"})
    bins = fit_bins(table, 32)
    codes = encode(table, bins)
    rows = np.random.default_rng(0).permutation(len(table))[:n_rows]
    parts = parts_of(group_features(codes, tuple(b.n_bins for b in bins)), codes, rows)
    direct = sum(n_rows - len(np.unique(c[rows])) for c in codes)
    least = 5.0 if n_rows == 30_000 else 3.3
    assert direct / sum(part.n_additions for part in parts) > least
