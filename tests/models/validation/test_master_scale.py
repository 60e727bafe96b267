"""Grades against the first bands, pandas and scipy's isotonic regression."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression
from scipy.special import expit

from models.errors import DataError, ModelError
from models.scale import BANDS, band
from models.validation.master_scale import MasterScale, concentration, geometric_scale, inversions, merged_scale

SCALE = MasterScale(("A", "B", "C"), (0.02, 0.1), (0.01, 0.05, 0.2))


@pytest.fixture(scope="module")
def scored() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    margin = rng.normal(-2, 1, size=4000)
    return (rng.random(4000) < expit(margin)).astype(float), expit(margin)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_grades_with_the_first_bounds_are_the_first_bands(p: list[float]) -> None:
    names = tuple(name for name, _ in BANDS)
    first = MasterScale(names, tuple(below for _, below in BANDS[:-1]), (0.01, 0.03, 0.07, 0.15, 0.3, 0.6))
    assert [names[k] for k in first.assign(p)] == [band(value) for value in p]


def test_counts_are_those_of_pandas(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, p = scored
    by = pd.Series(label).groupby(pd.cut(p, [0, 0.02, 0.1, 1], right=False), observed=False)
    n_rows, n_defaults = SCALE.counts(label, p)
    assert n_rows.tolist() == by.size().tolist()
    assert n_defaults.tolist() == by.sum().tolist()


def test_geometric_bounds_grow_by_one_ratio(scored: tuple[np.ndarray, np.ndarray]) -> None:
    _, p = scored
    scale = geometric_scale(p, 8)
    ends = np.array([p.min(), *scale.bounds, p.max()])
    ratios = ends[1:] / ends[:-1]
    assert ratios == pytest.approx(np.full(8, ratios[0]))
    assert scale.default_probabilities == pytest.approx(tuple(ends[:-1] * np.sqrt(ratios)))
    assert scale.names[0] == "G1"
    assert set(scale.assign(p)) <= set(range(8))


def test_merged_grades_are_the_pools_of_isotonic_regression(scored: tuple[np.ndarray, np.ndarray]) -> None:
    label, p = scored
    order = np.argsort(p).reshape(40, 100)
    rates = label[order].mean(axis=1)
    rates_expected = np.unique(isotonic_regression(rates).x.round(12))
    kept = rates_expected[rates_expected > 0]
    scale = merged_scale(label, p, min_rows=100, min_defaults=1, max_grades=40)
    # Bands without defaults join the next one first; every pool behind those is one of isotonic regression.
    assert np.isin(np.round(scale.default_probabilities[2:], 12), kept).all()
    assert len(scale.default_probabilities) >= len(kept) - 2


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.integers(0, 20)), min_size=2, max_size=80),
    st.integers(1, 15),
    st.integers(1, 4),
    st.integers(1, 12),
)
def test_merged_grades_reach_their_minima_and_rise(
    rows: list[tuple[float, int]], min_rows: int, min_defaults: int, max_grades: int
) -> None:
    label, p = np.array([y for y, _ in rows]), np.array([k / 20 for _, k in rows])
    build = partial(merged_scale, label, p, min_rows=min_rows, min_defaults=min_defaults, max_grades=max_grades)
    one_class = label.min() == label.max()
    if one_class or len(rows) < min_rows or label.sum() < min_defaults:
        with pytest.raises(DataError) as caught:
            build()
        assert caught.value.code == ("one_class" if one_class else "too_few_rows")
        return
    scale = build()
    n_rows, n_defaults = scale.counts(label, p)
    assert (n_rows >= min_rows).all()
    assert (n_defaults >= min_defaults).all()
    assert scale.default_probabilities == pytest.approx(tuple(n_defaults / n_rows))
    assert inversions(n_rows, n_defaults) == ()
    assert scale.n_grades <= max_grades


def test_neighbours_of_equal_rate_are_one_grade_whatever_the_rounding() -> None:
    label = np.tile([1.0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 9)
    p = np.repeat(np.linspace(0.1, 0.9, 9), 10)
    assert merged_scale(label, p, min_rows=1, max_grades=9).default_probabilities == (0.1,)


def test_bounds_part_neighbouring_floats() -> None:
    low = 0.25
    high = float(np.nextafter(low, 1))
    scale = merged_scale([0, 0, 1, 0, 1, 1], [low] * 3 + [high] * 3, min_rows=1, max_grades=2)
    assert scale.assign([low, high]).tolist() == [0, 1]


def test_inversions_are_falls_of_the_default_rate_past_empty_grades() -> None:
    assert inversions([100, 0, 100, 50], [2, 0, 1, 1]) == ((0, 2),)
    assert inversions([100, 300], [1, 3]) == ()
    assert inversions([5], [1]) == ()


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_concentration_lies_between_even_and_one(n_rows: list[int]) -> None:
    found = concentration(n_rows)
    share = pd.Series(n_rows) / sum(n_rows)
    assert found.herfindahl == pytest.approx((share**2).sum())
    assert found.largest_share == share.max()
    assert -1e-12 <= found.normalised <= 1 + 1e-12


def test_concentration_at_its_ends() -> None:
    assert concentration([7, 7, 7, 7]).herfindahl == pytest.approx(0.25)
    assert concentration([7, 7, 7, 7]).normalised == pytest.approx(0)
    assert concentration([0, 7]).normalised == pytest.approx(1)
    assert concentration([7]).normalised == 1
    with pytest.raises(DataError):
        concentration([0, 0])


def test_json_there_and_back() -> None:
    assert MasterScale.from_json(json.loads(json.dumps(SCALE.to_json(), allow_nan=False))) == SCALE


STORED = SCALE.to_json()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ([], "master_scale_unreadable"),
        ({**STORED, "format": 0}, "master_scale_unreadable"),
        ({**STORED, "bounds": 3}, "master_scale_unreadable"),
        ({k: v for k, v in STORED.items() if k != "names"}, "master_scale_unreadable"),
        ({**STORED, "names": ["A", "A", "B"]}, "bad_master_scale"),
        ({**STORED, "names": ["A", "B", 3]}, "bad_master_scale"),
        ({**STORED, "names": ["A", "B"]}, "bad_master_scale"),
        ({**STORED, "bounds": [0.1, 0.1]}, "bad_master_scale"),
        ({**STORED, "bounds": [0.1, 1.0]}, "bad_master_scale"),
        ({**STORED, "bounds": [0.1, "0.2"]}, "bad_master_scale"),
        ({**STORED, "bounds": [0.1, float("nan")]}, "bad_master_scale"),
        ({**STORED, "default_probabilities": [0.1, 0.05, 0.2]}, "bad_master_scale"),
        ({**STORED, "default_probabilities": [0.0, 0.05, 0.2]}, "bad_master_scale"),
    ],
)
def test_a_damaged_scale_is_refused(data: Any, code: str) -> None:
    with pytest.raises(ModelError) as caught:
        MasterScale.from_json(data)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: geometric_scale([0.1, 0.1], 3), "constant_score"),
        (lambda: geometric_scale([0.0, 0.1], 3), "bad_probability"),
        (lambda: geometric_scale([], 3), "no_rows"),
        (lambda: geometric_scale([0.1, 0.2], 1), "bad_parameter"),
        (lambda: merged_scale([0, 1], [0.1, 0.2], min_rows=0), "bad_parameter"),
        (lambda: merged_scale([0, 1], [0.1, 0.2], min_rows=3), "too_few_rows"),
        (lambda: merged_scale([0, 0], [0.1, 0.2], min_rows=1), "one_class"),
        (lambda: SCALE.assign([0.1, np.nan]), "score_missing"),
        (lambda: SCALE.counts([0, 1], [0.1]), "wrong_length"),
    ],
)
def test_what_cannot_be_graded_is_refused(call: Any, code: str) -> None:
    with pytest.raises((DataError, ModelError)) as caught:
        call()
    assert caught.value.code == code
