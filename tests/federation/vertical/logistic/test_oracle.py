"""The outside oracle: scikit-learn on the joined table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from models.losses import Floats
from models.scorecard.logistic import LogisticRules, fit_logistic
from tests.federation.vertical.logistic.scorecards import Session, coefficients, three_parties
from tests.federation.vertical.test_oracle import as_table, cut_in


def by_sklearn(session: Session, **options: Any) -> Floats:
    rows = slice(0, session.n_fit)
    model = LogisticRegression(max_iter=100_000, **({"tol": 1e-13, "solver": "newton-cholesky"} | options))
    model.fit(session.pooled()[rows], session.label[rows], session.weight)
    return np.array([*model.intercept_, *model.coef_[0]])


def session(n_parties: int, **options: Any) -> Session:
    tables, label = three_parties()
    return Session(tables[:n_parties], label, 320, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_parties", [1, 2, 3])
def test_coefficients_are_those_of_scikit_learn(n_parties: int, weighted: bool) -> None:
    weight = np.random.default_rng(5).integers(1, 5, 320).astype(np.float64) if weighted else None
    s = session(n_parties, weight=weight)
    np.testing.assert_allclose(coefficients(s.fit()), by_sklearn(s, C=np.inf), atol=1e-6, rtol=0)


PENALTIES = [
    (LogisticRules(l2=4.0), {"C": 0.25}),
    (LogisticRules(l1=5.0), {"C": 0.2, "l1_ratio": 1.0, "solver": "saga", "random_state": 0}),
    (LogisticRules(l1=2.0, l2=2.0), {"C": 0.25, "l1_ratio": 0.5, "solver": "saga", "random_state": 0}),
]


@pytest.mark.parametrize(("rules", "options"), PENALTIES, ids=["l2", "l1", "both"])
@pytest.mark.parametrize("n_parties", [2, 3])
def test_penalties_mean_what_they_mean_in_scikit_learn(
    n_parties: int, rules: LogisticRules, options: dict[str, Any]
) -> None:
    s = session(n_parties, rules=rules)
    np.testing.assert_allclose(coefficients(s.fit()), by_sklearn(s, **options), atol=2e-6, rtol=0)


@pytest.mark.parametrize("rules", [LogisticRules(), LogisticRules(nonpositive=True, l2=1.0)])
@pytest.mark.parametrize(("n_parties", "within"), [(2, 1e-6), (3, 1e-4)])
def test_it_is_the_local_fit_with_its_standard_errors(rules: LogisticRules, n_parties: int, within: float) -> None:
    s = session(n_parties, rules=rules)
    fitted = s.fit()
    rows = slice(0, s.n_fit)
    local = fit_logistic(s.pooled()[rows], s.label[rows], "abcdef"[: 2 * n_parties], rules)
    found = (fitted.intercept, *fitted.own, *(c for of_host in fitted.of_hosts.values() for c in of_host))
    assert fitted.n_rounds <= local.n_steps + 1
    for mine, theirs in zip(found, (local.intercept, *local.features), strict=True):
        assert mine.value == pytest.approx(theirs.value, abs=1e-7)
        assert (mine.standard_error is None) == (theirs.standard_error is None)
        if theirs.standard_error is not None:
            assert mine.standard_error == pytest.approx(theirs.standard_error, rel=within)
            assert mine.p_value == pytest.approx(theirs.p_value, abs=within)


def test_standard_errors_are_those_of_the_curvature_of_the_loss() -> None:
    """From outside: scikit-learn's probabilities, and the inverse information written down anew."""
    s = session(3)
    fitted = s.fit()
    design = np.column_stack([np.ones(s.n_fit), s.pooled()[: s.n_fit]])
    model = LogisticRegression(C=np.inf, tol=1e-13, solver="newton-cholesky").fit(design[:, 1:], s.label[: s.n_fit])
    p = model.predict_proba(design[:, 1:])[:, 1]
    expected = np.sqrt(np.diag(np.linalg.inv(design.T @ np.diag(p * (1 - p)) @ design)))
    found = [fitted.intercept, *fitted.own, *(c for of_host in fitted.of_hosts.values() for c in of_host)]
    np.testing.assert_allclose([c.standard_error for c in found], expected, rtol=1e-4)


def test_correlations_are_those_of_the_joined_table() -> None:
    s = session(3)
    expected = np.corrcoef(s.pooled()[: s.n_fit].T)
    np.testing.assert_allclose(s.fit().correlation, expected, atol=1e-4)


def test_signs_are_kept_across_parties() -> None:
    tables, label = three_parties()
    s = Session(tables, label, 320, rules=LogisticRules(nonpositive=True, l2=0.5))
    rows = slice(0, s.n_fit)
    local = fit_logistic(s.pooled()[rows], label[rows], tuple("abcdef"), s.rules)
    found = coefficients(s.fit())
    assert (found[1:] <= 0.0).all()
    np.testing.assert_allclose(found, [local.intercept.value, *local.values], atol=1e-6, rtol=0)


@pytest.mark.parametrize("sizes", [(13, 10), (0, 10), (13, 5, 5)])
def test_default_credit(shared_data: Path, sizes: tuple[int, ...]) -> None:
    guest, host = (pd.read_csv(shared_data / f"default_credit_{side}.csv.gz") for side in ("guest", "host"))
    joined = guest.merge(host, on="id", suffixes=("", "_host")).sample(4000, random_state=0).drop(columns="id")
    label = joined.pop("y").to_numpy(dtype=np.float64)
    joined = joined.iloc[:, -sum(sizes) :]
    s = Session(cut_in(as_table(joined), *sizes), label, 3000)
    np.testing.assert_allclose(coefficients(s.fit()), by_sklearn(s, C=np.inf), atol=1e-6, rtol=0)


def test_hosts_whose_features_go_together_strongly_need_few_rounds(shared_data: Path) -> None:
    """Products between hosts make every step a whole Newton step."""
    host = pd.read_csv(shared_data / "default_credit_host.csv.gz").sample(4000, random_state=0)
    guest = pd.read_csv(shared_data / "default_credit_guest.csv.gz").set_index("id").loc[host.pop("id")]
    label = guest["y"].to_numpy(dtype=np.float64)
    s = Session(cut_in(as_table(host[[f"x{k}" for k in (0, 4, 1, 5, 2, 6, 3, 7, 8, 9)]]), 0, 5, 5), label, 3000)
    fitted = s.fit()
    np.testing.assert_allclose(coefficients(fitted), by_sklearn(s, C=np.inf), atol=2e-6, rtol=0)
    assert fitted.n_rounds <= 6
