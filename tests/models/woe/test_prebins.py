"""Prebins made without labels, and as a file that a person edits."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.errors import DataError, ModelError
from models.table import Table
from models.woe.prebin_json import prebins_from_json, prebins_to_json
from models.woe.prebins import PrebinRules, Prebins, check_prebins, fit_prebins
from tests.builders import numbers, texts

values = st.one_of(st.just(np.nan), st.just(-999.0), st.floats(-1e300, 1e300), st.integers(-5, 5).map(float))
columns = st.lists(values, min_size=1, max_size=60).map(np.array)
methods = st.sampled_from(["quantile", "equal_width"])
SPARSE = PrebinRules(min_share=0)


def table(**columns: object) -> Table:
    n = len(next(iter(columns.values())))
    return Table(tuple(str(i) for i in range(n)), columns)


def prebins_of(column: object, rules: PrebinRules | None = None, **given: object) -> Prebins:
    return fit_prebins(table(x=column), rules, **{key: {"x": value} for key, value in given.items()})[0]


def entry(**fields: object) -> dict[str, object]:
    return {"format": 1, "features": {"x": fields}}


def code_of_error(function: object, *arguments: object, **named: object) -> str:
    with pytest.raises(DataError) as caught:
        function(*arguments, **named)
    assert caught.value.english
    assert caught.value.chinese
    return caught.value.code


@given(columns, methods, st.integers(2, 12), st.integers(1, 8))
def test_regular_prebins_are_few_enough_and_full_enough(
    column: np.ndarray, method: str, n_prebins: int, min_count: int
) -> None:
    rules = PrebinRules(method=method, n_prebins=n_prebins, min_share=0, min_count=min_count)
    prebins = prebins_of(column, rules, special_codes=[-999])
    counts = np.bincount(prebins.encode(column), minlength=prebins.n_codes)
    assert len(counts) == prebins.n_codes == prebins.n_regular + 2
    assert prebins.n_regular <= n_prebins
    if prebins.n_regular > 1:
        assert counts[: prebins.n_regular].min() >= min_count
    assert counts[prebins.n_regular] == np.isnan(column).sum()
    assert counts[prebins.n_regular + 1] == (column == -999).sum()


@given(columns, methods)
def test_every_regular_value_lies_in_the_interval_of_its_code(column: np.ndarray, method: str) -> None:
    prebins = prebins_of(column, PrebinRules(method=method, n_prebins=6, min_share=0), special_codes=[-999])
    bounds = [-np.inf, *prebins.bins.edges, np.inf]
    for value, code in zip(column, prebins.encode(column), strict=True):
        assert code >= prebins.n_regular or bounds[code] < value <= bounds[code + 1]
        assert (code >= prebins.n_regular) == (np.isnan(value) or value == -999)


def test_equal_width_is_that_of_pandas() -> None:
    column = np.random.default_rng(0).normal(size=2000)
    prebins = prebins_of(column, PrebinRules(method="equal_width", n_prebins=5, min_share=0))
    codes, edges = pd.cut(column, 5, labels=False, retbins=True)
    assert prebins.bins.edges == pytest.approx(edges[1:-1], rel=1e-12)
    assert prebins.encode(column).tolist() == codes.tolist()


def test_quantile_prebins_are_those_of_pandas() -> None:
    column = np.random.default_rng(1).normal(size=2000)
    prebins = prebins_of(column, PrebinRules(n_prebins=10))
    assert prebins.encode(column).tolist() == pd.qcut(column, 10, labels=False).tolist()


def test_narrow_intervals_of_equal_width_are_joined() -> None:
    column = np.append(np.linspace(0, 1, 99), 1000.0)
    assert prebins_of(column, PrebinRules(method="equal_width", min_share=0.02)).n_regular == 1
    assert prebins_of(column, PrebinRules(method="equal_width", min_share=0)).n_regular == 2


def test_values_on_an_edge_count_to_its_left() -> None:
    rules = PrebinRules(method="equal_width", n_prebins=2, min_share=0, min_count=2)
    assert prebins_of(numbers(0, 5, 5, 10, 10), rules).bins.edges == (5.0,)
    assert prebins_of(numbers(0, 5, 5, 10), rules).bins.edges == ()


def test_adjacent_floats_are_cut_once_at_most() -> None:
    column = numbers(1.0, np.nextafter(1.0, 2.0))
    assert prebins_of(column, PrebinRules(method="equal_width", min_share=0)).encode(column).tolist() == [0, 1]


def test_the_share_counts_all_rows_and_the_larger_limit_applies() -> None:
    column = np.append(np.arange(50.0), np.full(50, np.nan))
    for rules in (PrebinRules(n_prebins=50, min_share=0.1), PrebinRules(n_prebins=50, min_share=0, min_count=10)):
        assert np.bincount(prebins_of(column, rules).encode(column)).tolist() == [10, 10, 10, 10, 10, 50]


def test_special_codes_do_not_move_cut_points() -> None:
    column = np.arange(100.0)
    with_specials = np.append(column, np.full(30, -999.0))
    plain = prebins_of(column, SPARSE)
    assert prebins_of(with_specials, SPARSE, special_codes=[-999]) == replace(plain, special_codes=(-999.0,))
    assert prebins_of(with_specials, SPARSE) != plain


def test_missing_and_special_values_have_codes_even_if_they_come_later() -> None:
    prebins = prebins_of(numbers(1, 2), special_codes=[-1, -2])
    assert not prebins.bins.has_missing
    assert prebins.encode(numbers(1, 2, np.nan, -1, -2)).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("method", ["quantile", "equal_width"])
@pytest.mark.parametrize("column", [numbers(3, 3, 3), numbers(np.nan, np.nan), numbers(-999, -999)])
def test_a_column_that_says_nothing_has_one_prebin(column: np.ndarray, method: str) -> None:
    prebins = prebins_of(column, PrebinRules(method=method), special_codes=[-999])
    assert (prebins.n_regular, prebins.bins.edges) == (1, ())


def test_infinite_values_fall_into_the_outer_prebins() -> None:
    column = numbers(-np.inf, *range(10), np.inf)
    prebins = prebins_of(column, PrebinRules(method="equal_width", n_prebins=3, min_share=0))
    assert prebins.bins.edges == pytest.approx((3, 6))
    assert prebins.encode(numbers(-np.inf, np.inf)).tolist() == [0, 2]


def test_rare_levels_are_merged_and_unseen_ones_join_them() -> None:
    column = texts(*["a"] * 60, *["b"] * 36, "c", "d", "e", None)
    prebins = prebins_of(column, PrebinRules(min_share=0.03))
    assert (prebins.bins.levels, prebins.bins.has_other) == (("a", "b"), True)
    assert prebins.encode(texts("b", "c", "never seen", None)).tolist() == [1, 2, 2, 3]


def test_without_merged_levels_an_unseen_one_has_a_code_of_its_own() -> None:
    prebins = prebins_of(texts("a", "b"))
    assert prebins.encode(texts("z", None)).tolist() == [prebins.unseen_code, 2]
    assert prebins.unseen_code == prebins.n_codes == 3


def test_prebins_say_what_they_hold() -> None:
    prebins = prebins_of(np.arange(10.0), cut_points=[2.5, 4.5, 7.5], special_codes=[-999])
    assert [prebins.describe([c]) for c in (0, 1, 3, 4, 5)] == [
        "(-inf, 2.5]",
        "(2.5, 4.5]",
        "(7.5, inf)",
        "missing",
        "special -999",
    ]
    assert prebins.describe([0, 1, 3, 4]) == "(-inf, 4.5], (7.5, inf), missing"
    category = Prebins(FeatureBins("x", category=True, levels=("a", "b"), has_other=True))
    assert category.describe([0, 2, 3]) == "a, other, missing"
    assert category.describe([4]) == "unseen"


def test_given_cut_points_are_taken_as_they_are() -> None:
    prebins = prebins_of(np.arange(100.0), PrebinRules(min_share=0.5), cut_points=[0.5, 1, 200])
    assert prebins.bins.edges == (0.5, 1.0, 200.0)


@pytest.mark.parametrize("cuts", [[100.0], [-1.0], [-3.0, -2.0, 99.0]])
def test_cut_points_that_part_nothing_are_refused(cuts: list[float]) -> None:
    column = np.append(np.arange(100.0), np.nan)
    assert code_of_error(prebins_of, column, cut_points=cuts) == "cut_points_part_nothing"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"cut_points": [2, 1]}, "cut_points_not_increasing"),
        ({"cut_points": [1, 1]}, "cut_points_not_increasing"),
        ({"cut_points": [1, np.inf]}, "cut_points_not_finite"),
        ({"cut_points": [np.nan]}, "cut_points_not_finite"),
        ({"special_codes": [-9, -9]}, "cut_points_not_increasing"),
        ({"special_codes": [np.nan]}, "cut_points_not_finite"),
        ({"cut_points": np.arange(250.0), "special_codes": [-1, -2, -3]}, "too_many_prebins"),
    ],
)
def test_unusable_cut_points_and_special_codes_are_refused(given: dict[str, object], code: str) -> None:
    assert code_of_error(prebins_of, np.arange(300.0), **given) == code


@pytest.mark.parametrize("given", [{"cut_points": {"y": [1]}}, {"special_codes": {"c": [1]}}])
def test_cut_points_of_an_absent_or_text_column_are_refused(given: dict[str, object]) -> None:
    data = table(x=numbers(1, 2), c=texts("a", "b"))
    assert code_of_error(fit_prebins, data, **given) == "numeric_column_expected"


@pytest.mark.parametrize(
    "change", [{"method": "cart"}, {"n_prebins": 1}, {"n_prebins": 254}, {"min_share": 0.6}, {"min_count": 0}]
)
def test_rules_out_of_range_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError) as caught:
        PrebinRules(**change)
    assert caught.value.code == "bad_parameter"


def test_the_most_codes_still_fit_a_byte() -> None:
    column = np.append(np.arange(252.0), [np.nan, -1])
    prebins = prebins_of(column, PrebinRules(n_prebins=252, min_share=0), special_codes=[-1])
    assert prebins.encode(column).tolist() == list(range(254))


@given(columns, methods, st.lists(st.sampled_from(["a", "b", "农民", "d"]), min_size=60, max_size=60))
def test_the_file_gives_back_exactly_what_was_stored(column: np.ndarray, method: str, levels: list[str]) -> None:
    data = table(x=column, c=texts(*levels[: len(column)]))
    prebins = fit_prebins(data, PrebinRules(method=method, min_share=0.2), special_codes={"x": [-999]})
    again = prebins_from_json(json.loads(json.dumps(prebins_to_json(prebins), allow_nan=False)))
    assert again == prebins
    check_prebins(again, data)
    for p, q in zip(prebins, again, strict=True):
        assert p.encode(data.columns[p.name]).tolist() == q.encode(data.columns[q.name]).tolist()


def test_a_file_written_by_hand_needs_no_more_than_cut_points_or_levels() -> None:
    data = {"format": 1, "features": {"x": {"cut_points": [1, 2.5]}, "c": {"levels": ["b", "a"]}}}
    x, c = prebins_from_json(data)
    assert x.encode(numbers(1, 2, 3, np.nan)).tolist() == [0, 1, 2, 3]
    assert c.encode(texts("a", "b", "z", None)).tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "prebins_unreadable"),
        ({"format": 2, "features": {}}, "prebins_unreadable"),
        ({"format": 1, "features": []}, "prebins_unreadable"),
        (entry(), "prebins_unreadable"),
        ({"format": 1, "features": {"x": None}}, "prebins_unreadable"),
        (entry(cutpoints=[1]), "prebins_unreadable"),
        (entry(cut_points=[1], levels=["a"]), "prebins_unreadable"),
        (entry(cut_points=[1], missing="yes"), "prebins_unreadable"),
        (entry(levels=["a", "a"]), "prebins_unreadable"),
        (entry(levels=[1]), "prebins_unreadable"),
        (entry(levels="ab"), "prebins_unreadable"),
        (entry(cut_points=[2, 1]), "cut_points_not_increasing"),
        (entry(cut_points=[1, True]), "cut_points_not_finite"),
        (entry(cut_points=["1"]), "cut_points_not_finite"),
        (entry(cut_points=5), "cut_points_not_finite"),
        (json.loads('{"format": 1, "features": {"x": {"cut_points": [NaN]}}}'), "cut_points_not_finite"),
        (entry(cut_points=[10**400]), "cut_points_not_finite"),
        (entry(cut_points=[1], special_codes=[float("inf")]), "cut_points_not_finite"),
        (entry(cut_points=list(range(300))), "too_many_prebins"),
        (entry(levels=[str(k) for k in range(300)]), "too_many_prebins"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(data: dict[str, object], code: str) -> None:
    assert code_of_error(prebins_from_json, data) == code


def test_a_file_of_other_columns_is_refused_by_name() -> None:
    prebins = fit_prebins(table(x=numbers(1, 2), old=numbers(1, 2)))
    with pytest.raises(DataError) as caught:
        check_prebins(prebins, table(x=numbers(1, 2), new=numbers(1, 2)))
    assert caught.value.code == "prebins_columns"
    assert "in the table: old;" in caught.value.english
    assert "without prebins: new." in caught.value.english


@pytest.mark.parametrize(("fitted", "later"), [(numbers(1, 2), texts("1", "2")), (texts("1", "2"), numbers(1, 2))])
def test_a_file_of_another_type_is_refused(fitted: np.ndarray, later: np.ndarray) -> None:
    prebins = fit_prebins(table(x=fitted))
    assert code_of_error(check_prebins, prebins, table(x=later)) == "prebins_column_type"
