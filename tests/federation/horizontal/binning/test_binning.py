"""Joint bins: those of all rows pooled, as nearly as cells allow; told from counts over sites alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from federation.errors import LocalProtocolError, PartyId, Refused
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.binning import messages as m
from federation.horizontal.binning.coordinator import Feature, joint_bins
from federation.horizontal.binning.site import TRANSITIONS, BinningSite
from federation.horizontal.boosting.coordinator import HorizontalBoosting
from federation.messages import Message
from federation.script import run
from models.binning import FeatureBins, encode, fit_bins
from models.errors import LianmoError
from models.float_cells import keys_of, prefixes_of
from models.table import Table
from tests.builders import Problem, fit_aligned, texts
from tests.federation.horizontal.boosting.cities import PARAMETERS, Trial, shares, unequal
from tests.federation.horizontal.boosting.test_sites import Echo
from tests.federation.vertical.test_oracle import lightgbm_margin

N = 4000


def table_of(n: int = N) -> Table:
    rng = np.random.default_rng(7)
    amount = np.exp(rng.normal(10, 2, n))
    amount[rng.random(n) < 0.05] = np.nan
    columns = {
        "amount": amount,
        "balance": rng.normal(0, 1e4, n),
        "year": rng.integers(1998, 2025, n).astype(float),
        "count": np.minimum(rng.geometric(0.4, n) - 1, 9).astype(float),
        "flag": (rng.random(n) < 0.02).astype(float),
        "constant": np.full(n, 3.5),
        "sector": texts(*rng.choice(["farm", "trade", "craft", "rare"], n, p=[0.6, 0.3, 0.097, 0.003])),
    }
    return Table(tuple(map(str, range(n))), columns)


FEATURES = (
    *(Feature(name) for name in ("amount", "balance", "year", "count", "flag", "constant")),
    Feature("sector", True, ("craft", "farm", "rare", "trade", "unused")),
)


def trial_of(table: Table, n_sites: int = 5) -> Trial:
    return Trial(table, np.arange(len(table)) % 2.0, shares(len(table), n_sites))


def bins_of(trial: Trial, max_bin: int = 16, features: tuple[Feature, ...] = FEATURES) -> tuple[FeatureBins, ...]:
    return run(joint_bins(trial.aggregation, features, max_bin, 2**20), trial.wire)


@pytest.mark.parametrize("max_bin", [4, 16, 32])
def test_bins_hold_about_as_many_rows_each_as_pooled_ones(max_bin: int) -> None:
    table = table_of()
    bins = bins_of(trial_of(table), max_bin)
    for name in ("amount", "balance"):
        b = next(b for b in bins if b.name == name)
        counts = np.bincount(b.encode(table.columns[name]), minlength=b.n_bins)[: b.n_regular]
        assert 0.75 * max_bin <= b.n_regular <= max_bin
        assert counts.max() <= 1.5 * counts.sum() / max_bin
        assert counts.min() >= 20


def test_skewed_sites_and_one_without_rows_give_the_same_bins() -> None:
    table = table_of()
    label = np.arange(len(table)) % 2.0
    trial = Trial(table, label, unequal(label, 16))
    assert not len(trial.parts[0])
    assert bins_of(trial) == bins_of(trial_of(table))


def test_numbers_of_few_values_are_cut_where_pooled_bins_cut_them() -> None:
    table = table_of()
    found = {b.name: b for b in bins_of(trial_of(table), 32)}
    for pooled in fit_bins(table.select(("year", "count", "flag", "constant")), 32, 20):
        column = table.columns[pooled.name]
        assert (found[pooled.name].encode(column) == pooled.encode(column)).all()


def test_levels_that_are_rare_over_all_sites_share_a_bin_and_missing_has_one() -> None:
    table = table_of()
    found = {b.name: b for b in bins_of(trial_of(table))}
    assert found["sector"] == FeatureBins("sector", True, levels=("craft", "farm", "trade"), has_other=True)
    assert [name for name, b in found.items() if b.has_missing] == ["amount"]
    assert (encode(table, tuple(found.values())) < np.array([[b.n_bins] for b in found.values()])).all()


def test_it_does_not_depend_on_how_rows_are_shared_out() -> None:
    table = table_of(800)
    assert bins_of(trial_of(table, 3)) == bins_of(trial_of(table, 7))


def test_bins_and_trees_from_sums_alone_are_lightgbms_on_the_same_bins(problem: Problem) -> None:
    """The whole way: nobody has ever seen all rows."""
    columns = problem.whole.columns
    jobs = tuple(sorted({v for v in columns["occupation_class"] if v is not None}))
    features = tuple(Feature(n, n == "occupation_class", jobs if n == "occupation_class" else ()) for n in columns)
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4))
    bins = bins_of(trial, 8, features)
    parameters = replace(PARAMETERS, max_depth=3)  # below that, cuts tie that part rows differently
    boosting = HorizontalBoosting("m-1", trial.aggregation, bins, parameters, 2**20)
    margin = trial.margin(run(boosting.fit(), trial.wire))
    codes = encode(problem.whole, bins)
    columns_of_codes = {}
    for b, row in zip(bins, codes, strict=True):
        if b.category:
            names = np.array([*(f"L{k:02d}" for k in range(b.n_regular)), None], dtype=object)
            columns_of_codes[b.name] = names[row]
        else:
            columns_of_codes[b.name] = np.where(row == b.missing_code, np.nan, row.astype(float))
    coded = Table(problem.whole.ids, columns_of_codes)
    np.testing.assert_allclose(margin, lightgbm_margin(coded, problem.label, parameters), atol=1e-6, rtol=0)
    assert fit_aligned([coded], problem.label, len(coded), parameters).margin.tobytes() == margin.tobytes()


@pytest.mark.parametrize("n", [400, N])
def test_no_cell_of_few_rows_is_looked_into(n: int) -> None:
    trial = trial_of(table_of(n))
    bins_of(trial)
    requests = [r for p, r, _ in trial.wire.passed if isinstance(r, m.CellsWanted) and p == "bank:00"]
    assert [r.round for r in requests] == [0, 1, 2, 3, 4]
    values = trial.table.columns
    for request in requests[1:]:
        bits = m.FIRST_BITS + m.MORE_BITS * (request.round - 1)
        for f, cells in request.cells:
            column = values[FEATURES[f].name]
            found = prefixes_of(keys_of(column[~np.isnan(column)]), bits)
            assert all((found == cell).sum() >= 40 for cell in cells)


def test_counts_end_where_they_are_when_a_site_leaves() -> None:
    """Finer counts over the others, beside those of before, would tell the counts of the site that left."""
    lost: set[PartyId] = set()

    def loss(party: PartyId, request: Message) -> str:
        if party == "bank:03" and isinstance(request, m.CellsWanted) and request.round == 2:
            lost.add(party)
        return "before" if party in lost else ""

    trial = trial_of(table_of(), 7)
    trial.wire.loss = loss
    bins = bins_of(trial)
    assert max(r.round for _, r, _ in trial.wire.passed if isinstance(r, m.CellsWanted)) == 2
    coarse = next(b for b in bins if b.name == "balance")
    assert 1 < coarse.n_regular <= 16


def test_two_sites_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told"):
        bins_of(trial_of(table_of(100), 2))


def test_nothing_but_masked_counts_and_words_without_content_is_told() -> None:
    trial = trial_of(table_of(400))
    bins_of(trial)
    told = {type(reply) for _, request, reply in trial.wire.passed if isinstance(request, m.Open | m.CellsWanted)}
    assert told == {m.Opened, Contribution}


def site_at(phase: str) -> BinningSite:
    site = BinningSite(table_of(50), Echo())
    if phase != "closed":
        site.answer(OPEN)
    if phase == "counting":
        site.answer(m.CellsWanted(round=0, cells=()))
    return site


OPEN = m.Open(features=tuple((f.name, f.category, f.levels) for f in FEATURES), most_rows=60)
MESSAGES = (OPEN, m.Opened(), m.CellsWanted(round=0, cells=()), m.CellsWanted(round=1, cells=((0, (192,)),)))


@pytest.mark.parametrize("phase", ["closed", "opened", "counting"])
@pytest.mark.parametrize("message", MESSAGES, ids=str)
def test_every_state_meets_every_message(phase: str, message: Message) -> None:
    site = site_at(phase)
    before = site.state.dump()
    accepted = (phase, type(message)) in TRANSITIONS
    fits = not isinstance(message, m.CellsWanted) or message.round == (phase == "counting")
    if accepted and fits:
        site.answer(message)
        assert site.state.phase == TRANSITIONS[phase, type(message)]
        return
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(message)
    assert caught.value.code == ("bad_value" if accepted else "out_of_turn")
    assert site.state.dump() == before


@pytest.mark.parametrize(
    "request_",
    [
        m.CellsWanted(round=2, cells=((0, (192,)),)),
        m.CellsWanted(round=0, cells=()),
        m.CellsWanted(round=1, cells=((6, (192,)),)),
        m.CellsWanted(round=1, cells=((9, (192,)),)),
        m.CellsWanted(round=1, cells=((0, (256,)),)),
        m.CellsWanted(round=1, cells=((0, (-1,)),)),
        m.CellsWanted(round=1, cells=((0, tuple(range(256)) * 300),)),
    ],
    ids=lambda r: str(r)[:60],
)
def test_cells_that_do_not_fit_are_refused(request_: Message) -> None:
    site = site_at("counting")
    before = site.state.dump()
    with pytest.raises(LocalProtocolError) as caught:
        site.answer(request_)
    assert caught.value.code == "bad_value"
    assert site.state.dump() == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"most_rows": 49}, "bad_value"),
        ({"features": ()}, "bad_value"),
        ({"features": (("absent", False, ()),)}, "missing_columns"),
        ({"features": (("sector", False, ()),)}, "missing_columns"),
    ],
    ids=str,
)
def test_columns_that_do_not_fit_are_refused(changes: dict[str, object], code: str) -> None:
    site = site_at("closed")
    with pytest.raises(LianmoError) as caught:
        site.answer(replace(OPEN, **changes))
    assert caught.value.code == code
    assert site.state.phase == "closed"


def test_a_site_without_a_column_is_named() -> None:
    trial = trial_of(table_of(100), 3)
    with pytest.raises(Refused) as caught:
        bins_of(trial, features=(Feature("absent"),))
    assert caught.value.code == "bad_data"
