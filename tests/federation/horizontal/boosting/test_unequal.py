"""Unequal sites: skewed sizes and default rates, one class, no rows, leaving, too slow, coming late or back.

The outside oracle is LightGBM, tree by tree, on the rows of those whom the run says took part, from the margins of the
trees before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import lightgbm
import numpy as np
import pytest

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.boosting import messages as m
from federation.horizontal.boosting.coordinator import Grown
from federation.horizontal.boosting.site import BoostingSite
from federation.messages import Message
from models.binning import encode
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from tests.builders import vertical_problem
from tests.federation.horizontal.boosting.cities import DEFAULTS, Trial, unequal
from tests.federation.horizontal.boosting.test_sites import FINISH, GROW, OPEN, site_at

PARAMETERS = BoostingParameters(**(DEFAULTS | {"n_estimators": 4, "max_depth": 3}))


@pytest.fixture(scope="module")
def rows() -> tuple[Table, Floats]:
    problem = vertical_problem(1200, seed=3)
    return problem.whole, problem.label


def check(trial: Trial, grown: Grown) -> None:
    """Every tree is LightGBM's on the rows that took part in it; a tree that ended early is the top of LightGBM's."""
    columns = encode(trial.table, trial.bins).astype(float)
    for column, b in zip(columns, trial.bins, strict=True):
        if not b.category:
            column[column == b.missing_code] = np.nan
    model, known = grown.model, []
    for t, parties in enumerate(grown.contributors):
        part = np.concatenate([trial.parts[trial.names.index(party)] for party in parties])
        before = trial.margin(replace(grown, model=replace(model, trees=tuple(known))))
        added = trial.margin(replace(grown, model=replace(model, trees=(*known, model.trees[t])))) - before
        np.testing.assert_allclose(
            added[part], lightgbm_step(trial, columns, part, before, depth(model.trees[t])), atol=1e-7
        )
        known.append(model.trees[t])
    for party, site in trial.sites.items():
        if party in grown.contributors[-1]:
            own = trial.parts[trial.names.index(party)]
            assert site.boosting.state.margin.tobytes() == trial.margin(grown)[own].tobytes()


def depth(tree: Sequence[object]) -> int:
    levels = [0] * len(tree)
    for k, node in enumerate(tree):
        if node.owner:
            levels[node.left] = levels[node.right] = levels[k] + 1
    return max(levels)


def lightgbm_step(trial: Trial, columns: Floats, part: np.ndarray, before: Floats, max_depth: int) -> Floats:
    if not max_depth:  # a tree without a cut: one Newton step of all rows
        p = 1 / (1 + np.exp(-before[part]))
        return np.full(len(part), -0.3 * (p - trial.label[part]).sum() / (p * (1 - p)).sum())
    p = trial.boosting.parameters
    data = lightgbm.Dataset(
        columns[:, part].T,
        trial.label[part],
        init_score=before[part],
        categorical_feature=[k for k, b in enumerate(trial.bins) if b.category],
    )
    options = {
        "objective": "binary",
        "boost_from_average": False,
        "learning_rate": p.learning_rate,
        "max_depth": max_depth,
        "num_leaves": 2**max_depth,
        "lambda_l2": p.reg_lambda,
        "min_data_in_leaf": 0,
        "min_sum_hessian_in_leaf": p.min_child_weight,
        "min_data_in_bin": 1,
        "max_bin": 255,
        "max_cat_to_onehot": 255,
        "feature_pre_filter": False,
        "num_threads": 1,
        "verbose": -1,
    }
    return lightgbm.train(options, data, 1).predict(columns[:, part].T, raw_score=True)


@pytest.mark.parametrize("n_sites", [4, 16, pytest.param(77, marks=pytest.mark.slow)])
def test_skewed_sites_give_the_trees_of_all_rows(rows: tuple[Table, Floats], n_sites: int) -> None:
    table, label = rows
    parts = unequal(label, n_sites)
    assert len(parts[0]) == 0
    assert label[parts[1]].all()
    assert not label[parts[2]].any()
    p = PARAMETERS if n_sites < 77 else replace(PARAMETERS, n_estimators=2, max_depth=2)
    trial = Trial(table, label, parts, p)
    grown = trial.fit()
    assert grown.contributors == (trial.names,) * p.n_estimators
    check(trial, grown)


@pytest.mark.parametrize("n_sites", [6, 16])
@pytest.mark.parametrize("kind", [m.Open, m.LabelsWanted, m.Start, m.Grow, m.Finish])
@pytest.mark.parametrize("when", ["before", "after"])
def test_whoever_leaves_or_is_too_slow_at_any_message_is_gone_without(
    rows: tuple[Table, Floats], n_sites: int, kind: type[Message], when: str
) -> None:
    """``after``: it did answer, past the deadline. What came too late is in no sum."""
    table, label = rows
    gone = {f"bank:{k:02d}" for k in range(3, 3 + n_sites // 4)}
    lost: set[PartyId] = set()

    def loss(party: PartyId, request: Message) -> str:
        if party in gone and isinstance(request, kind) and getattr(request, "tree", 1) == 1:
            lost.add(party)
            return when
        return "before" if party in lost else ""

    trial = Trial(table, label, unequal(label, n_sites), PARAMETERS, loss)
    grown = trial.fit()
    # One that was in a sum does not leave alone (ADR 0047).
    aside = {"bank:04", "bank:05"} if n_sites == 6 and kind in (m.Start, m.Grow, m.Finish) else set()
    rest = tuple(party for party in trial.names if party not in gone | aside)
    first = trial.names if kind in (m.Grow, m.Finish) else rest
    assert grown.contributors == (first, rest if kind != m.Finish else trial.names, rest, rest)
    check(trial, grown)


def test_below_three_sites_the_run_ends(rows: tuple[Table, Floats]) -> None:
    table, label = rows
    gone = ("bank:00", "bank:03")
    trial = Trial(
        table,
        label,
        unequal(label, 4),
        loss=lambda party, request: "before" if party in gone and isinstance(request, m.Grow) else "",
    )
    with pytest.raises(LocalProtocolError, match="over 1 sites; 3 are needed"):
        trial.fit()


def arriving(trial: Trial, late: Sequence[PartyId], at: int, least: int = 3) -> None:
    """``late`` are not there at first and ask to be let in before tree ``at``."""
    trial.aggregation.presence.sites = tuple(party for party in trial.names if party not in late)
    n_trees: list[int] = []
    trial.boosting.progress = n_trees.append
    trial.boosting.arrivals = lambda: late if n_trees[-1] >= at else ()
    trial.boosting.least_arrivals = least


@pytest.mark.parametrize("at", [1, 2, 3])
def test_sites_that_come_late_take_part_from_then_on(rows: tuple[Table, Floats], at: int) -> None:
    table, label = rows
    trial = Trial(table, label, unequal(label, 8), PARAMETERS)
    late = ("bank:01", "bank:04", "bank:06")
    arriving(trial, late, at)
    grown = trial.fit()
    early = tuple(party for party in trial.names if party not in late)
    assert grown.contributors == (early,) * at + (trial.names,) * (4 - at)
    check(trial, grown)
    asked = {type(request) for party, request, _ in trial.wire.passed if party in late}
    assert m.LabelsWanted not in asked  # their counts are nobody's business: the starting margin stands


def test_fewer_than_three_wait_outside(rows: tuple[Table, Floats]) -> None:
    """Beside the tree before, a tree with one more site would be roughly that site's."""
    table, label = rows
    trial = Trial(table, label, unequal(label, 8), PARAMETERS)
    late = ("bank:01", "bank:04")
    arriving(trial, late, 1)
    grown = trial.fit()
    assert not set(late) & {party for parties in grown.contributors for party in parties}
    assert not [party for party, _, _ in trial.wire.passed if party in late]


