"""Which features go on, and why the others do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

from models.errors import ModelError
from models.losses import Floats
from models.scorecard.logistic import with_intercept
from models.scorecard.selection import (
    ANY_VIF,
    Selection,
    SelectionRules,
    Verdict,
    correlations,
    select,
    single_auc,
    variance_inflation,
)
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


# -- how features go together ------------------------------------------------------------------------------------

FREE = SelectionRules(max_correlation=1.0, max_vif=ANY_VIF)


def columns(seed: int = 3) -> Floats:
    """Six columns: 0, 1 nearly the same; 5 nearly the sum of 2, 3 and 4."""
    x = np.random.default_rng(seed).normal(size=(500, 6))
    x[:, 1] = x[:, 0] + 0.2 * x[:, 1]
    x[:, 5] = x[:, 2:5].sum(axis=1) + 0.3 * x[:, 5]
    return x * np.array([1.0, 2.0, 0.1, 5.0, 1.0, 1.0]) + 0.7


def selection(n: int, rules: SelectionRules) -> Selection:
    """Columns of two parties, each weaker than the one before."""
    parties = ["bank"] * (n // 2) + ["host:a"] * (n - n // 2)
    verdicts = [
        Verdict(p, k, f"host:a feature {k}" if ":" in p else f"f{k}", 1.0 - k / 10, 0.6, "")
        for k, p in enumerate(parties)
    ]
    return Selection(rules, verdicts)


def test_correlations_come_from_sums_of_products() -> None:
    x = columns()
    design = with_intercept(x)
    np.testing.assert_allclose(correlations(0.21 * design.T @ design), np.corrcoef(x.T), atol=1e-10)


def test_a_constant_column_goes_with_none() -> None:
    design = with_intercept(np.column_stack([columns()[:, 0], np.full(500, 3.0)]))
    np.testing.assert_allclose(correlations(design.T @ design), np.eye(2), atol=1e-10)


def test_variance_inflation_is_what_regression_on_the_others_says() -> None:
    x = columns()
    expected = [
        1.0 / (1.0 - LinearRegression().fit(np.delete(x, k, 1), x[:, k]).score(np.delete(x, k, 1), x[:, k]))
        for k in range(6)
    ]
    np.testing.assert_allclose(variance_inflation(np.corrcoef(x.T)), expected, rtol=1e-8)


def test_of_a_close_pair_the_weaker_goes_and_says_with_whom() -> None:
    found = selection(6, replace(FREE, max_correlation=0.9))
    correlation = np.corrcoef(columns().T)
    assert found.screen(correlation) == [0, 2, 3, 4, 5]
    left_out = found.verdicts[1]
    assert (left_out.reason, left_out.other) == ("correlated", "bank f0")
    assert left_out.figure == pytest.approx(correlation[0, 1])
    assert found.places("bank") == [0, 2]


def test_what_the_others_determine_goes() -> None:
    found = selection(6, replace(FREE, max_vif=10.0))
    kept = found.screen(np.corrcoef(columns().T))
    assert variance_inflation(np.corrcoef(columns()[:, kept].T)).max() <= 10.0
    assert {found.verdicts[k].reason for k in range(6) if k not in kept} == {"collinear"}
    assert len({0, 1} & set(kept)) == 1
    assert len({2, 3, 4, 5} & set(kept)) == 3


def test_equal_columns_are_left_out_until_one_is_left() -> None:
    found = selection(4, replace(FREE, max_vif=10.0))
    assert len(found.screen(np.ones((4, 4)))) == 1


def test_without_limits_all_stay() -> None:
    assert selection(6, FREE).screen(np.corrcoef(columns().T)) == list(range(6))


def test_what_has_moved_too_far_goes_and_does_not_stand_in_the_way_of_others() -> None:
    found = selection(6, replace(FREE, max_correlation=0.9, max_stability_index=0.25))
    found.moved = [0.26, 0.25, None, 0.0, 0.1]
    assert found.screen(np.corrcoef(columns().T)) == [1, 2, 3, 4, 5]  # 1 goes with 0, which is gone
    assert (found.verdicts[0].reason, found.verdicts[0].figure) == ("unstable", 0.26)


def test_of_features_that_all_moved_the_one_that_moved_least_stays() -> None:
    found = selection(3, replace(FREE, max_stability_index=0.25))
    found.moved = [0.9, 0.5, 0.7]
    assert found.screen(np.eye(3)) == [1]


# -- the fit itself ----------------------------------------------------------------------------------------------


def least_squares(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Coefficients and their covariance at a known variance of 1: a loss that is quadratic."""
    inverse = np.linalg.inv(x.T @ x)
    return inverse @ x.T @ y, inverse


@pytest.mark.parametrize("seed", range(4))
def test_elimination_on_the_quadratic_model_is_elimination_by_refitting(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 8)) @ (np.eye(8) + 0.3)
    y = x @ np.array([-0.9, -0.5, 0, 0, -0.25, 0, -0.1, 0]) + rng.normal(size=60)
    found = selection(8, replace(FREE, max_p_value=0.05))
    kept = list(range(8))
    while True:  # by hand: fit again without the least significant
        b, cov = least_squares(x[:, kept], y)
        p_value = 2 * norm.sf(np.abs(b) / np.sqrt(np.diag(cov)))
        if p_value.max() <= 0.05:
            break
        kept.pop(int(np.argmax(p_value)))
    assert found.eliminate(*least_squares(x, y)) == kept
    assert 0 < len(kept) < 8
    gone = [v for v in found.verdicts if v.reason]
    assert all(v.reason == "insignificant" and v.figure > 0.05 for v in gone)


def test_wrong_signs_go_first() -> None:
    found = selection(3, replace(FREE, right_signs=True, max_p_value=0.05))
    b, cov = np.array([-2.0, 0.8, -0.01]), np.eye(3) * 0.01
    assert found.eliminate(b, cov) == [0]
    assert [v.reason for v in found.verdicts] == ["", "reversed", "insignificant"]
    assert found.verdicts[1].figure == pytest.approx(0.8)


def test_one_feature_always_stays() -> None:
    found = selection(3, replace(FREE, max_p_value=0.0))
    assert len(found.eliminate(np.array([-0.1, -0.2, -0.3]), np.eye(3))) == 1


@pytest.mark.parametrize("change", [{"max_correlation": 1.1}, {"max_vif": 0.9}, {"max_p_value": -0.1}], ids=str)
def test_limits_out_of_range_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ModelError) as caught:
        SelectionRules(**change)
    assert caught.value.code == "bad_parameter"
