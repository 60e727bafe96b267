"""Options that trade accuracy: sampled rows and columns, quantised gradients. The oracle: LightGBM on the sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import pytest

from federation.ciphers.plain import PlainSecret
from federation.transports.memory import AmnesiacWire
from federation.vertical.boosting.guest import Fitted, derive
from federation.vertical.host import ALLOWED
from models.binning import encode, fit_bins
from models.boosting.derivatives import Rows
from models.boosting.parameters import BoostingParameters
from models.boosting.sampling import bag, draw_columns, goss
from models.boosting.trees import leaves_of
from models.losses import Floats, base_margin, logistic_derivatives
from models.table import Table
from models.validation.metrics import auc
from tests.builders import BANK, Problem, Session, fit_aligned, join_tables, outline
from tests.conftest import Key

DEFAULTS = {"n_estimators": 2, "max_depth": 4, "min_child_samples": 0, "max_bin": 16, "reg_lambda": 0.0}
BAGGED = BoostingParameters(**DEFAULTS, bagging_fraction=0.4)
GOSS = BoostingParameters(**DEFAULTS, learning_rate=1.0, data_sample_strategy="goss", top_rate=0.3, other_rate=0.2)
COARSE = BoostingParameters(**DEFAULTS, use_quantized_grad=True)
COLUMNS = BoostingParameters(**DEFAULTS | {"n_estimators": 6}, feature_fraction=0.5)
EVERYTHING = replace(GOSS, use_quantized_grad=True, feature_fraction=0.5, n_estimators=3)


def three(problem: Problem) -> list[Table]:
    """Without missing values: rows outside the sample go where no counted row went, and mirrored cuts differ there."""
    names = [name for name, column in problem.whole.columns.items() if column.dtype == np.float64]
    filled = Table(problem.whole.ids, {name: np.nan_to_num(problem.whole.columns[name]) for name in names})
    return [filled.select(tuple(names[a:b])) for a, b in ((0, 2), (2, 4), (4, 5))]


def joint(problem: Problem, p: BoostingParameters) -> tuple[Fitted, Fitted, int]:
    n_fit = len(problem.label) * 4 // 5
    tables = three(problem)
    whole = join_tables(*tables)
    return fit_aligned(tables, problem.label, n_fit, p), fit_aligned([whole], problem.label, n_fit, p), n_fit


@pytest.mark.parametrize("p", [BAGGED, GOSS, COARSE, replace(COARSE, bagging_fraction=0.5)], ids=str)
def test_the_joint_model_equals_its_pooled_twin_exactly(problem: Problem, p: BoostingParameters) -> None:
    found, pooled, _ = joint(problem, p)
    assert found.margin.tobytes() == pooled.margin.tobytes()
    assert {n.owner for t in found.model.trees for n in t} > {"bank", ""}


def lightgbm_tree(codes: Floats, label: Floats, rows: Rows, start: Floats, weight: Floats) -> Floats:
    """One LightGBM tree fitted to ``rows`` from the margins ``start``; its values for all rows."""
    data = lightgbm.Dataset(codes.T[rows], label[rows], weight=weight[rows], init_score=start[rows])
    booster = lightgbm.train(
        {
            "objective": "binary",
            "learning_rate": 1.0,
            "max_depth": 3,
            "num_leaves": 8,
            "min_data_in_leaf": 0,
            "min_data_in_bin": 1,
            "boost_from_average": False,
            "feature_pre_filter": False,
            "num_threads": 1,
            "verbose": -1,
        },
        data,
        1,
    )
    return booster.predict(codes.T, raw_score=True)


@pytest.mark.parametrize("p", [replace(BAGGED, learning_rate=1.0, n_estimators=1), GOSS], ids=["bagging", "goss"])
def test_lightgbm_on_the_same_sample_grows_the_same_tree(problem: Problem, p: BoostingParameters) -> None:
    p = replace(p, max_depth=3)  # below, rows of one leaf and label have equal gradients, and different cuts tie
    found, _, n_fit = joint(problem, p)
    fit = join_tables(*three(problem)).take(np.arange(n_fit))
    codes, label = encode(fit, fit_bins(fit, p.max_bin)).astype(float), problem.label[:n_fit]
    start = np.full(n_fit, base_margin(label))
    rng = np.random.default_rng([p.random_state, p.n_estimators - 1])
    if p.goss:
        start = joint(problem, replace(p, n_estimators=1))[0].margin[:n_fit]
        rows, weight = goss(*logistic_derivatives(label, start), p.top_rate, p.other_rate, rng)
    else:
        rows, weight = bag(n_fit, p.bagging_fraction, rng), np.ones(n_fit)
    assert len(rows) < n_fit * 0.6
    expected = start + lightgbm_tree(codes, label, rows, start, weight)
    np.testing.assert_allclose(found.margin[rows], expected[rows], atol=1e-6, rtol=0)


def test_each_party_offers_its_own_draw_of_columns(problem: Problem) -> None:
    found, _, _ = joint(problem, COLUMNS)
    drawn = [[draw_columns(2, 0.5, 0, t, party) for party in (BANK, "host:0", "host:1")] for t in range(6)]
    assert len({str(d) for d in drawn}) > 1
    cuts = [(t, n) for t, tree in enumerate(found.model.trees) for n in tree if n.owner == BANK]
    assert {found.model.own.splits[n.handle].feature for t, n in cuts} == {0, 1}
    for t, node in cuts:
        assert found.model.own.splits[node.handle].feature in drawn[t][0]


def test_with_one_column_of_two_a_host_cuts_only_that_one(problem: Problem) -> None:
    session = Session(problem, parameters=replace(COLUMNS, n_estimators=4))
    trained = session.train()
    for party, host in session.hosts.items():
        assert host.half is not None
        for t, tree in enumerate(trained.fitted.model.trees):
            used = {host.half.splits[n.handle].feature for n in tree if n.owner == party}
            assert used <= set(draw_columns(2, 0.5, 0, t, party))


@pytest.mark.parametrize("p", [EVERYTHING, replace(BAGGED, feature_fraction=0.5)], ids=["everything", "bagging"])
def test_encrypted_and_forgetful_hosts_build_the_same_model(
    problem: Problem, real_key: Key, p: BoostingParameters
) -> None:
    plain = Session(problem, parameters=p)
    expected = outline(plain.train())
    forgetful = Session(problem, parameters=p)
    assert outline(forgetful.train(AmnesiacWire(BANK, forgetful.builds, ALLOWED))) == expected
    assert outline(Session(problem, parameters=p, cipher=lambda _: real_key.secret()).train()) == expected


def test_leaves_are_weighed_with_exact_derivatives(problem: Problem) -> None:
    p = replace(COARSE, n_estimators=1, reg_lambda=1.0)
    found, pooled, n_fit = joint(problem, p)
    assert found.margin.tobytes() == pooled.margin.tobytes()
    label = problem.label[:n_fit]
    g, h = logistic_derivatives(label, np.full(n_fit, base_margin(label)))
    routes = {BANK: pooled.model.own.routes(join_tables(*three(problem)).take(np.arange(n_fit)))}
    leaf = leaves_of(pooled.model.trees[0], routes, n_fit)
    values = found.margin[:n_fit] - base_margin(label)
    for here in (leaf == k for k in np.unique(leaf)):
        [value] = np.unique(values[here])
        assert value == pytest.approx(-0.1 * g[here].sum() / (h[here].sum() + 1.0), rel=1e-6)


def test_coarse_gradients_need_shorter_slots(problem: Problem) -> None:
    assert COARSE.derivative_bits == 2
    found, _, _ = joint(problem, COARSE)
    exact, _, _ = joint(problem, replace(COARSE, use_quantized_grad=False))
    assert found.margin.tobytes() != exact.margin.tobytes()
    told, whole = derive(*logistic_derivatives(problem.label, np.zeros(len(problem.label))), 0, COARSE)
    assert set(np.unique(told.g)) <= {-2, -1, 0, 1, 2}
    assert set(np.unique(told.h)) <= {0, 1, 2, 3, 4}
    assert abs(told.sums(told.rows)[0] - whole.sums(told.rows)[0]) < 3 * np.sqrt(len(problem.label))


@pytest.mark.slow
def test_what_each_option_costs_on_default_credit(shared_data: Path) -> None:
    guest, host = (pd.read_csv(shared_data / f"default_credit_{part}.csv.gz") for part in ("guest", "host"))
    label = guest.pop("y").to_numpy(float)
    frames = [f.drop(columns="id").astype(float) for f in (guest, host)]
    order = np.random.default_rng(0).permutation(len(label))
    tables = [Table(tuple(map(str, order)), {c: f[c].to_numpy()[order] for c in f}) for f in frames]
    label, n_fit = label[order], 21_000
    base = BoostingParameters(n_estimators=10, max_depth=5, max_bin=32, learning_rate=0.3)
    options = {
        "exact": base,
        "bagging 0.5": replace(base, bagging_fraction=0.5),
        "goss": replace(base, data_sample_strategy="goss"),
        "columns 0.5": replace(base, feature_fraction=0.5),
        "quantised": replace(base, use_quantized_grad=True),
    }
    found = {
        name: auc(label[n_fit:], fit_aligned(tables, label, n_fit, p, cipher=PlainSecret()).margin[n_fit:])
        for name, p in options.items()
    }
    assert found["exact"] == pytest.approx(0.779, abs=0.012)
    assert all(value > found["exact"] - 0.012 for value in found.values()), found
