"""Points: against the book's worked numbers, the scale of margins, and as stored files."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.binning import FeatureBins
from models.errors import ModelError
from models.losses import Floats
from models.scale import points
from models.scorecard.card import (
    JointScorecard,
    ScorecardHalf,
    ScorecardRules,
    WoeFeature,
    margin_of,
    points_table,
    woe_of,
)
from models.table import Table
from models.woe.prebins import Prebins
from models.woe.tables import WoeBins
from tests.builders import numbers, texts

AGE = WoeFeature(
    Prebins(FeatureBins("age", category=False, edges=(30.0, 50.0), has_missing=True), special_codes=(-999.0,)),
    WoeBins("age", (0, 1, 1, 2, 3), (-0.6, 0.4, 0.1, 0.0)),
)
JOB = WoeFeature(
    Prebins(FeatureBins("job", category=True, levels=("农民工", "clerk"))),
    WoeBins("job", (0, 1, 2), (0.3, -0.2, 0.0), unseen_woe=-0.5),
)
TABLE = Table(
    tuple("abcdef"),
    {"age": numbers(20, 40, 60, np.nan, -999, 30), "job": texts("农民工", "clerk", "pilot", None, "clerk", "农民工")},
)
WOE = np.array([[-0.6, 0.3], [0.4, -0.2], [0.4, -0.5], [0.1, 0.0], [0.0, -0.2], [-0.6, 0.3]])
EXACT = ScorecardRules(rounding=False)
MEANS = (0.15, -0.05)


def half(intercept: float | None = -2.0, rules: ScorecardRules = EXACT, **changes: Any) -> ScorecardHalf:
    return ScorecardHalf("m-1", "bank", (AGE, JOB), changes.pop("coefficients", (-0.9, -1.1)), intercept, rules, MEANS)


def test_woe_of_raw_columns() -> None:
    np.testing.assert_array_equal(woe_of((AGE, JOB), TABLE), WOE)
    assert woe_of((), TABLE).shape == (6, 0)
    with pytest.raises(ModelError, match="job"):
        woe_of((AGE, JOB), TABLE.select(("age",)))


def test_the_scale_of_the_book() -> None:
    """Siddiqi (2006), ch. 6: 600 points at 50:1 and 20 points to double the odds: factor 28.8539, offset 487.123."""
    rules = ScorecardRules(base_odds=50.0)
    assert rules.factor == pytest.approx(28.8539, abs=5e-5)
    assert rules.offset == pytest.approx(487.123, abs=5e-4)


def test_the_entries_of_a_table_by_hand() -> None:
    """Factor 20 / ln 2 and offset 600 - factor ln 20, written out for one bin."""
    table = points_table((AGE.bins,), (-0.9,), -2.0, EXACT)
    assert table.features[0].points[0] == pytest.approx(-0.9 * -0.6 * -20 / math.log(2))
    assert table.intercept_points == pytest.approx(600 - 20 / math.log(2) * (math.log(20) - 2.0))
    safer, riskier = table.features[0].points[1], table.features[0].points[0]
    assert safer > 0 > riskier


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.sampled_from(["own", "shared"]))
def test_unrounded_points_are_the_scale_of_the_margin(values: list[float], intercept: str) -> None:
    rules = ScorecardRules(rounding=False, intercept=intercept)
    card = half(values[0], rules, coefficients=tuple(values[1:]))
    margin = card.margin(TABLE)
    np.testing.assert_allclose(margin, values[0] + WOE @ values[1:], atol=1e-12)
    total = card.points(TABLE)
    exact = 600 + 20 / math.log(2) * (-margin - math.log(20))
    np.testing.assert_allclose(total, exact, atol=1e-10, rtol=0)
    clear = np.abs(exact - np.floor(exact) - 0.5) > 1e-9
    assert [round(p) for p in total[clear]] == [points(m) for m in margin[clear]]


def test_parties_add_up() -> None:
    guest = ScorecardHalf("m-1", "bank", (AGE,), (-0.9,), -2.0, EXACT, (0.0,))
    host = ScorecardHalf("m-1", "host:tax", (JOB,), (-1.1,), None, EXACT, (0.0,))
    np.testing.assert_allclose(guest.points(TABLE) + host.points(TABLE), half().points(TABLE), atol=1e-10)
    assert host.table.intercept_points == 0.0


def test_a_shared_intercept_stands_in_every_bin() -> None:
    shared = half(rules=ScorecardRules(rounding=False, intercept="shared")).table
    own = half().table
    assert shared.intercept_points == 0.0
    for a, b in zip(shared.features, own.features, strict=True):
        gaps = {
            round(x - y, 9) for x, y in zip((*a.points, a.unseen_points), (*b.points, b.unseen_points), strict=True)
        }
        assert gaps == {round(own.intercept_points / 2, 9)}
    lonely = ScorecardHalf("m-1", "bank", (), (), -2.0, ScorecardRules(intercept="shared"), ())
    assert lonely.points(TABLE).tolist() == [round(own.intercept_points)] * 6


def test_rounded_entries_are_whole_and_near() -> None:
    whole = half(rules=ScorecardRules())
    entries = [p for f in whole.table.features for p in (*f.points, f.unseen_points)]
    assert all(p == round(p) for p in (*entries, whole.table.intercept_points))
    assert np.abs(whole.points(TABLE) - half().points(TABLE)).max() <= 1.5
    assert (whole.points(TABLE) == np.rint(whole.points(TABLE))).all()


@pytest.mark.parametrize(("low", "high", "expected"), [(None, None, [100, 500, 900]), (300, 850, [300, 500, 850])])
def test_scores_are_cut_to_their_bounds(low: float | None, high: float | None, expected: list[float]) -> None:
    rules = ScorecardRules(minimum=low, maximum=high)
    assert rules.score(numbers(100, 500, 900)).tolist() == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"base_odds": 0.0},
        {"points_to_double": 0.0},
        {"base_points": math.nan},
        {"intercept": "everywhere"},
        {"minimum": 700.0, "maximum": 600.0},
        {"maximum": math.inf},
    ],
)
def test_rules_have_ranges(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        ScorecardRules(**changes)
    assert caught.value.code == "bad_parameter"


def test_contributions_are_the_shapley_values_of_every_order_of_joining() -> None:
    """Brute force: a feature outside the coalition has its mean WOE (Lundberg & Lee 2017)."""
    card = half(coefficients=(-0.9, 1.3))

    def worth(row: int, inside: frozenset[int]) -> float:
        return -2.0 + sum((-0.9, 1.3)[k] * (WOE[row, k] if k in inside else MEANS[k]) for k in (0, 1))

    found = card.contributions(TABLE)
    for row in range(len(TABLE)):
        first = [worth(row, frozenset({k})) - worth(row, frozenset()) for k in (0, 1)]
        last = [worth(row, frozenset({0, 1})) - worth(row, frozenset({1 - k})) for k in (0, 1)]
        np.testing.assert_allclose(found[row], (np.array(first) + last) / 2, atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), card.margin(TABLE) - worth(0, frozenset()), atol=1e-12)


def test_one_row_has_the_same_bits_as_many() -> None:
    rng = np.random.default_rng(3)
    woe, coefficients = rng.normal(size=(200, 9)), rng.normal(size=9).tolist()
    together = margin_of(woe, coefficients, 0.1)
    assert together.tobytes() == b"".join(margin_of(woe[[k]], coefficients, 0.1).tobytes() for k in range(200))
    np.testing.assert_allclose(together, 0.1 + woe @ coefficients, atol=1e-12)


def stored(data: Any) -> Any:
    return json.loads(json.dumps(data, ensure_ascii=False, allow_nan=False))


@pytest.mark.parametrize("intercept", [None, -2.0])
def test_what_is_stored_comes_back(intercept: float | None) -> None:
    first = half(intercept, ScorecardRules(minimum=300.0))
    again = ScorecardHalf.from_json(stored(first.to_json()))
    assert again == first
    assert again.digest() == first.digest()
    joint = JointScorecard(first, {"host:tax": "ab" * 32}, {"host:tax": (2, 0)})
    assert JointScorecard.from_json(stored(joint.to_json())) == joint


def test_the_digest_commits_to_everything_and_is_salted() -> None:
    first = half()
    assert first.digest() != half().digest()  # another salt
    assert first.salt not in repr(first)
    other = replace(first, party="x")
    assert other.digest() != first.digest() == replace(first).digest()


@pytest.mark.parametrize(("place", "value"), [("coefficients", [-0.9, -1.2]), ("intercept", -1.9)])
def test_points_that_do_not_follow_from_the_rest_are_refused(place: str, value: object) -> None:
    with pytest.raises(ModelError):
        ScorecardHalf.from_json({**stored(half().to_json()), place: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("bins", []),
        ("bins", 5),
        ("prebins", {}),
        ("coefficients", [-0.9]),
        ("coefficients", [-0.9, math.nan]),
        ("coefficients", ["a", "b"]),
        ("coefficients", [-0.9, True]),
        ("means", [0.1]),
        ("means", [0.1, math.inf]),
        ("intercept", "zero"),
        ("rules", {"base_points": 600}),
        ("rules", {"colour": 1}),
        ("points", {}),
        ("salt", 5),
        ("party", None),
    ],
)
def test_damaged_files_are_refused(name: str, value: object) -> None:
    data = stored(half().to_json())
    for broken in ({**data, name: value}, {k: v for k, v in data.items() if k != name}):
        with pytest.raises(ModelError) as caught:
            ScorecardHalf.from_json(broken)
        assert caught.value.code == "scorecard_unreadable"
    for bad in ({}, {"format": 1, "half": data}, {"format": 1, "half": data, "host_digests": {"h": 1}}):
        with pytest.raises(ModelError):
            JointScorecard.from_json(bad)


def test_no_applicant_is_in_a_stored_half() -> None:
    text = json.dumps(half().to_json())
    assert "points" in text
    assert not any(f'"{i}"' in text for i in TABLE.ids)


def margins_rise_as_points_fall(card: ScorecardHalf) -> Floats:
    return np.argsort(card.margin(TABLE), kind="stable")


def test_higher_points_are_safer() -> None:
    order = margins_rise_as_points_fall(half())
    assert (np.diff(half().points(TABLE)[order]) <= 1e-9).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("host_digests", {"host:tax": 5}),
        ("host_features", {}),
        ("host_features", {"host:tax": [-1]}),
        ("host_features", {"host:tax": [True]}),
        ("host_features", {"host:tax": 2}),
        ("host_features", None),
        ("half", {}),
    ],
)
def test_a_damaged_joint_scorecard_is_refused(name: str, value: object) -> None:
    data = stored(JointScorecard(half(), {"host:tax": "ab" * 32}, {"host:tax": (2, 0)}).to_json())
    with pytest.raises(ModelError):
        JointScorecard.from_json({**data, name: value})


def test_hosts_without_a_feature_are_not_needed() -> None:
    digests = dict.fromkeys(("host:tax", "host:idle"), "ab" * 32)
    joint = JointScorecard(half(), digests, {"host:tax": (2, 0), "host:idle": ()})
    assert joint.needed_hosts == ["host:tax"]
    assert [(b.name, b.category) for b in joint.inputs] == [("age", False), ("job", True)]
