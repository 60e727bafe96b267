"""Sites that poison, in groups: what is noticed, what of it remains in the model, and what is not noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from federation.ciphers.suites.choice import suite
from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.groups import GroupedAggregation, draw_groups
from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting import messages as m
from federation.horizontal.boosting.screening import HistogramScreen
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.transports.agreement import Seals
from models.boosting.parameters import BoostingParameters
from models.errors import ModelError
from models.losses import Floats
from models.table import Table
from tests.builders import vertical_problem
from tests.federation.horizontal.boosting.cities import DEFAULTS, Trial, never
from tests.federation.horizontal.sites import SESSION, signings

PARAMETERS = BoostingParameters(**(DEFAULTS | {"max_depth": 2}))
N_SITES, BAD = 25, "bank:07"


@pytest.fixture(scope="module")
def rows() -> tuple[Table, Floats]:
    problem = vertical_problem(3000, seed=5)
    return problem.whole, problem.label


class Grouped(Trial):
    """As ``Trial``, with five groups of five sites."""

    def __init__(self, table: Table, label: Floats, loss: Callable[[PartyId, Message], str] = never) -> None:
        super().__init__(table, label, np.array_split(np.arange(len(label)), N_SITES), PARAMETERS, loss)
        self.groups = draw_groups(SESSION, self.names)
        self.screen = HistogramScreen(self.bins, 5 * 2**20)
        aggregations = [MaskedAggregation(SESSION, Presence(group), n_turns=4) for group in self.groups]
        self.boosting.aggregation = self.aggregation = GroupedAggregation(
            Presence(self.names), aggregations, self.screen
        )

    @property
    def bad_group(self) -> int:
        return next(k for k, group in enumerate(self.groups) if BAD in group)

    def rest(self) -> tuple[PartyId, ...]:
        return tuple(party for party in self.names if party not in self.groups[self.bad_group])


class Poisoned:
    """A site's half that changes what it adds to sums."""

    def __init__(self, inner: Contributor, change: Callable[[Numbers], Numbers]) -> None:
        self.inner, self.change = inner, change
        self.allowed, self.answer = inner.allowed, inner.answer

    def contribute(self, values: Numbers, bound: int) -> Message:
        return self.inner.contribute(np.clip(self.change(values), -bound, bound), bound)


def poison(trial: Trial, change: Callable[[Numbers], Numbers], party: PartyId = BAD) -> None:
    site = trial.sites[party]
    site.contributor = site.boosting.contributor = Poisoned(site.contributor, change)


def few_sites(trial: Trial, parties: tuple[PartyId, ...]) -> Trial:
    """The rows of these parties at four sites, of which the last is ``BAD`` alone if it is among them; no groups."""
    parts = [trial.parts[trial.names.index(party)] for party in sorted(parties, key=lambda p: (p == BAD, p))]
    merged = [np.concatenate(parts[k:-1:3]) for k in range(3)]
    return Trial(trial.table, trial.label, [*merged, parts[-1]], PARAMETERS)


def same(trial: Trial, parties: tuple[PartyId, ...]) -> None:
    """The model is that of a run over the rows of these parties alone, in one sum."""
    alone = few_sites(trial, parties)
    assert trial.margin(trial.fit()).tobytes() == alone.margin(alone.fit()).tobytes()


