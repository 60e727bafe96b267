"""Joint estimators: scikit-learn's own checks where there is one party, and the joint model where there are three."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import check_estimator

from lab.estimators.gbdt import JointGBDTClassifier
from lab.estimators.scorecard import JointScorecard
from models.errors import DataError
from tests.builders import Problem, vertical_problem


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [JointGBDTClassifier(n_estimators=20, min_child_samples=1), JointScorecard(min_information_value=0.0)],
    ids=lambda e: type(e).__name__,
)
def test_scikit_learn_accepts_it_without_hosts(estimator: Any) -> None:
    results = check_estimator(estimator, on_fail=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 40


def frames(problem: Problem) -> tuple[pd.DataFrame, pd.Series, dict[str, pd.DataFrame]]:
    """The common applicants of all parties, each party's rows in its own order."""
    common = sorted(set(problem.guest.ids).intersection(*(set(t.ids) for t in problem.hosts.values())))
    guest = pd.DataFrame(dict(problem.guest.columns), index=list(problem.guest.ids))
    label = pd.Series(problem.label, index=list(problem.guest.ids)).loc[common].map({0.0: "good", 1.0: "bad"})
    hosts = {party: pd.DataFrame(dict(t.columns), index=list(t.ids)) for party, t in problem.hosts.items()}
    return guest.loc[common], label, hosts


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
