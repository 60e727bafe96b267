"""Joint estimators: scikit-learn's own checks where there is one party, and the joint model where there are three."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.utils import compute_sample_weight
from sklearn.utils.estimator_checks import check_estimator

from lab.estimators.frames import as_table
from lab.estimators.gbdt import JointGBDTClassifier, JointGBDTRegressor
from lab.estimators.scorecard import JointScorecard
from models.boosting.parameters import BoostingParameters
from models.errors import DataError
from models.table import Table
from tests.builders import Problem, outline, vertical_problem
from tests.federation.vertical.test_oracle import lightgbm_twin


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "not_held"),
    [
        (JointGBDTClassifier(n_estimators=20, min_child_samples=1), set()),
        (JointGBDTRegressor(n_estimators=20, learning_rate=0.3, min_child_samples=1), set()),
        (JointGBDTRegressor(n_estimators=20, learning_rate=0.3, min_child_samples=1, objective="tweedie"), set()),
        # Its bins count applicants: a weight of 2 is not a second applicant.
        (JointScorecard(min_information_value=0.0), {"check_sample_weight_equivalence_on_dense_data"}),
    ],
    ids=lambda e: f"{type(e).__name__}-{getattr(e, 'objective', '')}",
)
def test_scikit_learn_accepts_it_without_hosts(estimator: Any, not_held: set[str]) -> None:
    results = check_estimator(estimator, on_fail=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert set(failed) == not_held, failed
    assert sum(r["status"] == "passed" for r in results) > 50


def frames(problem: Problem) -> tuple[pd.DataFrame, pd.Series, dict[str, pd.DataFrame]]:
    """The common applicants of all parties, each party's rows in its own order."""
    common = sorted(set(problem.guest.ids).intersection(*(set(t.ids) for t in problem.hosts.values())))
    guest = pd.DataFrame(dict(problem.guest.columns), index=list(problem.guest.ids))
    label = pd.Series(problem.label, index=list(problem.guest.ids)).loc[common].map({0.0: "good", 1.0: "bad"})
    hosts = {party: pd.DataFrame(dict(t.columns), index=list(t.ids)) for party, t in problem.hosts.items()}
    return guest.loc[common], label, hosts


def joined(x: pd.DataFrame, hosts: dict[str, pd.DataFrame]) -> Table:
    """What no party may see: the columns of all, in the order of ``x``."""
    frame = pd.concat([x, *(h.loc[x.index] for h in hosts.values())], axis=1)
    return as_table(frame, list(frame))


OBJECTIVES = {
    "regression": {},
    "poisson": {"options": {"min_child_weight": 20.0}},  # small nodes of equal counts hold cuts that tie
    "tweedie": {"options": {"tweedie_variance_power": 1.3}},
}


def label_of(objective: str, x: pd.DataFrame, hosts: dict[str, pd.DataFrame]) -> np.ndarray:
    rng = np.random.default_rng(3)
    signal = np.nan_to_num(hosts["host:tax"].loc[x.index, "tax_paid_2023"].to_numpy(dtype=float))
    if objective == "regression":
        return np.clip(0.4 + 0.2 * signal + 0.1 * rng.normal(size=len(x)), 0, 1)
    if objective == "poisson":
        return rng.poisson(np.exp(0.5 * signal)).astype(float)
    return np.where(rng.random(len(x)) < 0.5, 0.0, rng.gamma(2.0, 500 * np.exp(0.5 * signal)))


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_regressor_is_lightgbm_on_the_joined_table(objective: str, weighted: bool) -> None:
    x, _, hosts = frames(vertical_problem(400, seed=2))
    y = label_of(objective, x, hosts)
    weight = np.random.default_rng(0).uniform(0.5, 3.0, len(x)) if weighted else None
    common = {"n_estimators": 4, "max_depth": 4, "max_bin": 16, "min_child_samples": 0, "reg_lambda": 0.0}
    model = JointGBDTRegressor(
        hosts, objective=objective, cipher="plain", min_rows_per_bin=1, **common, **OBJECTIVES[objective]
    )
    found = model.fit(x, y, sample_weight=weight).predict(x)
    p = BoostingParameters(objective=objective, **common, **OBJECTIVES[objective].get("options", {}))
    booster, codes = lightgbm_twin(joined(x, hosts), y, p, weight)
    np.testing.assert_allclose(found, booster.predict(codes), rtol=1e-5, atol=1e-6)
    assert r2_score(y, found) > 0.1
    assert model.score(x, y) == pytest.approx(r2_score(y, found))


