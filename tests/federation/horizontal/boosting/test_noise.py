"""Noise on sums of trees: enough of it whoever leaves, what one row moves, and sites that insist on it.

OpenDP takes no seed: what is asked of noise here fails by chance less than once in a thousand million runs.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import LocalProtocolError, Refused
from federation.horizontal.boosting import messages as m
from federation.horizontal.boosting.features import to_fields
from federation.horizontal.boosting.noise import NoiseTerms, sensitivity, share, unweighted, weighted
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import BoostingSite
from models.boosting.derivatives import Derivatives
from models.losses import logistic_derivatives
from models.shared_noise import spent
from models.validation.metrics import auc
from tests.builders import Problem, fit_aligned
from tests.federation.horizontal.boosting.cities import PARAMETERS, Trial, shares
from tests.federation.horizontal.boosting.test_sites import GROW, OPEN, Echo, site_at
from tests.federation.horizontal.sites import Noted

TERMS = NoiseTerms(epsilon=8.0, delta=1e-6)


@given(
    label=st.sampled_from([0.0, 1.0]),
    margin=st.floats(-40, 40),
)
def test_one_row_moves_a_feature_by_no_more_than_one(label: float, margin: float) -> None:
    told = Derivatives.exact(*logistic_derivatives(np.array([label]), np.array([margin])), np.arange(1), 1.0)
    g, h = weighted(np.array([told.g[0], told.h[0]]), 1).tolist()
    assert math.hypot(g, h) <= sensitivity(1)


def test_a_row_left_out_moves_the_sums_of_a_level_by_no_more_than_said(problem: Problem) -> None:
    site, without = (
        BoostingSite(TableFeatures(problem.whole.take(rows)), problem.label[rows], Echo())
        for rows in (np.arange(50), np.arange(1, 50))
    )
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    sums = []
    for one in (site, without):
        for message in (replace(OPEN, features=to_fields(trial.bins)), m.Start(base_margin=0.3)):
            one.answer(message)
        reply = one.answer(GROW)
        sums.append(weighted(np.frombuffer(reply.data, dtype=np.int64), one.features.candidates.n_bins))
    moved = np.linalg.norm((sums[0] - sums[1]).astype(float))
    assert 0.2 * sensitivity(len(trial.bins)) < moved <= sensitivity(len(trial.bins))


def noise_of_the_first_root(trial: Trial, multiplier: float) -> np.ndarray:
    """What the first root's sums are off by, over what one applicant moves them by."""
    noted = Noted(trial.aggregation)
    trial.boosting.aggregation, trial.boosting.noise = noted, multiplier
    trial.boosting.parameters = replace(PARAMETERS, n_estimators=1, max_depth=1)
    grown = trial.fit()
    rows = np.concatenate([trial.parts[trial.names.index(party)] for party in noted.told[1].contributors])
    exact = BoostingSite(TableFeatures(trial.table.take(rows)), trial.label[rows], Echo())
    features = to_fields(trial.bins)
    exact.answer(replace(OPEN, features=features, most_rows=2**20))
    exact.answer(m.Start(base_margin=grown.model.base_margin))
    sums = np.frombuffer(exact.answer(GROW).data, dtype=np.int64)
    n_bins = exact.features.candidates.n_bins
    return (noted.told[1].values - weighted(sums, n_bins)) / sensitivity(len(features))


@pytest.mark.parametrize("n_gone", [0, 2])
def test_the_sum_carries_the_noise_it_should_whoever_leaves(problem: Problem, n_gone: int) -> None:
    gone = [f"bank:0{k}" for k in range(n_gone)]
    trial = Trial(
        problem.whole,
        problem.label,
        shares(len(problem.label), 8),
        loss=lambda party, request: "before" if party in gone and isinstance(request, m.Grow) else "",
    )
    found = noise_of_the_first_root(trial, 5.0)
    # 6 of 8 sites are in every sum; one of them knows its own share: 5 shares must be enough, 8 - n_gone are there.
    expected = 5.0 * math.sqrt((8 - n_gone) / 5)
    assert len(found) > 100
    assert 0.55 * expected < found.std() < 1.6 * expected
    assert found.std() > 0.55 * 5.0
    assert abs(found.mean()) < 7 * expected / math.sqrt(len(found))


