"""Bounds of Pluto & Tasche against the tables of their paper and the binomial equation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from models.errors import DataError, ModelError
from models.validation.low_default import prudent_bounds

N_ROWS = [100, 400, 300]


@pytest.mark.parametrize(
    ("confidence", "percent"),
    [(0.5, [0.09, 0.10, 0.23]), (0.9, [0.29, 0.33, 0.76]), (0.95, [0.37, 0.43, 0.99]), (0.999, [0.86, 0.98, 2.28])],
)
def test_no_default_as_in_the_papers_first_example(confidence: float, percent: list[float]) -> None:
    found = prudent_bounds(N_ROWS, [0, 0, 0], confidence)
    assert np.round(100 * found, 2).tolist() == percent
    assert found == pytest.approx([1 - (1 - confidence) ** (1 / n) for n in (800, 700, 300)])


def test_few_defaults_as_in_the_papers_second_example() -> None:
    assert np.round(100 * prudent_bounds(N_ROWS, [0, 2, 1], 0.9), 2).tolist() == [0.83, 0.95, 1.29]


cell = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@given(st.lists(cell, min_size=1, max_size=6), st.sampled_from([0.5, 0.75, 0.9, 0.99]))
def test_each_bound_solves_the_equation_of_its_pool(cells: list[tuple[int, int]], confidence: float) -> None:
    n_rows, n_defaults = zip(*cells, strict=True)
    for k, bound in enumerate(prudent_bounds(n_rows, n_defaults, confidence)):
        n, d = sum(n_rows[k:]), sum(n_defaults[k:])
        if d == n:
            assert bound == 1
        else:
            assert binom.cdf(d, n, bound) == pytest.approx(1 - confidence, rel=1e-6)
            assert bound > d / n - 0.5 / n


@given(st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_without_defaults_bounds_rise_with_the_grade(n_rows: list[int]) -> None:
    assert (np.diff(prudent_bounds(n_rows, [0] * len(n_rows))) >= 0).all()


def test_a_pool_without_rows_may_all_default() -> None:
    assert prudent_bounds([10, 0], [0, 0]).tolist() == [pytest.approx(1 - 0.1**0.1), 1.0]


def test_wrong_counts_and_confidence_are_refused() -> None:
    with pytest.raises(DataError):
        prudent_bounds([1], [2])
    with pytest.raises(DataError):
        prudent_bounds([], [])
    with pytest.raises(ModelError):
        prudent_bounds([1], [0], 1.0)
