"""Sites that leave, sites of one class, and what of all that reaches the coordinator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest

from federation.codec import encode
from federation.errors import LocalProtocolError, PartyId, Refused
from federation.horizontal.aggregation.masking import messages as masking
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.prebinning import messages as p
from federation.horizontal.scorecard import messages as m
from federation.horizontal.scorecard.fit import SHORT
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from models.errors import DataError
from models.scorecard.card import woe_of
from models.scorecard.logistic import fit_logistic
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import shares
from tests.federation.horizontal.scorecard.cities import EXACT, Plain, Trial
from tests.federation.horizontal.sites import Noted

GONE = ("bank:02", "bank:05")


def vanishing(kind: type[Message], at: int, when: str) -> Callable[[PartyId, Message], str]:
    """Two sites are lost at their ``at``-th request of ``kind``, from 1."""
    seen = dict.fromkeys(GONE, 0)

    def loss(party: PartyId, request: Message) -> str:
        if party in GONE and isinstance(request, kind) and seen[party] < at:
            seen[party] += 1
            return when if seen[party] == at else ""
        return "before" if seen.get(party) == at else ""

    return loss


def agree_with(trial: Trial, rest: tuple[PartyId, ...], atol: float = 1e-6) -> None:
    """The model is that of ``rest``; whoever has not left knows it."""
    developed = trial.fit()
    assert developed.contributors == rest
    assert {p for p, site in trial.sites.items() if site.scorecard.scorecard == developed.model.half} >= {
        party for party in trial.names if party not in GONE
    }
    prebins, found = trial.pooled_bins(developed, developed.counted.contributors)
    assert developed.counted.prebins == tuple(prebins)
    assert developed.binned == tuple(found)
    margin = developed.model.half.margin(trial.table)
    np.testing.assert_allclose(margin, trial.sklearn_margin(developed, rest, trial.table), atol=atol, rtol=0)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("kind", "at"), [(p.Open, 1), (p.Search, 1), (p.Search, 2), (p.Count, 1), (m.Open, 1), (m.Step, 1), (m.Step, 2)]
)
def test_two_of_eight_that_vanish_leave_the_model_of_the_rest(
    problem: Problem, kind: type[Message], at: int, when: str
) -> None:
    """Bins are of those that were counted, coefficients of those that remain; no two sums differ by one site or two."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 8), vanishing(kind, at, when))
    trial.scorecard.aggregation = noted = Noted(trial.scorecard.aggregation)
    aside = () if (kind, at) in ((p.Open, 1), (p.Search, 1)) else ("bank:07",)  # one that was in a sum with them
    agree_with(trial, tuple(party for party in trial.names if party not in (*GONE, *aside)))
    assert noted.fewest_alike() >= 3


@pytest.mark.parametrize(
    "moments",
    [
        ((p.Search, 2), (p.Count, 1)),
        ((p.Search, 3), (m.Step, 3)),
        ((p.Count, 1), (m.Step, 2)),
        ((m.Step, 1), (m.Step, 3)),
        ((m.Step, 2), (m.Step, 4)),
    ],
    ids=lambda moments: "-".join(f"{kind.kind[11:]}{at}" for kind, at in moments),
)
def test_one_after_another_they_are_told_by_no_sums(
    problem: Problem, moments: tuple[tuple[type[Message], int], ...]
) -> None:
    """Of eleven sites one leaves, later another: whatever sums are added and subtracted, three sites stay together."""
    gone = dict(zip(GONE, moments, strict=True))
    seen = dict.fromkeys(GONE, 0)

    def loss(party: PartyId, request: Message) -> str:
        if party in gone and isinstance(request, gone[party][0]):
            seen[party] += 1
        return "before" if party in gone and seen[party] >= gone[party][1] else ""

    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 11), loss)
    trial.scorecard.aggregation = noted = Noted(trial.scorecard.aggregation)
    developed = trial.fit()
    assert len(developed.contributors) == 5
    assert len({total.contributors for total in noted.told}) == 3
    assert noted.fewest_alike() >= 3


def steps_of(trial: Trial) -> list[tuple[float, ...]]:
    asked = [request.coefficients for _, request, _ in trial.wire.passed if isinstance(request, m.Step)]
    return list(dict.fromkeys(asked))


