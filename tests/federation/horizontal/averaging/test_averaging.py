"""Means over sites: those that numpy gives of scikit-learn's parameters, from sums that show no site's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from federation.errors import LocalProtocolError, PartyId, Refused, SiteLeft
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.averaging.messages import BITS, Open, RowsWanted, Train
from federation.horizontal.averaging.site import AveragingSite
from federation.horizontal.binning.coordinator import Feature, joint_bins
from federation.messages import Message
from federation.script import run
from models.averaging import estimators
from models.averaging.design import width
from models.errors import ModelError
from tests.federation.horizontal.averaging.cities import KINDS, Trial
from tests.federation.horizontal.sites import Noted

#: Half a unit of each site.
STEP = 0.5 * 2.0**-BITS


@pytest.mark.parametrize(("kind", "settings"), KINDS, ids=[kind for kind, _ in KINDS])
def test_a_mean_is_that_of_numpy_to_the_quantisation_step(kind: str, settings: dict[str, Any]) -> None:
    trial = Trial(4, kind, settings)
    trial.open()
    at = trial.start
    weights = [len(rows) for rows in trial.parts]
    for round_ in (1, 2):
        expected = np.average([trial.of_site(k, at, round_) for k in range(4)], axis=0, weights=weights)
        found = trial.mean(at)
        assert found.n_rows == sum(weights)
        np.testing.assert_allclose(found.parameters, expected, rtol=0, atol=4 * STEP)
        at = found.parameters


def test_sites_may_weigh_the_same() -> None:
    trial = Trial(4, *KINDS[0], weights="equal")
    trial.open()
    expected = np.mean([trial.of_site(k, trial.start, 1) for k in range(4)], axis=0)
    np.testing.assert_allclose(trial.mean(trial.start).parameters, expected, rtol=0, atol=4 * STEP)
    assert not any(isinstance(request, RowsWanted) for _, request, _ in trial.wire.passed)


def test_two_sites_are_refused_and_told_why() -> None:
    trial = Trial(2, *KINDS[0])
    with pytest.raises(LocalProtocolError, match="no site's numbers can be told") as refused:
        trial.open()
    assert refused.value.code == "too_few_sites"
    assert not any(isinstance(reply, Contribution) for *_, reply in trial.wire.passed)


def leaving(after: int) -> Any:
    """The last site does not answer trainings after so many."""
    trainings = {"bank:03": 0}

    def loss(party: PartyId, request: Message) -> str:
        if party in trainings and isinstance(request, Train):
            trainings[party] += 1
        return "before" if trainings.get(party, 0) > after else ""

    return loss


def test_by_rows_nothing_is_opened_without_a_site_that_was_counted() -> None:
    trial = Trial(4, *KINDS[0], loss=leaving(after=1))
    trial.open()
    first = trial.mean(trial.start)
    n_passed = len(trial.wire.passed)
    with pytest.raises(SiteLeft):
        trial.mean(first.parameters)
    # Contributions came, and nobody was asked to take the masks off.
    later = [type(request).__name__ for _, request, _ in trial.wire.passed[n_passed:]]
    assert later == ["Train"] * 4
    with pytest.raises(SiteLeft):
        trial.mean(first.parameters + 0.1)


def test_with_equal_weights_rounds_go_on_in_company() -> None:
    """Of eight sites one leaves, two stand aside with it: no two means differ by one site or two."""
    trial = Trial(8, *KINDS[0], weights="equal", loss=leaving(after=1))
    trial.averaging.aggregation = noted = Noted(trial.averaging.aggregation)
    trial.open()
    first = trial.mean(trial.start)
    assert first.contributors == trial.names
    second = trial.mean(first.parameters)
    rest = [k for k in range(6) if k != 3]
    assert second.contributors == tuple(trial.names[k] for k in rest)
    expected = np.mean([trial.of_site(k, first.parameters, 2) for k in rest], axis=0)
    np.testing.assert_allclose(second.parameters, expected, rtol=0, atol=5 * STEP)
    trial.mean(second.parameters)
    assert noted.fewest_alike() >= 3


def test_with_equal_weights_the_last_whole_round_stands_where_too_few_are_left() -> None:
    trial = Trial(4, *KINDS[0], weights="equal", loss=leaving(after=1))
    trial.averaging.aggregation = noted = Noted(trial.averaging.aggregation)
    trial.open()
    first = trial.mean(trial.start)
    with pytest.raises(SiteLeft):
        trial.mean(first.parameters)
    assert [total.contributors for total in noted.told] == [trial.names]
    none = Trial(2, *KINDS[0], weights="equal")
    none.open()
    with pytest.raises(LocalProtocolError, match="3 are needed"):
        none.mean(none.start)


@pytest.mark.parametrize("kind", [Open, RowsWanted])
def test_rows_are_counted_in_company_with_those_whose_bins_were(kind: type[Message]) -> None:
    """Joint bins tell rows of all: of all but one, they would tell that one's."""
    lost: set[PartyId] = set()

    def loss(party: PartyId, request: Message) -> str:
        if party == "bank:03" and isinstance(request, kind):
            lost.add(party)
        return "before" if party in lost else ""

    trial = Trial(8, *KINDS[0], loss=loss)
    trial.averaging.aggregation = noted = Noted(trial.averaging.aggregation)
    features = (Feature("a"), Feature("b"), Feature("c", category=True, levels=("none", "own", "rent")))
    trial.averaging.bins = run(joint_bins(noted, features, 8, 2**20), trial.wire)
    trial.open()
    start = np.zeros(len(estimators.initial(trial.kind, trial.settings, width(trial.averaging.bins), 1)))
    rest = tuple(party for party in trial.names[:6] if party != "bank:03")
    assert trial.mean(start).contributors == rest
    assert noted.told[0].contributors == trial.names
    assert noted.fewest_alike() >= 3