def test_of_three_that_come_one_vanishes_on_the_threshold(rows: tuple[Table, Floats]) -> None:
    table, label = rows
    trial = Trial(table, label, unequal(label, 8), PARAMETERS)
    late = ("bank:01", "bank:04", "bank:06")
    arriving(trial, late, 1)
    trial.wire.loss = lambda party, request: "before" if party == "bank:04" and isinstance(request, m.Finish) else ""
    grown = trial.fit()
    assert not set(late) & {party for parties in grown.contributors for party in parties}
    check(trial, grown)


def test_a_straggler_that_comes_back_is_told_the_model_and_is_in_no_sum(rows: tuple[Table, Floats]) -> None:
    """Too slow in tree 1, with two aside since: its numbers in a later sum would stand alone beside those before."""
    table, label = rows
    trial = Trial(table, label, unequal(label, 6), PARAMETERS)
    arriving(trial, ("bank:05",), 3, least=1)
    trial.aggregation.presence.sites = trial.names
    trial.wire.loss = lambda party, request: (
        "after" if party == "bank:05" and isinstance(request, m.Grow) and request.tree == 1 else ""
    )
    grown = trial.fit()
    rest = trial.names[:3]
    assert grown.contributors == (trial.names, rest, rest, rest)
    check(trial, grown)
    rows_there = trial.parts[5]
    assert trial.sites["bank:05"].boosting.state.margin.tobytes() == trial.margin(grown)[rows_there].tobytes()
    return_ = [request for party, request, _ in trial.wire.passed if party == "bank:05"]
    assert sum(isinstance(request, m.Open) for request in return_) == 2
    assert sum(isinstance(request, m.LabelsWanted) for request in return_) == 1


# What a site that comes back does not do


def come_back() -> BoostingSite:
    """One that has had a part in trees 0 and 1, is told anew from the beginning, and has made tree 0."""
    site = site_at("growing")
    for message in (FINISH, replace(GROW, tree=1), OPEN, m.Start(base_margin=0.0), FINISH):
        site.answer(message)
    return site


def test_a_site_that_comes_back_gives_no_sum_of_a_tree_twice() -> None:
    site = come_back()
    with pytest.raises(LocalProtocolError, match="number of the tree"):
        site.answer(replace(GROW, tree=1))
    site.answer(replace(FINISH, tree=1))
    site.answer(replace(GROW, tree=2))


def test_a_site_that_comes_back_gives_no_counts_twice() -> None:
    """Without the sites that left meanwhile, they would tell those sites' counts."""
    site = site_at("counted")
    site.answer(OPEN)
    with pytest.raises(LocalProtocolError, match="given before"):
        site.answer(m.LabelsWanted())


@pytest.mark.parametrize("changes", [{"model_id": "other"}, {"features": OPEN.features[:1]}], ids=str)
def test_a_site_that_comes_back_does_not_begin_another_model(changes: dict[str, object]) -> None:
    site = come_back()
    before = site.dump()
    with pytest.raises(LocalProtocolError, match="another model"):
        site.answer(replace(OPEN, **changes))
    assert site.dump() == before