def first_short(trial: Trial) -> int:
    """Number of the first step, from 1, whose two ends are near each other; the point it starts from counts, too."""
    steps = np.array(steps_of(trial))
    moved = np.abs(np.diff(steps, axis=0)).max(axis=1) / (1 + np.abs(steps[:-1]).max(axis=1))
    return int(np.argmax(moved <= SHORT)) + 2


def test_a_fit_that_is_nearly_there_ends_where_too_few_are_left(problem: Problem) -> None:
    """The sum over fewer sites is not opened; the model is of all that took part, to the square of the step."""
    parts = shares(len(problem.label), 5)
    whole = Trial(problem.whole, problem.label, parts)
    expected = whole.fit()
    at = first_short(whole)
    trial = Trial(problem.whole, problem.label, parts, vanishing(m.Step, at, "before"))
    developed = trial.fit()
    assert developed.contributors == trial.names
    difference = developed.model.half.margin(trial.table) - expected.model.half.margin(trial.table)
    assert 0.0 < np.abs(difference).max() < 2e-3
    opened = sum(isinstance(request, masking.Unmask) for party, request, _ in trial.wire.passed if party == "bank:00")
    assert opened == 3 + 1 + at - 1  # rounds of the search, counts, sums of all five


def test_a_site_that_leaves_in_a_short_step_is_gone_on_without(problem: Problem) -> None:
    parts = shares(len(problem.label), 8)
    whole = Trial(problem.whole, problem.label, parts)
    whole.fit()
    trial = Trial(problem.whole, problem.label, parts, vanishing(m.Step, first_short(whole), "before"))
    agree_with(trial, tuple(party for party in trial.names if party not in (*GONE, "bank:07")))


def test_no_sum_over_sites_is_opened_twice_at_the_same_place(problem: Problem) -> None:
    for at in (1, 2, 3):
        loss = vanishing(m.Step, at, "before")
        trial = Trial(problem.whole, problem.label, shares(len(problem.label), 8), loss)
        trial.scorecard.aggregation = noted = Noted(trial.scorecard.aggregation)
        trial.fit()
        steps = [(r.places, r.coefficients) for r in noted.asked if isinstance(r, m.Step)]
        assert len(steps) == len(set(steps)) > 2
        assert sum(isinstance(r, p.Count) for r in noted.asked) == 1


def test_every_row_is_counted_in_one_round_of_the_search(problem: Problem) -> None:
    """Two rounds, of which a site missed one, then are over different rows of every other site."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    trial.fit()
    for (party, site), rows in zip(trial.sites.items(), trial.parts, strict=True):
        round_of = site.prebinning.state.round_of
        assert len(round_of) == len(rows)
        again = HorizontalSite(site.table, site.label, Plain())
        opening, *searches = [r for to, r, _ in trial.wire.passed if to == party and isinstance(r, p.Open | p.Search)]
        again.answer(opening)
        again.prebinning.state.round_of = round_of
        n_columns = len(searches[0].bounds)
        n_rows = [np.frombuffer(again.answer(search).data, dtype=np.int64).sum() for search in searches]
        values = [c for c in site.table.columns.values() if c.dtype == float]
        assert len(values) == n_columns
        for k, n in enumerate(n_rows):  # each round: its own rows only
            assert n == sum(np.count_nonzero(~np.isnan(c[round_of == k])) for c in values)
        assert sum(n_rows) == sum(np.count_nonzero(~np.isnan(c)) for c in values)


@pytest.mark.parametrize(("n_gone", "left"), [(3, 5), (5, 3)])
def test_more_may_vanish_at_once_as_long_as_three_are_left(problem: Problem, n_gone: int, left: int) -> None:
    trial = lost_at_once(problem, n_gone)
    assert trial.fit().contributors == trial.names[:left]


def test_two_that_are_left_end_the_run_with_the_reason(problem: Problem) -> None:
    with pytest.raises(LocalProtocolError, match="over 2 sites; 3 are needed"):
        lost_at_once(problem, 6).fit()


def lost_at_once(problem: Problem, n_gone: int) -> Trial:
    """The last of eight sites are lost at the first step."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 8))
    gone = trial.names[-n_gone:]
    trial.wire.loss = lambda party, request: "before" if party in gone and isinstance(request, m.Step) else ""
    return trial


