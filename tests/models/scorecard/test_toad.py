"""A scorecard from raw rows to scores, against toad on the same rows and cut points."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.scorecard.card import ScorecardHalf, ScorecardRules, WoeFeature, points_table, woe_of
from models.scorecard.logistic import LogisticRules, fit_logistic
from models.table import Table
from models.validation.metrics import auc, ks
from models.woe.fitting import WoeRules, count_prebins, fit_woe
from models.woe.prebins import PrebinRules, fit_prebins
from tests.builders import texts

VECTORS = Path(__file__).parents[2] / "vectors"
TOAD = json.loads((VECTORS / "scorecard_toad.json").read_text(encoding="utf-8"))
KNOWN = json.loads((VECTORS / "woe_optbinning.json").read_text(encoding="utf-8"))
X = np.array(KNOWN["rows"]["x"], dtype=np.float64)
KEPT = KNOWN["special_code"] != X
LABEL = np.array(KNOWN["rows"]["label"], dtype=np.float64)[KEPT]
ROWS = Table(tuple(map(str, range(KEPT.sum()))), {"x": X[KEPT], "job": texts(*KNOWN["rows"]["job"])[KEPT]})
SCALE = TOAD["scale"]
#: toad spreads the intercept over the features, and does not round.
RULES = ScorecardRules(
    base_points=SCALE["base_score"],
    base_odds=SCALE["base_odds"],
    points_to_double=SCALE["pdo"],
    rounding=False,
    intercept="shared",
)


def features() -> tuple[WoeFeature, ...]:
    """As the cut points say, merged no further; the empty bin of missing jobs stays at 0."""
    found = []
    for prebins in fit_prebins(ROWS, PrebinRules(min_share=0.0), {"x": TOAD["cut_points"]}):
        counts = count_prebins(prebins, prebins.encode(ROWS.columns[prebins.name]), LABEL)
        fitted = fit_woe(counts, WoeRules(method="as_is", min_bin_share=0.0, min_apart_count=1))
        assert fitted.table.information_value == pytest.approx(TOAD["information_value"][prebins.name], rel=1e-12)
        found.append(WoeFeature(prebins, fitted.bins))
    return tuple(found)


def test_points_and_scores_are_those_of_toad() -> None:
    x, job = features()
    for feature in (x, job):
        theirs = TOAD["woe_bad_over_good"][feature.name]
        assert [-w for w in feature.bins.woe[: len(theirs)]] == pytest.approx(theirs, rel=1e-12)
    fit = fit_logistic(woe_of((x, job), ROWS), LABEL, ("x", "job"), LogisticRules(l2=TOAD["l2"]))
    assert [-c.value for c in fit.features] == pytest.approx(TOAD["coefficients"], abs=1e-6)
    assert fit.intercept.value == pytest.approx(TOAD["intercept"], abs=1e-6)
    card = ScorecardHalf("m", "bank", (x, job), tuple(fit.values.tolist()), fit.intercept.value, RULES, (0.0, 0.0))
    for points in card.table.features:
        theirs = TOAD["points"][points.name]
        assert list(points.points[: len(theirs)]) == pytest.approx(theirs, abs=1e-4)
    np.testing.assert_allclose(card.points(ROWS), TOAD["scores"], atol=1e-4, rtol=0)


def test_with_the_coefficients_of_toad_the_points_are_the_same_to_the_last_digits() -> None:
    x, job = features()
    table = points_table((x.bins, job.bins), [-c for c in TOAD["coefficients"]], TOAD["intercept"], RULES)
    assert table.intercept_points == 0
    for points in table.features:
        theirs = TOAD["points"][points.name]
        assert list(points.points[: len(theirs)]) == pytest.approx(theirs, rel=1e-12)


def test_separation_is_that_of_toad() -> None:
    scores = np.array(TOAD["scores"])
    assert len(np.unique(scores)) < len(scores) / 10  # ties
    assert ks(LABEL, -scores) == pytest.approx(TOAD["ks"], abs=1e-12)
    assert auc(LABEL, -scores) == pytest.approx(TOAD["auc"], abs=1e-12)
    known = ~np.isnan(X[KEPT])
    assert ks(LABEL[known], X[KEPT][known]) == pytest.approx(TOAD["ks_of_feature"], abs=1e-12)