def test_honest_groups_give_the_model_of_all_rows(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    same(trial, trial.names)
    assert not trial.aggregation.out


def trees(change: Callable[[Numbers], Numbers]) -> Callable[[Numbers], Numbers]:
    """Honest counts, changed histograms."""
    return lambda values: values if len(values) == 2 else change(values)


def at_bin(values: Numbers) -> Numbers:
    """All that a site has in one bin of all bins: features do not add up alike."""
    changed = np.zeros_like(values)
    changed[0] = values.sum()
    return changed


@pytest.mark.parametrize(
    "change",
    [
        trees(lambda values: 100 * values),
        trees(lambda values: -100 * values),
        trees(lambda values: 30 * values),
        trees(at_bin),
        trees(lambda values: values + 1),
        lambda values: values * np.array([1, 20]) if len(values) == 2 else values,
    ],
    ids=["times 100", "times -100", "times 30", "one bin", "one unit more", "more defaults than rows"],
)
def test_a_group_that_sends_nonsense_is_left_out(
    rows: tuple[Table, Floats], change: Callable[[Numbers], Numbers]
) -> None:
    """From the first tree on: what remains is the model of the other groups' rows, to the last bit."""
    trial = Grouped(*rows)
    poison(trial, change)
    grown = trial.fit()
    assert trial.aggregation.out == {trial.bad_group}
    assert grown.contributors == (trial.rest(),) * 3
    for party in trial.groups[trial.bad_group]:  # its honest sites have the model none the less
        assert trial.sites[party].boosting.state.tree == 3


def test_what_remains_is_the_model_of_the_others(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    # More defaults than rows show in the first sum, so that nothing of that group is in the starting margin, either.
    poison(trial, lambda values: values * np.array([1, 20]) if len(values) == 2 else values)
    same(trial, trial.rest())


def test_without_groups_the_same_site_ruins_the_model(rows: tuple[Table, Floats]) -> None:
    """The check that there is something to hold off."""
    grouped = Grouped(*rows)
    honest, trial = few_sites(grouped, grouped.names), few_sites(grouped, grouped.names)
    poison(trial, trees(lambda values: -100 * values), trial.names[-1])
    assert np.corrcoef(trial.margin(trial.fit()), honest.margin(honest.fit()))[0, 1] < 0


def test_one_that_begins_late_ends_that_tree(rows: tuple[Table, Floats]) -> None:
    """At the second level of tree 1: the tree keeps the sums it has, the group is out from then on."""
    trial = Grouped(*rows)
    n_sums = 0

    def change(values: Numbers) -> Numbers:
        nonlocal n_sums
        n_sums += 1
        return 100 * values if n_sums == 5 else values  # counts, two levels, one level

    poison(trial, change)
    grown = trial.fit()
    assert grown.contributors == (trial.names, trial.names, trial.rest())
    assert sum(bool(node.owner) for node in grown.model.trees[1]) == 1
    assert trial.aggregation.out == {trial.bad_group}


def test_labels_turned_round_at_one_site_of_many_are_not_noticed(rows: tuple[Table, Floats]) -> None:
    """What the screen does not hold off: rows that somebody might have. It is in the docs."""
    table, label = rows
    trial = Grouped(table, label)
    site = trial.sites[BAD]
    site.boosting.label = 1 - site.boosting.label
    trial.fit()
    assert not trial.aggregation.out


def test_a_group_under_its_threshold_leaves_and_the_others_go_on(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    gone = trial.groups[2][:2]
    trial.wire.loss = lambda party, request: (
        "before" if party in gone and isinstance(request, m.Grow) and request.tree else ""
    )
    grown = trial.fit()
    rest = tuple(party for party in trial.names if party not in trial.groups[2])
    assert grown.contributors == (trial.names, rest, rest)


def test_a_group_that_loses_one_stands_aside(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    gone = trial.groups[2][0]
    trial.wire.loss = lambda party, request: (
        "before" if party == gone and isinstance(request, m.Grow) and request.tree else ""
    )
    grown = trial.fit()
    rest = tuple(party for party in trial.names if party not in trial.groups[2])
    assert grown.contributors == (trial.names, rest, rest)
    for party in trial.groups[2][1:]:  # in no sum of that group without the one; it has the model none the less
        assert trial.sites[party].boosting.state.tree == 3


def test_when_half_of_the_groups_are_out_nobody_is_believed(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    for group in trial.groups[:3]:
        poison(trial, trees(at_bin), group[0])
    with pytest.raises(LocalProtocolError, match="2 of 5 groups"):
        trial.fit()


def test_groups_are_of_three_sites_or_more_and_three_or_more() -> None:
    names = [f"bank:{k:02d}" for k in range(16)]
    groups = draw_groups("s", names)
    assert sorted(map(len, groups)) == [5, 5, 6]
    assert sorted(party for group in groups for party in group) == names
    assert draw_groups("s", names[::-1]) == groups
    assert draw_groups("t", names) != groups
    for n, size in ((14, 5), (8, 3), (6, 2), (9, 1), (9, 0)):
        with pytest.raises(LocalProtocolError) as caught:
            draw_groups("s", names[:n], size)
        assert caught.value.code == "too_few_sites"


def test_who_comes_late_has_no_group_and_is_told_the_model(rows: tuple[Table, Floats]) -> None:
    """The run goes on with the groups there are."""
    table, label = rows
    late = ("late:0", "late:1", "late:2")
    trial = Grouped(table, label)
    known = signings(N_SITES)["bank:00"].known
    for k, party in enumerate(late):
        key = suite("international").new_signing_key()
        contributor = MaskingSite(party, SESSION, Seals.with_key("international", key, known))
        trial.sites[party] = HorizontalSite(table.take(trial.parts[k]), label[trial.parts[k]], contributor)
    n_trees: list[int] = []
    trial.boosting.progress, trial.boosting.arrivals = n_trees.append, lambda: late
    grown = trial.fit()
    assert grown.contributors == (trial.names,) * 3
    told = [type(request) for party, request, _ in trial.wire.passed if party in late]
    assert set(told) == {m.Open, m.Start, m.Finish}
    for k, party in enumerate(late):
        margin = trial.sites[party].boosting.state.margin
        assert margin.tobytes() == trial.margin(grown)[trial.parts[k]].tobytes()


def test_every_site_is_in_one_group(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    for presence in (Presence((*trial.names, "bank:99")), Presence(trial.names[1:])):
        with pytest.raises(LocalProtocolError) as caught:
            replace(trial.aggregation, presence=presence)
        assert caught.value.code == "policy"


def test_noise_and_groups_do_not_go_together(rows: tuple[Table, Floats]) -> None:
    trial = Grouped(*rows)
    with pytest.raises(ModelError, match="Noise and sums by groups") as caught:
        replace(trial.boosting, noise=5.0)
    assert caught.value.code == "bad_parameter"
    assert replace(trial.boosting, noise=0.0).noise == 0.0


def test_far_is_what_neither_chance_nor_spread_explains(rows: tuple[Table, Floats]) -> None:
    """Small groups of few rows may lie far from the others."""
    trial = Grouped(*rows)
    screen = replace(trial.screen, _rows={})
    rng = np.random.default_rng(0)
    sizes = [40, 600, 500, 700, 550]
    bins = sum(b.n_bins for b in trial.bins)
    starts = np.concatenate([[0], np.cumsum([b.n_bins for b in trial.bins])])[:-1]
    unit = 1 << 32

    def sums(n: int, rate: float) -> Numbers:
        level = np.zeros((2, bins))
        g = np.where(rng.random(n) < rate, -0.8, 0.2)
        for start, b in zip(starts, trial.bins, strict=True):
            np.add.at(level[0], start + rng.integers(0, b.n_bins, n), g)
        # one order of additions for all features
        whole = np.rint(level * unit / 10).astype(np.int64)
        for start, b in zip(starts, trial.bins, strict=True):
            whole[0, start] += round(g.sum() * unit / 10) - whole[0, start : start + b.n_bins].sum()
            whole[1, start] = round(0.16 * n * unit / 10)
        return whole.ravel()

    assert not screen({k: np.array([n << 32, n << 30]) for k, n in enumerate(sizes)})
    assert not set(screen({k: sums(n, 0.2) for k, n in enumerate(sizes)}))
    assert screen({k: sums(n, 0.9 if k == 3 else 0.2) for k, n in enumerate(sizes)}) == {3}
