"""Sets of levels: LightGBM's trees where a category has many levels, whoever holds it, with all that trees can do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import AmnesiacWire, MemoryWire
from federation.vertical.boosting.messages import Choose, Sums
from federation.vertical.host import ALLOWED
from federation.vertical.scoring.guest import score
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Split
from models.bundle import JointModel
from models.errors import LianmoError
from models.losses import Floats
from models.table import Table
from tests.builders import BANK, PLAIN, Problem, Session, fit_aligned, outline, texts
from tests.conftest import Key
from tests.federation.vertical.partings import first_apart
from tests.federation.vertical.test_continued import continued, trained
from tests.federation.vertical.test_oracle import cut_in, lightgbm_twin

N_FIT = 1600
P = BoostingParameters(n_estimators=4, max_depth=4, min_child_samples=0, max_bin=16, reg_lambda=0.0)


def regions(n: int = 2000, seed: int = 0) -> tuple[Table, Floats]:
    """Two categories of 12 and 15 levels, all frequent, one with missing values, among numbers; half are outcomes."""
    rng = np.random.default_rng(seed)
    region, trade = rng.integers(0, 12, n), rng.choice(15, n, p=np.arange(4, 19) / 165)
    effect = rng.normal(size=(2, 15))
    x = rng.normal(size=(n, 3))
    x[rng.random(x.shape) < 0.05] = np.nan
    truth = effect[0, region] + effect[1, trade] + np.nan_to_num(x[:, 0]) - 0.5 * np.nan_to_num(x[:, 1])
    trades = texts(*(f"行业{k:02}" for k in trade))
    trades[rng.random(n) < 0.08] = None
    columns = {
        "amount": x[:, 0],
        "region": texts(*(f"R{k:02}" for k in region)),
        "tax": x[:, 1],
        "trade": trades,
        "bill": x[:, 2],
    }
    return Table(tuple(map(str, range(n))), columns), (truth + rng.logistic(size=n) > 0).astype(np.float64)


def sets_of(splits: tuple[Split, ...]) -> list[Split]:
    return [s for s in splits if s.also]


# -- the outside oracle --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(1, 4), (1, 2, 2), (2, 1, 2), (2, 3)], ids=str)
def test_trees_are_lightgbms_whoever_holds_the_categories(sizes: tuple[int, ...]) -> None:
    whole, label = regions()
    joint = fit_aligned(cut_in(whole, *sizes), label, N_FIT, P)
    booster, codes = lightgbm_twin(whole.take(np.arange(N_FIT)), label[:N_FIT], P)
    np.testing.assert_allclose(joint.margin[:N_FIT], booster.predict(codes, raw_score=True), atol=1e-6, rtol=0)
    pooled = fit_aligned([whole], label, N_FIT, P)
    assert pooled.margin.tobytes() == joint.margin.tobytes()
    assert len(sets_of(pooled.model.own.splits)) > 8


CHANGES = [
    {"max_cat_threshold": 2},
    {"max_cat_threshold": 1},
    {"min_data_per_group": 1},
    {"min_data_per_group": 250},
    {"cat_smooth": 1.0},
    {"cat_smooth": 60.0},
    {"cat_l2": 0.0},
    {"cat_l2": 50.0},
    {"reg_lambda": 3.0},
    {"min_child_weight": 25.0},
    {"num_leaves": 9, "max_depth": 8},
    {"objective": "regression"},
    {"objective": "poisson"},
    {"scale_pos_weight": 3.0},
    {"max_cat_to_onehot": 12},
    {"max_cat_to_onehot": 13},
    {"max_cat_to_onehot": 16},
    {"max_cat_to_onehot": 17},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_parameters_mean_what_they_mean_in_lightgbm(changes: dict[str, object]) -> None:
    whole, label = regions()
    fit, label, p = whole.take(np.arange(N_FIT)), label[:N_FIT], replace(P, **changes)
    ours = fit_aligned([fit], label, N_FIT, p)
    booster, codes = lightgbm_twin(fit, label, p)
    np.testing.assert_allclose(ours.margin, booster.predict(codes, raw_score=True), atol=1e-6, rtol=0)


@pytest.mark.parametrize("seed", range(1, 5))
def test_where_trees_are_not_lightgbms_ours_gains_more(seed: int) -> None:
    """LightGBM gives a category up below a node where none of its sets gained enough to pay their penalty."""
    whole, label = regions(seed=seed)
    fit, label = whole.take(np.arange(N_FIT)), label[:N_FIT]
    ours = fit_aligned([fit], label, N_FIT, P)
    booster, codes = lightgbm_twin(fit, label, P)
    found = first_apart(ours.model, booster, codes, fit, label, P)
    same = np.abs(ours.margin - booster.predict(codes, raw_score=True)).max() < 1e-6
    assert same == (found is None)
    for a, b in found.apart() if found else []:
        assert found.tie(a, b) or a.gain > b.gain


# -- joint equals pooled -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"reg_lambda": 1.0, "min_child_samples": 20},
        {"num_leaves": 12, "max_depth": 8, "min_child_samples": 20},
        {"use_quantized_grad": True},
        {"data_sample_strategy": "goss", "learning_rate": 0.5},
        {"bagging_fraction": 0.5, "min_data_per_group": 20},
        {"objective": "tweedie"},
        {"max_cat_to_onehot": 14},
        {"cat_smooth": 0.0, "min_data_per_group": 1, "max_depth": 6, "use_quantized_grad": True},
    ],
    ids=str,
)
def test_joint_equals_pooled(changes: dict[str, object]) -> None:
    whole, label = regions()
    p = replace(P, **changes)
    joint = fit_aligned(cut_in(whole, 1, 2, 2), label, N_FIT, p)
    pooled = fit_aligned([whole], label, N_FIT, p)
    assert pooled.margin.tobytes() == joint.margin.tobytes()
    assert sets_of(pooled.model.own.splits)


def test_constraints_and_sets_go_together() -> None:
    whole, label = regions()
    for constraints in ({"tax": -1}, {"bill": -1}):
        joint = fit_aligned(cut_in(whole, 1, 2, 2), label, N_FIT, P, constraints=constraints)
        pooled = fit_aligned([whole], label, N_FIT, P, constraints=constraints)
        assert pooled.margin.tobytes() == joint.margin.tobytes()
        fit = whole.take(np.arange(N_FIT))
        directions = [constraints.get(name, 0) for name in whole.columns]
        booster, codes = lightgbm_twin(fit, label[:N_FIT], P, monotone_constraints=directions)
        free = fit_aligned([whole], label, N_FIT, P)
        assert free.margin.tobytes() != pooled.margin.tobytes()
        np.testing.assert_allclose(pooled.margin[:N_FIT], booster.predict(codes, raw_score=True), atol=1e-6, rtol=0)


def test_a_sibling_that_is_subtracted_has_the_same_sets() -> None:
    """Every node but the root comes from a pair of which one is summed; a wrong difference would choose other sets."""
    whole, label = regions(seed=3)
    p = replace(P, max_depth=6, min_child_samples=5)
    joint = fit_aligned(cut_in(whole, 1, 4), label, N_FIT, p)
    assert joint.margin.tobytes() == fit_aligned([whole], label, N_FIT, p).margin.tobytes()


def twins() -> tuple[Table, Floats]:
    """A category whose levels come in pairs with exactly the same outcomes, so that sets tie in many ways."""
    n = 1200
    level, row = np.arange(n) % 12, np.arange(n) // 12
    label = (row % 10 < level // 2 + 2).astype(np.float64)
    other = texts(*(f"o{k}" for k in (level * 7 + 3) % 12))
    columns = {"x": (row % 3).astype(np.float64), "kind": texts(*(f"k{k:02}" for k in level)), "again": other}
    return Table(tuple(map(str, range(n))), columns), label


@pytest.mark.parametrize("changes", [{}, {"max_cat_threshold": 3}, {"max_cat_threshold": 1}], ids=str)
def test_levels_that_tie_are_settled_by_their_owner_whatever_the_shuffle(changes: dict[str, object]) -> None:
    whole, label = twins()
    p = replace(P, min_data_per_group=1, cat_smooth=1.0, **changes)
    pooled = fit_aligned([whole], label, 900, p)
    for _ in range(4):
        joint = fit_aligned(cut_in(whole, 1, 2), label, 900, p)
        assert joint.margin.tobytes() == pooled.margin.tobytes()


# -- whole sessions ------------------------------------------------------------------------------------------------

BRIEF = replace(P, n_estimators=2, max_depth=3, min_child_samples=10)


@pytest.fixture(scope="module")
def spread_out() -> Problem:
    whole, label = regions(700)
    bank, tax, trade = cut_in(whole, 1, 2, 2)
    order = np.random.default_rng(5).permutation(700)
    return Problem(bank, label, {"host:tax": tax.take(order), "host:trade": trade}, whole)


def session(problem: Problem, parameters: BoostingParameters = BRIEF, **options: object) -> Session:
    return Session(problem, parameters=parameters, **options)


def test_hosts_that_forget_build_the_same_model(spread_out: Problem) -> None:
    plain = session(spread_out)
    expected = outline(plain.train())
    assert any(sets_of(host.half.splits) for host in plain.hosts.values())
    forgetful = session(spread_out)
    assert outline(forgetful.train(AmnesiacWire(BANK, forgetful.builds, ALLOWED))) == expected
    for party, host in plain.hosts.items():
        assert forgetful.hosts[party].half is None or forgetful.hosts[party].half.splits == host.half.splits


def test_encrypted_sets_are_the_same(real_key: Key) -> None:
    whole, label = regions(260)
    p = replace(BRIEF, n_estimators=1, max_depth=2, max_bin=4, min_data_per_group=20, cat_smooth=3.0)
    parts = cut_in(whole.select(("amount", "region")), 1, 1)
    plain, encrypted = (fit_aligned(parts, label, 240, p, cipher=c) for c in (None, real_key.secret()))
    assert outline(encrypted) == outline(plain)
    assert encrypted.margin.tobytes() == plain.margin.tobytes()
    assert {n.owner for n in plain.model.trees[0]} > {""}


def test_trees_added_to_a_model_with_sets_are_those_of_one_run(spread_out: Problem) -> None:
    four = session(spread_out, replace(BRIEF, n_estimators=4))
    expected = trained(four)
    two = session(spread_out)
    start = JointModel.from_json(trained(two).fitted.model.to_json())
    assert any(sets_of(host.half.splits) for host in two.hosts.values())
    more = continued(session(spread_out, four.parameters), two)
    found = trained(more, start)
    assert outline(found) == outline(expected)
    assert found.fitted.margin.tobytes() == expected.fitted.margin.tobytes()
    assert [h.half.splits for h in more.hosts.values()] == [h.half.splits for h in four.hosts.values()]


def test_scores_and_reasons_follow_the_sets(spread_out: Problem) -> None:
    s = session(spread_out)
    done = s.train()
    scored = run(score(done.fitted.model, spread_out.guest, n_reasons=3), s.scoring_wire())
    assert scored.margin[done.arrangement.rows].tobytes() == done.fitted.margin.tobytes()
    reasons = [r for of_row in scored.reasons for r in of_row]
    assert {r.player.party for r in reasons} == {BANK, *spread_out.hosts}


def test_the_floor_of_a_host_is_kept_without_the_guest_knowing_it(spread_out: Problem) -> None:
    for floor in (5, 20, 40):
        p = replace(BRIEF, max_depth=6, min_data_per_group=1, cat_smooth=0.0, min_child_samples=0, n_estimators=4)
        s = session(spread_out, p, policy=HostPolicy(floor, cipher=PLAIN))
        done = s.train()  # a set under the floor would be refused
        assert done.fitted.model.trees


def test_min_child_samples_holds_for_sets_that_the_guest_cannot_count(spread_out: Problem) -> None:
    p = replace(BRIEF, max_depth=6, min_data_per_group=1, cat_smooth=0.0, min_child_samples=25, n_estimators=6)
    for changes in ({}, {"use_quantized_grad": True}, {"objective": "poisson"}, {"scale_pos_weight": 8.0}):
        done = session(spread_out, replace(p, **changes)).train()
        assert min(n.n_rows for tree in done.fitted.model.trees for n in tree) >= 25


@pytest.mark.parametrize(
    "change",
    [
        lambda m: replace(m, categories=m.categories[:-1]),
        lambda m: replace(m, categories=m.categories + bytes(4)),
        lambda m: replace(m, categories=bytes(len(m.categories)), directions=b"\0"),
    ],
    ids=["cut", "longer", "directions"],
)
def test_categories_that_do_not_fit_name_the_culprit(spread_out: Problem, change: Callable) -> None:
    assert culprit(spread_out, lambda m: change(m) if m.categories else m) == ("host:trade", "bad_value")


def test_a_category_told_below_the_root_or_with_a_direction_is_refused(spread_out: Problem) -> None:
    told: list[bytes] = []

    def again(m: Sums) -> Sums:
        told.append(m.categories or told[0])
        return replace(m, categories=told[-1])

    assert culprit(spread_out, again) == ("host:trade", "bad_value")

    def directed(m: Sums) -> Sums:
        n = len(m.categories) // 4
        return replace(m, directions=np.packbits(np.r_[np.ones(n), np.zeros(n)].astype(bool)).tobytes()) if n else m

    assert culprit(spread_out, directed) == ("host:trade", "bad_value")


def culprit(problem: Problem, change: Callable[[Sums], Sums]) -> tuple[str, str]:
    """Whom a session names when one host's sums are changed, and why."""
    s = session(problem, replace(BRIEF, n_estimators=1))
    answers = {party: Endpoint(host, BANK, ALLOWED).answer for party, host in s.hosts.items()}
    honest = answers["host:trade"]

    def answer(frame: bytes) -> tuple[bytes, bool]:
        reply, over = honest(frame)
        message = decode(reply, "host:trade")
        return encode(change(message)) if isinstance(message, Sums) else reply, over

    with pytest.raises(LianmoError) as caught:
        s.train(MemoryWire({**answers, "host:trade": answer}))
    return caught.value.party, caught.value.code


