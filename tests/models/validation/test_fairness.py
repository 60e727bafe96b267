"""Group reports against pandas and scikit-learn; small groups stay silent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from models.errors import DataError, ModelError
from models.validation.fairness import GroupReport, group_reports


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(15)
    group = rng.choice(["north", "south", "isle"], p=[0.6, 0.38, 0.02], size=3000)
    margin = rng.normal(-1.5, 1, size=3000) + 0.5 * (group == "south")
    label = (rng.random(3000) < expit(margin + 0.6 * (group == "south"))).astype(float)
    return pd.DataFrame({"group": group, "margin": margin, "label": label, "approved": margin < -1.2})


def reports(frame: pd.DataFrame, **settings: Any) -> dict[str, GroupReport]:
    found = group_reports(frame.label, frame.margin, frame.approved, frame.group.tolist(), **settings)
    return {r.name: r for r in found}


def test_rates_are_those_of_pandas(frame: pd.DataFrame) -> None:
    found = reports(frame)
    rates = frame.groupby("group").approved.mean()
    of_approved = frame[frame.approved].groupby("group").label.mean()
    for name in ("north", "south"):
        own, told = frame[frame.group == name], found[name]
        assert told.n_rows == len(own)
        assert told.approval_rate.value == pytest.approx(rates[name])
        assert told.approval_rate.low < rates[name] < told.approval_rate.high
        assert told.default_rate.value == pytest.approx(of_approved[name])
        assert told.auc.value == pytest.approx(roc_auc_score(own.label, own.margin))
        assert told.auc.low < told.auc.value < told.auc.high
    assert found["north"].approval_ratio == 1.0
    assert found["south"].approval_ratio == pytest.approx(rates["south"] / rates["north"])
    assert (found["north"].four_fifths, found["south"].four_fifths) == (True, False)


def test_understated_risk_of_one_group_shows(frame: pd.DataFrame) -> None:
    found = reports(frame)
    assert found["north"].in_the_large.low < 0 < found["north"].in_the_large.high
    assert found["south"].in_the_large.low < 0.6 < found["south"].in_the_large.high
    assert found["south"].in_the_large.low > 0


def test_of_a_small_group_only_the_name_is_told(frame: pd.DataFrame) -> None:
    found = reports(frame)
    assert found["isle"] == GroupReport("isle", suppressed=True)
    assert not reports(frame, minimum=10)["isle"].suppressed


def test_a_suppressed_group_does_not_set_the_highest_rate(frame: pd.DataFrame) -> None:
    changed = frame.assign(approved=frame.approved | (frame.group == "isle"))
    assert reports(changed)["north"].approval_ratio == 1.0


def test_four_fifths_itself_is_enough() -> None:
    group = ["a"] * 10 + ["b"] * 10
    approved = [1] * 10 + [1] * 8 + [0] * 2
    b = group_reports([0, 1] * 10, np.arange(20.0), approved, group, minimum=10)[1]
    assert (b.approval_ratio, b.four_fifths) == (0.8, True)
    assert b.default_rate is None  # eight approved only
    assert b.auc is None  # five defaults only
    assert b.in_the_large is None


def test_if_nobody_is_approved_there_is_no_ratio() -> None:
    (found,) = group_reports([0, 1] * 50, np.arange(100.0), np.zeros(100), ["a"] * 100)
    assert found.approval_rate.value == 0
    assert (found.approval_ratio, found.four_fifths, found.default_rate) == (None, None, None)
    assert found.auc is not None


def test_a_group_of_one_class_has_no_separation() -> None:
    (found,) = group_reports(np.zeros(100), np.arange(100.0), np.ones(100), ["a"] * 100)
    assert (found.auc, found.in_the_large) == (None, None)
    assert found.default_rate.value == 0


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"group": ["a"]}, "wrong_length"),
        ({"group": ["a", ""]}, "missing_group"),
        ({"group": ["a", None]}, "missing_group"),
        ({"approved": [0, 2]}, "bad_group"),
        ({"approved": [0, np.nan]}, "score_missing"),
        ({"margin": [0.0, np.inf]}, "score_missing"),
        ({"label": []}, "no_rows"),
        ({"minimum": 0}, "bad_parameter"),
        ({"minimum_per_class": 1}, "bad_parameter"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], code: str) -> None:
    sound = {"label": [0, 1], "margin": [0.0, 1.0], "approved": [1, 0], "group": ["a", "b"]}
    with pytest.raises((DataError, ModelError)) as caught:
        group_reports(**{**sound, **changes})
    assert caught.value.code == code