def test_two_sites_are_refused(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 2))
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told"):
        trial.fit()


def test_sites_with_one_class_take_part(problem: Problem) -> None:
    good, bad = np.flatnonzero(problem.label == 0), np.flatnonzero(problem.label == 1)
    trial = Trial(problem.whole, problem.label, [good, bad[:50], bad[50:]])
    developed = trial.fit()
    woe = woe_of(developed.model.half.features, problem.whole)
    alone = fit_logistic(woe, problem.label, [f.name for f in developed.model.half.features], EXACT)
    found = [c.value for c in developed.coefficients]
    np.testing.assert_allclose(found, [alone.intercept.value, *alone.values], rtol=0, atol=1e-8)


def test_sites_that_together_have_one_class_are_told(problem: Problem) -> None:
    rows = np.flatnonzero(problem.label == 0)
    trial = Trial(problem.whole, problem.label, np.array_split(rows, 3))
    with pytest.raises(DataError) as caught:
        trial.fit()
    assert caught.value.code == "one_class"


def test_nothing_but_sums_of_at_least_three_sites_reaches_the_coordinator(problem: Problem) -> None:
    """All that sites send: masked vectors, keys and shares, and words without content. No site's number is among it."""
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 4))
    clear: list[np.ndarray] = []
    for site in trial.sites.values():
        noting = Noting(site.contributor, clear)
        site.contributor = site.prebinning.contributor = site.scorecard.contributor = noting
    trial.fit()
    replies = [reply for _, _, reply in trial.wire.passed]
    empty = {p.Opened, m.Opened, m.Finished, masking.Ready}
    hidden = {Contribution, masking.Keys, masking.SealedShares, masking.Agreed, masking.Unmasked}
    assert {type(reply) for reply in replies} == empty | hidden
    for kind in empty:
        assert fields(kind) == ()
    sent = b"".join(encode(reply) for reply in replies)
    moments = [values for values in clear if np.abs(values).max() > 2**32]
    words = [w for values in moments for w in (values[k : k + 1].tobytes() for k in range(len(values)))]
    long = [w for w in words if len(set(w)) > 5]  # a number that does not occur by chance
    assert len(long) > 200
    assert not [w for w in long if w in sent or w[:7] in sent]
    assert long[0] in sent + long[0]  # the search would find it
    # Counts are small numbers: there a whole vector is looked for, as words of any width.
    counts = [values for values in clear if np.abs(values).max() <= 2**32]
    assert len(counts) == 4 * 4
    for values in counts:
        for width in (1, 2, 3, 4):
            packed = values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
            assert packed not in sent


def test_a_site_survives_being_dumped_between_any_two_messages(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    expected = Trial(problem.whole, problem.label, trial.parts).fit()

    def forget(party: PartyId, request: Message) -> str:
        site = trial.sites[party]
        again = HorizontalSite(site.table, site.label, site.contributor, site.seed)
        again.load(site.dump())
        trial.sites[party] = again
        return ""

    trial.wire.loss = forget
    developed = trial.fit()
    assert developed.binned == expected.binned
    assert replace(developed.model.half, salt="") == replace(expected.model.half, salt="")


def test_a_site_that_refuses_is_named(problem: Problem) -> None:
    trial = Trial(problem.whole, problem.label, shares(len(problem.label), 3))
    site = trial.sites["bank:01"]
    site.prebinning.label = site.prebinning.label + 0.5
    with pytest.raises(Refused) as caught:
        trial.fit()
    assert (caught.value.party, caught.value.code) == ("bank:01", "bad_data")


class Noting:
    """A contributor that notes what it is given in clear."""

    def __init__(self, inner: object, clear: list[np.ndarray]) -> None:
        self.inner, self.clear, self.allowed, self.answer = inner, clear, inner.allowed, inner.answer

    @property
    def n_opened(self) -> int:
        return self.inner.n_opened

    def contribute(self, values: np.ndarray, bound: int) -> Message:
        self.clear.append(values)
        return self.inner.contribute(values, bound)