def test_a_site_trains_from_one_place_once_and_counts_its_rows_once() -> None:
    trial = Trial(3, *KINDS[0])
    trial.open()
    trial.mean(trial.start)
    asked = next(request for _, request, _ in trial.wire.passed if isinstance(request, Train))
    again = Train(round=2, n_rows=asked.n_rows, parameters=asked.parameters)
    with pytest.raises(LocalProtocolError, match="from which it trained before"):
        trial.sites["bank:00"].answer(again)
    with pytest.raises(LocalProtocolError, match="not accepted"):
        trial.sites["bank:00"].answer(RowsWanted())
    counted = Trial(3, *KINDS[0])
    counted.open()
    with pytest.raises(LocalProtocolError, match="given before"):
        counted.sites["bank:00"].answer(RowsWanted())
    # A mean that stands still is not asked for again.
    n_passed = len(trial.wire.passed)
    assert trial.mean(trial.start).contributors == trial.names
    assert len(trial.wire.passed) == n_passed


def test_no_contribution_is_a_sites_parameters() -> None:
    """What a site sends looks like noise: its parameters, shared out, are in none of the words."""
    trial = Trial(3, *KINDS[0])
    trial.open()
    trial.mean(trial.start)
    sent = [reply for _, request, reply in trial.wire.passed if isinstance(request, Train)]
    n = sum(len(rows) for rows in trial.parts)
    for k, reply in enumerate(sent):
        assert isinstance(reply, Contribution)
        plain = np.rint(np.ldexp(trial.of_site(k, trial.start, 1) * len(trial.parts[k]) / n, BITS)).astype(np.int64)
        size = len(reply.data) // len(plain)
        words = {reply.data[i : i + size] for i in range(0, len(reply.data), size)}
        assert not words & {int(v).to_bytes(8, "little", signed=True)[:size] for v in plain}


def test_a_site_with_one_class_counts_as_none() -> None:
    trial = Trial(4, *KINDS[0])
    site = trial.sites["bank:03"]
    site.averaging = AveragingSite(site.table, np.zeros(len(site.table)), site.contributor, 3)
    trial.open()
    expected = np.average(
        [trial.of_site(k, trial.start, 1) for k in range(3)], axis=0, weights=[len(rows) for rows in trial.parts[:3]]
    )
    np.testing.assert_allclose(trial.mean(trial.start).parameters, expected, rtol=0, atol=4 * STEP)


@pytest.mark.parametrize(
    ("kind", "settings"), [("RandomForest", {}), ("SGDClassifier", {"loss": "hinge"}), ("MLPClassifier", {"foo": 1})]
)
def test_what_cannot_be_averaged_is_refused_by_name(kind: str, settings: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=next(iter(settings), kind)) as refused:
        Trial(3, kind, settings)
    assert refused.value.code == "bad_parameter"


def test_a_site_does_not_build_what_would_fill_its_memory() -> None:
    trial = Trial(3, "MLPClassifier", {"hidden_layer_sizes": [4]})
    trial.averaging.settings = {"hidden_layer_sizes": [2**20, 2**20]}
    with pytest.raises(Refused, match="bad_value"):
        run(trial.averaging.open(), trial.wire)