def test_no_more_is_asked_for_than_one_way_where_nothing_ties(spread_out: Problem) -> None:
    seen: list[Choose] = []

    def witness(_sender: str, _receiver: str, message: Message, _size: int) -> None:
        if isinstance(message, Choose):
            seen.append(message)

    s = session(spread_out)
    run(s.script(), s.wire(), witness)
    ways = [ways for m in seen for _, ways in m.choices]
    assert any(len(sure) for of_node in ways for sure, _, _ in of_node)
    assert all(len(of_node) == 1 for of_node in ways)


def test_a_host_may_keep_to_itself_which_cuts_are_levels_of_one_category(spread_out: Problem) -> None:
    def told(*, share_levels: bool) -> tuple[list[bytes], list[Split]]:
        s = session(spread_out, policy=HostPolicy(cipher=PLAIN, share_levels=share_levels))
        sums: list[bytes] = []

        def witness(_sender: str, _receiver: str, message: Message, _size: int) -> None:
            if isinstance(message, Sums):
                sums.append(message.categories)

        done = run(s.script(), s.wire(), witness)
        assert {n.owner for tree in done.fitted.model.trees for n in tree} - {"", BANK}
        return sums, [split for host in s.hosts.values() for split in sets_of(host.half.splits)]

    sums, sets = told(share_levels=True)
    assert any(sums)
    assert sets
    sums, sets = told(share_levels=False)
    assert not any(sums)
    assert not sets
