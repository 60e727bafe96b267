"""The stability index against relative entropy of scipy, and what it tells of small cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from models.errors import DataError, ModelError
from models.validation.stability import reading, stability_index, stability_of_counts, stability_of_scores

pairs = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12).filter(
    lambda cells: any(a for a, _ in cells) and any(b for _, b in cells)
)


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(1, 500)), min_size=1, max_size=12))
def test_without_empty_bins_it_is_relative_entropy_both_ways(cells: list[tuple[int, int]]) -> None:
    e, a = np.array(cells, dtype=float).T
    assert stability_index(e, a) == pytest.approx(entropy(e, a) + entropy(a, e), abs=1e-12)


@given(pairs)
def test_it_is_symmetric_never_negative_and_nothing_against_itself(cells: list[tuple[int, int]]) -> None:
    e, a = np.array(cells).T
    assert stability_index(e, a) == pytest.approx(stability_index(a, e), abs=1e-12)
    assert stability_index(e, a) >= 0
    assert stability_index(e, e) == 0


def test_a_bin_empty_in_both_adds_nothing_and_one_in_one_counts_half_a_row() -> None:
    assert stability_index([30, 0, 70], [40, 0, 60]) == stability_index([30, 70], [40, 60])
    by_hand = (0.4 - 0.005) * np.log(0.4 / 0.005) + (0.6 - 1.0) * np.log(0.6 / 1.0)
    assert stability_index([0, 100], [40, 60]) == pytest.approx(by_hand)


def test_readings_change_at_a_tenth_and_a_quarter() -> None:
    assert [reading(v) for v in (0, 0.0999, 0.1, 0.2499, 0.25, 9)] == [
        "stable",
        "stable",
        "some_shift",
        "some_shift",
        "large_shift",
        "large_shift",
    ]
    with pytest.raises(ModelError):
        reading(float("nan"))


@given(pairs, st.integers(0, 60))
def test_no_share_describes_fewer_rows_than_the_minimum(cells: list[tuple[int, int]], minimum: int) -> None:
    e, a = np.array(cells).T
    if min(e.sum(), a.sum()) < minimum:
        with pytest.raises(DataError) as caught:
            stability_of_counts(e, a, minimum=minimum)
        assert caught.value.code == "too_few_rows"
        return
    found = stability_of_counts(e, a, minimum=minimum)
    told_e = np.bincount(found.bins, weights=e)
    told_a = np.bincount(found.bins, weights=a)
    assert min(told_e.min(), told_a.min()) >= minimum
    assert found.expected == pytest.approx(tuple(told_e / e.sum()))
    assert found.actual == pytest.approx(tuple(told_a / a.sum()))
    assert found.index == pytest.approx(stability_index(told_e, told_a))
    if (np.minimum(e, a) > 0).all():
        assert found.index <= stability_index(e, a) + 1e-12


def test_the_bin_that_adds_most_to_the_index_is_told_of() -> None:
    found = stability_of_counts([50, 40, 10, 0], [50, 20, 25, 5])
    assert found.most_moved == (0.4, 0.2)  # -0.2 ln(1 / 2) = 0.139; then 0.15 ln 2.5 = 0.137, 0.045 ln 10 = 0.104
    assert stability_of_counts([50, 40, 10, 0], [50, 20, 25, 5], minimum=5).most_moved == (0.1, 0.3)  # joined: 0.2 ln 3
    assert stability_of_counts([3, 4], [5, 6], minimum=4).most_moved == (1.0, 1.0)


def test_scores_are_counted_in_quantiles_of_the_first() -> None:
    rng = np.random.default_rng(12)
    first, second = rng.normal(size=1000), rng.normal(0.5, 1, size=700)
    edges = np.sort(first)[99:900:100]
    found = stability_of_scores(first, second)
    assert found.expected == pytest.approx((0.1,) * 10)
    assert found.actual == pytest.approx(tuple(np.bincount(np.searchsorted(edges, second), minlength=10) / 700))
    assert found.reading == reading(found.index)
    assert 0.15 < found.index < 0.35  # two normals half a deviation apart: 0.25 before binning
    assert stability_of_scores(first, first).index == 0


def test_ties_of_the_first_share_a_bin_and_outliers_of_the_second_find_one() -> None:
    first = [0.0] * 95 + [1.0] * 5
    found = stability_of_scores(first, [-9.0, 0.5, 9.0, 1.0])
    assert found.expected == (0.95, 0.05)
    assert found.actual == (0.25, 0.75)
    assert found.bins == (0, 1)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: stability_index([1, 2], [1]), "wrong_length"),
        (lambda: stability_index([], []), "no_rows"),
        (lambda: stability_index([0, 0], [1, 2]), "no_rows"),
        (lambda: stability_index([1, 2], [0, 0]), "no_rows"),
        (lambda: stability_index([1, -2], [1, 2]), "bad_count"),
        (lambda: stability_index([0.5, 0.5], [1, 2]), "bad_count"),
        (lambda: stability_of_scores([1.0, 1.0], [1.0, 2.0]), "constant_score"),
        (lambda: stability_of_scores([1.0, np.nan], [1.0, 2.0]), "score_missing"),
        (lambda: stability_of_scores([1.0, 2.0], []), "no_rows"),
        (lambda: stability_of_scores([1.0, 2.0], [1.0], 1), "bad_parameter"),
        (lambda: stability_of_counts([5], [5], minimum=-1), "bad_parameter"),
    ],
)
def test_what_cannot_be_compared_is_refused(call: Any, code: str) -> None:
    with pytest.raises((DataError, ModelError)) as caught:
        call()
    assert caught.value.code == code