@pytest.mark.parametrize("objective", ["binary", "poisson"])
@pytest.mark.parametrize("with_hosts", [False, True], ids=["alone", "joint"])
def test_five_trees_and_five_more_are_ten_at_once(objective: str, with_hosts: bool) -> None:
    x, label, hosts = frames(vertical_problem(300, seed=2))
    common = {"cipher": "plain", "min_child_samples": 5, "options": {"bagging_fraction": 0.8}}
    if objective == "binary":
        model: Any = JointGBDTClassifier(hosts if with_hosts else None, **common)
        y: Any = label
    else:
        model = JointGBDTRegressor(hosts if with_hosts else None, objective=objective, **common)
        y = label_of(objective, x, hosts)
    ten = clone(model).set_params(n_estimators=10).fit(x, y)
    grown = clone(model).set_params(n_estimators=5, warm_start=True).fit(x, y)
    grown.set_params(n_estimators=10).fit(x, y)
    assert outline(grown.trained_) == outline(ten.trained_)
    assert grown.predict(x).tolist() == ten.predict(x).tolist()
    with pytest.warns(UserWarning, match="no trees are added"):
        grown.fit(x, y)
    with pytest.raises(ValueError, match="below the 10 trees"):
        grown.set_params(n_estimators=9).fit(x, y)
    assert len(grown.set_params(n_estimators=2, warm_start=False).fit(x, y).trained_.fitted.model.trees) == 2


def test_more_trees_need_the_same_classes() -> None:
    x, y, _ = frames(vertical_problem(200, seed=2))
    model = JointGBDTClassifier(n_estimators=1, warm_start=True).fit(x, y)
    with pytest.raises(ValueError, match="other classes"):
        model.set_params(n_estimators=2).fit(x, y == "bad")
    assert model.classes_.tolist() == ["bad", "good"]


def test_importance_is_by_the_guests_names_and_the_hosts_numbers() -> None:
    x, y, hosts = frames(vertical_problem(600, seed=2))
    model = JointGBDTClassifier(hosts, n_estimators=10, min_child_samples=5, cipher="plain").fit(x, y)
    found = model.importance_
    assert set(found.loc[found["party"] == "bank", "feature"]) <= set(x.columns)
    assert set(found.loc[found["party"] == "host:tax", "feature"]) == {"#0", "#1"}
    assert not found["feature"].isin([name for h in hosts.values() for name in h.columns]).any()
    trees = model.trained_.fitted.model.trees
    assert found["n_splits"].sum() == sum(bool(node.owner) for tree in trees for node in tree)
    assert found["gain"].is_monotonic_decreasing


@pytest.mark.parametrize("scorecard", [False, True], ids=["trees", "scorecard"])
def test_balanced_classes_are_weights_and_weights_reach_the_joint_model(scorecard: bool) -> None:
    x, y, hosts = frames(vertical_problem(600, seed=2))
    bad = (y == "bad").to_numpy(dtype=float)
    model: Any = JointScorecard(hosts, cipher="plain", l2=1.0)
    if not scorecard:
        model = JointGBDTClassifier(hosts, n_estimators=10, min_child_samples=5, cipher="plain")
    plain = clone(model).fit(x, bad)
    balanced = clone(model).set_params(class_weight="balanced").fit(x, bad)
    by_hand = clone(model).fit(x, bad, sample_weight=compute_sample_weight("balanced", bad))
    assert balanced.decision_function(x).tobytes() == by_hand.decision_function(x).tobytes()
    told = balanced.predict_proba(x)[:, 1]
    assert told.mean() == pytest.approx(0.5, abs=0.1)
    assert plain.predict_proba(x)[:, 1].mean() == pytest.approx(bad.mean(), abs=0.03)
    if scorecard:  # the mean of a logistic fit is that of its weighted rows
        assert np.average(told, weights=compute_sample_weight("balanced", bad)) == pytest.approx(0.5, abs=1e-6)


