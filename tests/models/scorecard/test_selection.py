"""Which features go on, and why the others do not."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from models.scorecard.selection import SelectionRules, select, single_auc
from models.table import Table
from models.woe.fitting import FittedWoe, PrebinCounts, WoeRules, count_prebins, fit_woe
from models.woe.prebins import fit_prebins

N = 3000


def fitted() -> tuple[list[FittedWoe], np.ndarray, list[np.ndarray]]:
    """A strong feature, a weaker one, noise, one that knows the outcome, one without values."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 3))
    label = (1.5 * x[:, 0] + 0.7 * x[:, 1] + rng.logistic(size=N) > 1.0).astype(float)
    known = label + rng.normal(size=N) * 0.3
    columns = {"strong": x[:, 0], "weak": x[:, 1], "noise": x[:, 2], "after": known, "empty": np.full(N, np.nan)}
    table = Table(tuple(map(str, range(N))), columns)
    found, woe = [], []
    for p in fit_prebins(table):
        codes = p.encode(table.columns[p.name])
        found.append(fit_woe(count_prebins(p, codes, label), WoeRules()))
        woe.append(found[-1].bins.transform(codes))
    return found, label, woe


def test_the_auc_of_one_feature_is_that_of_its_woe() -> None:
    found, label, woe = fitted()
    for feature, values in zip(found, woe, strict=True):
        assert single_auc(feature.table) == pytest.approx(roc_auc_score(label, -values), abs=1e-12)


def test_each_feature_has_its_verdict() -> None:
    found, _, _ = fitted()
    verdicts = select({"bank": found[:2], "host:a": found[2:]}, SelectionRules())
    assert [(v.party, v.place, v.reason) for v in verdicts] == [
        ("bank", 0, ""),
        ("bank", 1, ""),
        ("host:a", 0, "weak"),
        ("host:a", 1, "leak"),
        ("host:a", 2, "flagged"),
    ]


def test_a_feature_that_merging_hides_is_a_leak_all_the_same() -> None:
    """As at a host, where bins of few goods or few bads are merged: one bin is left of what knows the outcome."""
    counts = PrebinCounts("x", 4, True, (500, 400, 3, 0, 0), (0, 2, 300, 200, 0))
    merged = fit_woe(counts, WoeRules(min_goods=10, min_bads=10))
    assert "one_bin" in merged.table.flags
    assert single_auc(merged.table) == 0.5
    label = np.repeat([0, 0, 1, 0, 1, 1], [500, 400, 2, 3, 300, 200])
    score = np.repeat([0, 1, 2, 3], [500, 402, 303, 200])
    assert merged.fine_auc == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert [v.reason for v in select({"host:a": [merged]}, SelectionRules())] == ["leak"]
    assert [v.reason for v in select({"host:a": [merged]}, SelectionRules(max_single_auc=1.0))] == ["flagged"]


def test_the_strongest_are_kept_when_there_are_too_many() -> None:
    found, _, _ = fitted()
    verdicts = select({"bank": found[:2]}, SelectionRules(max_features=1))
    assert [v.reason for v in verdicts] == ["", "surplus"]


def test_a_leak_may_be_allowed() -> None:
    found, _, _ = fitted()
    assert select({"bank": [found[3]]}, SelectionRules(max_single_auc=1.0))[0].reason == ""
