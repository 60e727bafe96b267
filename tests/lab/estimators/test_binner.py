"""scikit-learn's own checks, and the same WOE as the models room."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from lab.estimators.binner import WoeBinner
from models.errors import DataError


def test_scikit_learn_accepts_it() -> None:
    results = check_estimator(WoeBinner(), on_fail=None)
    failed = {r["check_name"]: str(r["exception"]) for r in results if r["status"] == "failed"}
    assert failed == {}
    assert sum(r["status"] == "passed" for r in results) > 30


def loans(n: int = 2000) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "income": rng.lognormal(size=n),
            "job": rng.choice(["clerk", "nurse", "pilot"], n),
            "arrears": np.where(rng.random(n) < 0.1, -999.0, rng.poisson(1.0, n)),
        }
    )
    frame.loc[rng.random(n) < 0.1, "income"] = np.nan
    frame.loc[rng.random(n) < 0.1, "job"] = None
    risk = -frame["income"].fillna(0.5) + (frame["job"] == "clerk") + frame["arrears"].clip(lower=0)
    return frame, (risk + rng.logistic(size=n) > 1.5).astype(int)


def test_woe_of_each_bin_is_the_log_ratio_of_shares() -> None:
    x, y = loans()
    binner = WoeBinner(special_codes={"arrears": [-999.0]}).fit(x, y)
    woe = binner.transform(x)
    for k, table in enumerate(binner.tables_):
        for value in np.unique(woe[:, k]):
            here = woe[:, k] == value
            shares = ((y[here] == 0).sum() / (y == 0).sum()) / ((y[here] == 1).sum() / (y == 1).sum())
            assert value == pytest.approx(np.log(shares), rel=1e-9)
        assert table.information_value == pytest.approx(binner.information_value_[k])
    assert "special -999" in {row.bin for row in binner.tables_[2].rows}
    assert binner.get_feature_names_out().tolist() == ["income", "job", "arrears"]


def test_it_stands_in_a_pipeline_and_levels_never_seen_are_neutral() -> None:
    x, y = loans()
    pipeline = make_pipeline(WoeBinner(), LogisticRegression())
    assert cross_val_score(pipeline, x, y, scoring="roc_auc").mean() > 0.75
    strange = x.iloc[:5].assign(job="astronaut")
    assert WoeBinner().fit(x, y).transform(strange)[:, 1].tolist() == [0.0] * 5


def test_cut_points_by_hand_are_taken_as_they_are() -> None:
    x, y = loans()
    binner = WoeBinner("as_is", cut_points={"income": [1.0, 2.0]}).fit(x, y)
    assert [row.bin for row in binner.tables_[0].rows][:3] == ["(-inf, 1]", "(1, 2]", "(2, inf)"]
    with pytest.raises(DataError):
        WoeBinner(cut_points={"job": [1.0]}).fit(x, y)