def test_a_default_may_weigh_more_by_option() -> None:
    x, y, hosts = frames(vertical_problem(300, seed=2))
    bad = (y == "bad").to_numpy(dtype=float)
    model = JointGBDTClassifier(hosts, n_estimators=5, cipher="plain")
    heavy = clone(model).set_params(options={"scale_pos_weight": 5.0}).fit(x, bad)
    assert heavy.predict_proba(x)[:, 1].mean() > clone(model).fit(x, bad).predict_proba(x)[:, 1].mean() + 0.05


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_weights_that_are_none_are_refused_and_rows_of_weight_0_are_left_out(wrong: float) -> None:
    x, y, hosts = frames(vertical_problem(300, seed=2))
    model = JointGBDTClassifier(hosts, n_estimators=2, cipher="plain")
    weight = np.ones(len(x))
    weight[7] = wrong
    with pytest.raises(ValueError, match="finite and at least 0"):
        clone(model).fit(x, y, sample_weight=weight)
    weight[7] = 0.0
    without = clone(model).fit(x.drop(x.index[7]), y.drop(y.index[7]))
    assert clone(model).fit(x, y, sample_weight=weight).predict_proba(x).tolist() == without.predict_proba(x).tolist()


def test_labels_that_an_objective_cannot_learn_are_refused() -> None:
    x, _, hosts = frames(vertical_problem(200, seed=2))
    for objective, label, error in (
        ("poisson", np.full(len(x), -1.0), DataError),
        ("tweedie", np.zeros(len(x)), DataError),
        ("regression", np.full(len(x), np.inf), ValueError),
        ("gamma", np.ones(len(x)), ValueError),
    ):
        with pytest.raises(error):
            JointGBDTRegressor(hosts, objective=objective, n_estimators=1, cipher="plain").fit(x, label)


MODELS = [
    JointGBDTClassifier(n_estimators=10, min_child_samples=5, cipher="plain"),
    JointScorecard(cipher="plain", l2=1.0),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda e: type(e).__name__)
def test_hosts_make_it_better(model: Any) -> None:
    x, y, hosts = frames(vertical_problem(1200, seed=2))
    alone = cross_val_score(clone(model), x, y, scoring="roc_auc", cv=3).mean()
    joint = cross_val_score(clone(model).set_params(hosts=hosts), x, y, scoring="roc_auc", cv=3).mean()
    assert joint > alone + 0.1


@pytest.mark.parametrize("model", MODELS, ids=lambda e: type(e).__name__)
def test_probabilities_classes_and_unknown_applicants(model: Any) -> None:
    x, y, hosts = frames(vertical_problem(600, seed=2))
    fitted = clone(model).set_params(hosts=hosts).fit(x, y)
    probability = fitted.predict_proba(x)
    assert fitted.classes_.tolist() == ["bad", "good"]
    assert roc_auc_score(y == "good", probability[:, 1]) > 0.75
    np.testing.assert_allclose(probability.sum(axis=1), 1.0)
    assert fitted.predict(x).tolist() == np.where(probability[:, 1] > 0.5, "good", "bad").tolist()
    with pytest.raises(DataError) as caught:
        fitted.predict_proba(x.rename(index={x.index[0]: "nobody"}))
    assert caught.value.code == "unknown_applicants"
    assert "nobody" not in caught.value.english


def test_points_are_whole_numbers_and_fall_with_risk() -> None:
    x, y, hosts = frames(vertical_problem(600, seed=2))
    card = JointScorecard(hosts, cipher="plain", l2=1.0).fit(x, y == "bad")
    points = card.points(x)
    assert points.tolist() == [round(p) for p in points]
    assert np.corrcoef(points, card.decision_function(x))[0, 1] < -0.99
    assert set(card.points_tables_) == set(card.binning_tables_) == {"bank", *hosts}
    assert card.binning_tables_["host:tax"][0].variable == "host:tax feature 1"


def test_paillier_is_the_default_and_gives_the_same_trees() -> None:
    x, y, hosts = frames(vertical_problem(200, seed=2))
    model = JointGBDTClassifier(hosts, n_estimators=1, max_depth=2)
    assert model.cipher == "paillier"
    margin = model.fit(x, y).decision_function(x)
    assert margin.tobytes() == clone(model).set_params(cipher="plain").fit(x, y).decision_function(x).tobytes()
