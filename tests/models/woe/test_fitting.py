"""Final bins and their WOE, against optbinning and toad, and as properties."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DataError, ModelError
from models.table import Table
from models.woe.fitting import METHODS, FittedWoe, PrebinCounts, WoeRules, count_prebins, fit_woe
from models.woe.prebins import PrebinRules, Prebins, fit_prebins
from models.woe.tables import BinningTable, WoeBins
from tests.builders import numbers, texts

VECTORS = Path(__file__).parents[2] / "vectors"
OPTBINNING = json.loads((VECTORS / "woe_optbinning.json").read_text(encoding="utf-8"))
TOAD = json.loads((VECTORS / "woe_toad.json").read_text(encoding="utf-8"))
ROWS = OPTBINNING["rows"]
X = np.array(ROWS["x"], dtype=np.float64)
LABEL = np.array(ROWS["label"], dtype=np.float64)

AS_IS = WoeRules(method="as_is", min_apart_count=1)
FREE = {"min_bin_share": 0.0, "min_apart_count": 1, "max_bins": 253}
DIRECTED = ("ascending", "descending", "peak", "valley")

count = st.one_of(st.integers(0, 3), st.integers(0, 400))
rules = st.builds(
    WoeRules,
    method=st.sampled_from(METHODS),
    max_bins=st.integers(1, 8),
    min_bin_share=st.sampled_from([0.0, 0.05, 0.2]),
    min_goods=st.integers(0, 5),
    min_bads=st.integers(0, 5),
    smoothing=st.sampled_from([0.5, 1.0]),
    small_bins=st.sampled_from(["zero", "merge"]),
    unseen_woe=st.sampled_from([0.0, -0.3]),
)


@st.composite
def counts_of_prebins(draw: st.DrawFn) -> PrebinCounts:
    pairs = draw(st.lists(st.tuples(count, count), min_size=1, max_size=14))
    goods, bads = zip(*pairs, strict=True)
    goods, bads = (goods[0] + 1, *goods[1:]), (*bads[:-1], bads[-1] + 1)  # both classes occur
    return PrebinCounts("x", draw(st.integers(0, len(pairs))), draw(st.booleans()), goods, bads)


def counts(*pairs: tuple[int, int], n_apart: int = 0, ordered: bool = True) -> PrebinCounts:
    goods, bads = zip(*pairs, strict=True)
    return PrebinCounts("x", len(pairs) - n_apart, ordered, goods, bads)


def fit(counted: PrebinCounts, method: str = "auto", **changes: Any) -> FittedWoe:
    return fit_woe(counted, WoeRules(method=method, **{**FREE, **changes}))


def counts_in(case: dict[str, Any], n_apart: int = 2, ordered: bool = True) -> PrebinCounts:
    n_regular = len(case["good"]) - n_apart
    return PrebinCounts("x", n_regular, ordered, tuple(case["good"]), tuple(case["bad"]))


def column_of(table: BinningTable, name: str) -> list[Any]:
    return [getattr(row, name) for row in table.rows]


def same(expected: object) -> object:
    """To 1e-12 relative; information values near 1e-9 are differences of shares, hence the absolute bound."""
    return pytest.approx(expected, rel=1e-12, abs=1e-16)


def assert_same_table(table: BinningTable, case: dict[str, Any]) -> None:
    filled = [i for i, n in enumerate(case["count"]) if n]
    for name in ("count", "count_share", "good", "bad", "woe", "information_value"):
        assert column_of(table, name) == same(case[name]), name
    assert [table.rows[i].bad_rate for i in filled] == same([case["bad_rate"][i] for i in filled])
    assert table.information_value == same(case["total"])


@pytest.mark.parametrize("case", OPTBINNING["numeric"], ids=lambda c: c["name"])
def test_binning_tables_are_those_of_optbinning(case: dict[str, Any]) -> None:
    assert_same_table(fit_woe(counts_in(case), AS_IS).table, case)


def test_synthetic_rows_lead_to_the_table_of_optbinning() -> None:
    case = OPTBINNING["numeric"][0]
    data = Table(tuple(map(str, range(len(X)))), {"x": X})
    given = {"cut_points": {"x": case["cut_points"]}, "special_codes": {"x": [OPTBINNING["special_code"]]}}
    prebins = fit_prebins(data, **given)[0]
    codes = prebins.encode(X)
    fitted = fit_woe(count_prebins(prebins, codes, LABEL), AS_IS, prebins.describe)
    assert_same_table(fitted.table, case)
    assert column_of(fitted.table, "bin")[-3:] == ["(1.205, inf)", "missing", "special -999"]
    assert fitted.bins.transform(codes) == same(np.array(case["woe"])[codes])


def test_levels_of_a_category_lead_to_the_table_of_optbinning() -> None:
    case = OPTBINNING["category"][0]
    jobs = texts(*ROWS["job"])
    prebins = fit_prebins(Table(tuple(map(str, range(len(jobs)))), {"job": jobs}))[0]
    assert list(prebins.bins.levels) == case["levels"]
    fitted = fit_woe(count_prebins(prebins, prebins.encode(jobs), LABEL), AS_IS, prebins.describe)
    assert column_of(fitted.table, "bin") == [*case["levels"], "missing"]
    for name in ("count", "good", "bad", "bad_rate", "woe", "information_value"):
        assert column_of(fitted.table, name)[:-1] == same(case[name])
    assert fitted.table.information_value == same(case["total"])


def test_real_rows_lead_to_the_table_of_optbinning(shared_data: Path) -> None:
    case = OPTBINNING["numeric"][1]
    host = pd.read_csv(shared_data / "default_credit_host.csv.gz", usecols=["id", "x0"])
    guest = pd.read_csv(shared_data / "default_credit_guest.csv.gz", usecols=["id", "y"])
    joined = host.merge(guest, on="id")
    x, label = joined["x0"].to_numpy(np.float64), joined["y"].to_numpy(np.float64)
    data = Table(tuple(joined["id"].astype(str)), {"x0": x})
    prebins = fit_prebins(data, cut_points={"x0": case["cut_points"]}, special_codes={"x0": [-999]})[0]
    assert_same_table(fit_woe(count_prebins(prebins, prebins.encode(x), label), AS_IS).table, case)


@pytest.mark.parametrize("case", TOAD["cases"], ids=lambda c: c["name"])
def test_woe_is_that_of_toad_with_the_other_sign(case: dict[str, Any]) -> None:
    table = fit_woe(counts_in(case, n_apart=0), AS_IS).table
    assert [-woe for woe in column_of(table, "woe")] == same(case["woe_bad_over_good"])
    assert table.information_value == same(case["information_value"]) == same(case["quality"])


@pytest.mark.parametrize("trend", DIRECTED)
@pytest.mark.parametrize("case", OPTBINNING["numeric"], ids=lambda c: c["name"])
def test_merging_reaches_nearly_the_optimum_of_optbinning(case: dict[str, Any], trend: str) -> None:
    best = case["best"][trend]
    assert best["status"] == "OPTIMAL"
    table = fit(counts_in(case), trend).table
    regular = sum(column_of(table, "information_value")[:-2])
    assert regular <= best["information_value"] + 1e-6  # the solver rounds
    assert regular >= 0.99 * best["information_value"]


@given(counts_of_prebins(), rules)
def test_a_table_adds_up_and_agrees_with_its_bins(counted: PrebinCounts, chosen: WoeRules) -> None:
    fitted = fit_woe(counted, chosen)
    table, bins = fitted.table, fitted.bins
    assert sum(column_of(table, "good")) == table.total.good == sum(counted.goods)
    assert sum(column_of(table, "bad")) == table.total.bad == sum(counted.bads)
    assert sum(column_of(table, "count_share")) == pytest.approx(1)
    assert all(value >= 0 for value in column_of(table, "information_value"))
    assert tuple(column_of(table, "woe")) == bins.woe
    assert [sum(counted.goods[c] for c in m) for m in bins.members()] == column_of(table, "good")
    assert all((row.bad_rate is None) == (row.count == 0) == (row.note == "empty") for row in table.rows)


@given(counts_of_prebins(), rules)
def test_what_is_stored_comes_back_exactly(counted: PrebinCounts, chosen: WoeRules) -> None:
    fitted = fit_woe(counted, chosen)
    bins = WoeBins.from_json(json.loads(json.dumps(fitted.bins.to_json(), allow_nan=False)))
    codes = np.arange(len(counted.goods) + 2, dtype=np.uint8)
    assert bins == fitted.bins
    assert bins.transform(codes).tobytes() == fitted.bins.transform(codes).tobytes()
    assert BinningTable.from_json(json.loads(json.dumps(fitted.table.to_json(), allow_nan=False))) == fitted.table


@given(counts_of_prebins(), rules.filter(lambda r: r.method != "as_is"))
def test_regular_bins_keep_within_the_limits(counted: PrebinCounts, chosen: WoeRules) -> None:
    fitted = fit_woe(counted, chosen)
    regular = [
        row
        for row, members in zip(fitted.table.rows, fitted.bins.members(), strict=True)
        if members[0] < counted.n_regular and (counted.ordered or row.count)
    ]
    assert len(regular) <= chosen.max_bins
    least = chosen.min_bin_share * fitted.table.total.count
    kept = all(r.count >= least and r.good >= chosen.min_goods and r.bad >= chosen.min_bads for r in regular)
    assert len(regular) <= 1 or kept


@given(counts_of_prebins(), rules)
def test_regular_bins_have_the_shape_that_was_asked_for(counted: PrebinCounts, chosen: WoeRules) -> None:
    fitted = fit_woe(replace(counted, ordered=True), chosen)
    n_regular = len({fitted.bins.bin_of[c] for c in range(counted.n_regular)})
    woe = list(fitted.bins.woe[:n_regular])
    up = [a < b for a, b in pairwise(woe)]
    assert chosen.method == "as_is" or all(a != b for a, b in pairwise(woe))
    match fitted.table.method:
        case "ascending":
            assert not any(up)
        case "descending":
            assert all(up)
        case "peak":
            assert up == sorted(up)
        case "valley":
            assert up == sorted(up, reverse=True)


@given(counts_of_prebins(), rules)
def test_auto_takes_the_better_direction(counted: PrebinCounts, chosen: WoeRules) -> None:
    values = {m: fit_woe(counted, replace(chosen, method=m)).table for m in ("ascending", "descending", "auto")}
    best = max(values["ascending"].information_value, values["descending"].information_value)
    assert values["auto"].information_value == best
    assert values["auto"].method in {"ascending", "descending"}


@pytest.mark.parametrize("changes", [{"min_bin_count": 60}, {"min_bin_share": 0.25}])
def test_the_larger_of_count_and_share_applies(changes: dict[str, Any]) -> None:
    counted = counts((90, 10), (40, 10), (30, 70))
    assert fit(counted).bins.n_bins == 3
    assert fit(counted, **changes).bins.bin_of == (0, 0, 1)
    assert fit(counted, **{"min_bin_count": 1, "min_bin_share": 0.05, **changes}).bins.bin_of == (0, 0, 1)


def test_smoothing_does_not_disturb_the_direction() -> None:
    fitted = fit(counts((500, 20), (1, 300), (0, 5)), "ascending")
    assert fitted.bins.bin_of == (0, 1, 1)


def test_missing_and_special_codes_are_outside_the_monotone_constraint() -> None:
    counted = counts((90, 10), (80, 20), (60, 40), (10, 90), (99, 1), n_apart=2)
    fitted = fit(counted, "ascending")
    assert fitted.bins.bin_of == (0, 1, 2, 3, 4)
    assert fitted.bins.woe[3] < fitted.bins.woe[2] < fitted.bins.woe[0] < fitted.bins.woe[4]


def test_a_small_missing_bin_says_nothing_or_joins_the_nearest() -> None:
    counted = counts((90, 10), (60, 40), (6, 3), (500, 40), n_apart=2)
    zero = fit(counted, "ascending", min_apart_count=10)
    assert [(r.count, r.woe, r.information_value, r.note) for r in zero.table.rows][2] == (9, 0.0, 0.0, "small")
    assert zero.table.rows[3].note == ""
    merged = fit(counted, "ascending", min_apart_count=10, small_bins="merge")
    assert merged.bins.bin_of == (0, 1, 1, 2)
    assert column_of(merged.table, "count") == [100, 109, 540]


@pytest.mark.parametrize(("changes", "pair"), [({"min_goods": 5}, (4, 90)), ({"min_bads": 5}, (90, 4))])
def test_few_goods_or_bads_make_a_missing_bin_small_too(changes: dict[str, int], pair: tuple[int, int]) -> None:
    assert fit(counts((90, 10), (60, 40), pair, n_apart=1), **changes).table.rows[2].note == "small"


@pytest.mark.parametrize("small_bins", ["zero", "merge"])
def test_missing_that_never_occurred_says_nothing(small_bins: str) -> None:
    fitted = fit(counts((90, 10), (60, 40), (0, 0), n_apart=1), small_bins=small_bins)
    assert (fitted.table.rows[2].note, fitted.table.rows[2].bad_rate) == ("empty", None)
    assert fitted.bins.transform(np.array([2], dtype=np.uint8)).tolist() == [0.0]


@pytest.mark.parametrize("method", [m for m in METHODS if m != "as_is"])
def test_levels_are_ordered_by_bad_rate_before_they_are_merged(method: str) -> None:
    counted = counts((60, 40), (90, 10), (58, 42), (0, 0), (20, 1), ordered=False)
    fitted = fit(counted, method, max_bins=2)
    assert fitted.bins.members() == ((1, 4), (0, 2), (3,))
    assert fitted.table.rows[2].note == "empty"
    assert fitted.table.flags == ()


@pytest.mark.parametrize("method", METHODS)
def test_levels_of_equal_rate_are_equal_whatever_the_method(method: str) -> None:
    fitted = fit(counts((60, 40), (90, 10), (30, 20), ordered=False), method)
    assert fitted.bins.woe[fitted.bins.bin_of[0]] == fitted.bins.woe[fitted.bins.bin_of[2]]
    assert (fitted.bins.bin_of[0] == fitted.bins.bin_of[2]) == (method != "as_is")


def test_a_tree_over_levels_stops_where_too_little_is_gained() -> None:
    counted = counts((60, 40), (90, 10), (59, 41), (89, 11), ordered=False)
    assert fit(counted, "tree", min_gain=0.05).bins.bin_of == (1, 0, 1, 0)
    assert fit(counted, "tree", min_gain=0.0).bins.n_bins == 4


def test_codes_never_seen_have_the_woe_that_was_stated() -> None:
    fitted = fit(counts((90, 10), (60, 40)), unseen_woe=-0.25)
    values = fitted.bins.transform(np.array([[0, 1], [2, 255]], dtype=np.uint8))
    assert values.dtype == np.float64
    assert values.tolist() == [list(fitted.bins.woe), [-0.25, -0.25]]


def test_levels_unseen_in_prebinning_count_as_a_code_of_their_own() -> None:
    prebins = fit_prebins(Table(("1", "2"), {"x": texts("a", "b")}))[0]
    codes = prebins.encode(texts("a", "b", "z", "z", "z", "a"))
    counted = count_prebins(prebins, codes, numbers(0, 1, 1, 0, 1, 1))
    assert (counted.goods, counted.bads) == ((1, 0, 0, 1), (1, 1, 0, 2))
    fitted = fit_woe(counted, AS_IS, prebins.describe)
    assert column_of(fitted.table, "bin") == ["a", "b", "missing", "unseen"]
    assert fitted.bins.transform(codes)[2] == pytest.approx(math.log((1 / 2) / (2 / 4)))


@pytest.mark.parametrize("pairs", [[(5, 0), (3, 0)], [(0, 5), (0, 3)], [(0, 0)]])
def test_one_class_is_refused(pairs: list[tuple[int, int]]) -> None:
    with pytest.raises(DataError) as caught:
        counts(*pairs)
    assert caught.value.code == "one_class"


@pytest.mark.parametrize(
    ("n_regular", "goods", "bads"), [(3, (1, 2), (1, 2)), (-1, (1,), (1,)), (1, (1, 2), (1,)), (1, (1, -1), (1, 2))]
)
def test_counts_that_do_not_belong_together_are_refused(
    n_regular: int, goods: tuple[int, ...], bads: tuple[int, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        PrebinCounts("x", n_regular, True, goods, bads)
    assert caught.value.code == "bad_counts"


@pytest.mark.parametrize("label", [numbers(0, 2), numbers(0, np.nan), numbers(0.5, 1)])
def test_labels_other_than_0_and_1_are_refused(label: np.ndarray) -> None:
    prebins: Prebins = fit_prebins(Table(("1", "2"), {"x": numbers(1, 2)}))[0]
    with pytest.raises(DataError) as caught:
        count_prebins(prebins, prebins.encode(numbers(1, 2)), label)
    assert caught.value.code == "label_not_binary"


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_feature_has_one_bin_and_is_told(method: str) -> None:
    fitted = fit(counts((90, 10), (40, 20), n_apart=1), method)
    assert fitted.table.flags == ("constant",)
    assert fitted.table.rows[0].count == 100


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("small_bins", ["zero", "merge"])
def test_a_feature_without_regular_rows_is_told(method: str, ordered: bool, small_bins: str) -> None:
    counted = counts((0, 0), (0, 0), (90, 10), (5, 5), n_apart=2, ordered=ordered)
    fitted = fit(counted, method, small_bins=small_bins, min_apart_count=20)
    assert fitted.table.flags == ("all_missing",)
    assert column_of(fitted.table, "note")[-2:] == ["", "small"]


@pytest.mark.parametrize(
    ("method", "flags"),
    [("ascending", ()), ("descending", ("contradicted",)), ("auto", ()), ("tree", ()), ("as_is", ())],
)
def test_a_direction_the_data_contradict_leaves_one_bin_and_is_told(method: str, flags: tuple[str, ...]) -> None:
    table = fit(counts((90, 10), (80, 20), (60, 40)), method).table
    assert table.flags == flags
    assert len(table.rows) == (1 if flags else 3)


@pytest.mark.parametrize(
    ("method", "changes"),
    [("ascending", {"min_bads": 60}), ("ascending", {"max_bins": 1}), ("tree", {"min_gain": 1.0})],
)
def test_one_bin_for_another_reason_is_told_as_such(method: str, changes: dict[str, Any]) -> None:
    table = fit(counts((90, 10), (80, 20), (60, 40)), method, **changes).table
    assert (table.flags, len(table.rows), table.information_value) == (("one_bin",), 1, 0.0)


@pytest.mark.parametrize("method", ["as_is", "tree", "descending", "auto", "peak", "valley"])
def test_a_feature_that_knows_the_label_is_told_and_keeps_its_value(method: str) -> None:
    table = fit(counts((0, 50), (0, 30), (100, 0), (70, 0)), method).table
    assert table.flags == ("separates",)
    assert table.information_value > 5
    assert set(column_of(table, "note")) == {"smoothed"}


def test_a_bin_of_one_class_is_noted() -> None:
    table = fit(counts((90, 0), (80, 20), (60, 40))).table
    assert (column_of(table, "note"), table.flags) == (["smoothed", "", ""], ())


@pytest.mark.parametrize(
    "change",
    [
        {"method": "best"},
        {"small_bins": "drop"},
        {"max_bins": 0},
        {"min_bin_share": 0.6},
        {"min_goods": -1},
        {"min_apart_count": 0},
        {"smoothing": 0.0},
        {"unseen_woe": math.nan},
    ],
)
def test_rules_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        WoeRules(**change)
    assert caught.value.code == "bad_parameter"


STORED = WoeBins("x", (0, 1, 0), (0.5, -0.25)).to_json()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"woe": [0.5, math.nan]},
        {"woe": [0.5, "1"]},
        {"woe": [0.5, -0.25, 0.1]},
        {"woe": None},
        {"bin_of": [0, 2]},
        {"bin_of": [0.0, 1.0]},
        {"bin_of": [[0], 1]},
        {"unseen_woe": None},
    ],
)
def test_stored_bins_that_were_damaged_are_refused(change: dict[str, Any]) -> None:
    assert WoeBins.from_json(STORED).to_json() == STORED
    with pytest.raises(ModelError) as caught:
        WoeBins.from_json({**STORED, **change})
    assert caught.value.code == "woe_unreadable"


@pytest.mark.parametrize("change", [{"format": 0}, {"rows": [{}]}, {"total": None}, {"flags": None}])
def test_stored_tables_that_were_damaged_are_refused(change: dict[str, Any]) -> None:
    stored = fit(counts((90, 10), (60, 40))).table.to_json()
    with pytest.raises(ModelError) as caught:
        BinningTable.from_json({**stored, **change})
    assert caught.value.code == "woe_unreadable"


def test_bins_are_named_by_codes_until_somebody_knows_better() -> None:
    table = fit(counts((90, 10), (88, 12), (60, 40), (5, 5), n_apart=1), max_bins=2).table
    assert column_of(table, "bin") == ["prebins 0, 1", "prebins 2", "prebins 3"]
    assert column_of(table.relabelled(["low", "high", "missing"]), "bin") == ["low", "high", "missing"]
    assert table.relabelled(["low", "high", "missing"]).total == table.total


def test_a_hundred_features_take_well_under_a_second() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000)
    label = (rng.random(4000) < 1 / (1 + np.exp(1.5 - x**2))).astype(np.float64)
    prebins = fit_prebins(Table(("",) * 4000, {"x": x}), PrebinRules(n_prebins=30))[0]
    counted = count_prebins(prebins, prebins.encode(x), label)
    assert counted.n_regular == 30
    start = time.process_time()
    for _ in range(100):
        fit_woe(counted, WoeRules(method="valley"))
    assert time.process_time() - start < 1