def test_the_sum_carries_the_noise_it_should_when_sites_have_come_late(problem: Problem) -> None:
    """Six sites make shares for four others, nine for six: every share is sized for the sum it is in."""
    parts = shares(len(problem.label), 9)
    trial = Trial(problem.whole, problem.label, parts)
    early, late = trial.names[:6], trial.names[6:]
    trial.aggregation.presence.sites = early
    trial.boosting.aggregation, trial.boosting.noise = (noted := Noted(trial.aggregation)), 5.0
    trial.boosting.parameters = replace(PARAMETERS, n_estimators=2, max_depth=1)
    trial.boosting.arrivals = lambda: late
    grown = trial.fit()
    assert grown.contributors == (early, trial.names)
    finish = next(r for party, r, _ in trial.wire.passed if party == late[0] and isinstance(r, m.Finish))
    n_bins = sum(b.n_bins for b in trial.bins)
    for told, rows, tree, expected in (
        (noted.told[1], np.concatenate(parts[:6]), None, 5.0 * math.sqrt(6 / 4)),
        (noted.told[2], np.concatenate(parts), finish, 5.0 * math.sqrt(9 / 6)),
    ):
        exact = BoostingSite(TableFeatures(trial.table.take(rows)), trial.label[rows], Echo())
        exact.answer(replace(OPEN, features=to_fields(trial.bins), most_rows=2**20))
        exact.answer(m.Start(base_margin=grown.model.base_margin))
        if tree:
            exact.answer(tree)
        sums = np.frombuffer(exact.answer(replace(GROW, tree=int(tree is not None))).data, dtype=np.int64)
        found = ((told.values - weighted(sums, n_bins)) / sensitivity(len(trial.bins))).std()
        assert 0.6 * expected < found < 1.5 * expected
        assert found > 0.6 * 5.0


def test_shares_count_on_no_more_sites_than_must_be_there() -> None:
    for fewest, knowing, counted in ((6, 1, 5), (6, 3, 3), (6, 0, 5), (3, 1, 2)):
        found = share(1.0, 2.0**33, fewest, knowing, 3000).std() / 2.0**33
        assert found == pytest.approx(1 / math.sqrt(counted), rel=0.1)
    for fewest, knowing in ((1, 1), (3, 3), (0, 1)):
        with pytest.raises(LocalProtocolError) as caught:
            share(1.0, 2.0**33, fewest, knowing, 3)
        assert caught.value.code == "policy"


def test_a_little_noise_changes_little_and_much_ruins_the_model(problem: Problem) -> None:
    pooled = fit_aligned([problem.whole], problem.label, len(problem.label), PARAMETERS)
    exact = auc(problem.label, pooled.margin)
    found = {}
    for multiplier in (0.1, 1000.0):
        trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4), replace(PARAMETERS, reg_lambda=1.0))
        trial.boosting.noise = multiplier
        found[multiplier] = auc(problem.label, trial.margin(trial.fit()))
    assert found[0.1] > exact - 0.05
    assert found[1000.0] < exact - 0.05


def test_h_travels_twice_and_comes_back() -> None:
    sums = np.arange(-6, 18)
    assert unweighted(weighted(sums, 3), 3).tolist() == sums.tolist()


# A site that insists


def opened(terms: NoiseTerms | None, **changes: object) -> BoostingSite:
    site = site_at("closed")
    site.terms = terms
    site.answer(replace(OPEN, **changes))
    return site


def test_a_site_with_terms_refuses_a_run_without_noise_or_with_too_little() -> None:
    for changes in ({"noise": 0.0}, {"noise": 1.0}, {"noise": 20.0, "most_sums": 2000}):
        with pytest.raises(LocalProtocolError) as caught:
            opened(TERMS, **changes)
        assert caught.value.code == "epsilon_spent"
    assert spent(5.0, 9, 1e-6) < 8
    assert opened(TERMS, noise=5.0).state.phase == "opened"


def test_no_more_sums_than_announced_are_given() -> None:
    """Also over trees told anew: the account goes on."""
    site = opened(None, most_sums=2)
    for message in (m.LabelsWanted(), m.Start(base_margin=0.0), GROW):
        site.answer(message)
    with pytest.raises(LocalProtocolError, match="more sums than announced"):
        site.answer(GROW)
    site.answer(replace(OPEN, most_sums=2))
    site.answer(m.Start(base_margin=0.0))
    site.answer(m.Finish(tree=0, cuts=(), leaves=((0, 0.1),)))
    with pytest.raises(LocalProtocolError, match="more sums than announced"):
        site.answer(replace(GROW, tree=1))


def test_a_site_that_comes_back_is_not_talked_out_of_its_noise() -> None:
    site = opened(None, noise=5.0)
    with pytest.raises(LocalProtocolError, match="another model"):
        site.answer(replace(OPEN, noise=0.0))


def test_a_run_that_spends_too_much_is_refused_by_name(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4))
    trial.sites["bank:02"].boosting.terms = TERMS
    with pytest.raises(Refused) as caught:
        trial.fit()
    assert (caught.value.party, caught.value.code) == ("bank:02", "epsilon_spent")
