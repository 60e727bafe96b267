"""The end of a run: every site has the model it helped to train, and held-out rows are counted over all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from federation.errors import LocalProtocolError, Refused
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.closing.coordinator import close
from federation.horizontal.closing.messages import N_BANDS, Count, Take
from federation.horizontal.closing.site import band_counts, margin_of
from federation.messages import Message
from federation.script import run
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table
from tests.federation.horizontal.averaging.cities import population
from tests.federation.horizontal.boosting.cities import Trial, shares


@pytest.fixture(scope="module")
def rows() -> tuple[Table, Floats]:
    return population(500)


def trained(rows: tuple[Table, Floats], loss: object = None) -> tuple[Trial, JointModel]:
    table, label = rows
    fit = np.arange(400)
    trial = Trial(table.take(fit), label[fit], shares(400, 4), **({"loss": loss} if loss else {}))
    for k, site in enumerate(trial.sites.values()):
        held_out = np.arange(400 + 25 * k, 425 + 25 * k)
        site.closing.held_out = table.take(held_out), label[held_out]
    return trial, trial.fit().model


def test_all_sites_have_the_model_and_counts_are_of_all_held_out_rows(rows: tuple[Table, Floats]) -> None:
    trial, model = trained(rows)
    closed = run(close(trial.aggregation, "trees", model.to_json()), trial.wire)
    assert closed.takers == closed.contributors == trial.names
    table, label = rows
    held_out = np.arange(400, 500)
    expected = band_counts(margin_of(model, table.take(held_out)), label[held_out])
    assert closed.goods is not None
    assert closed.bads is not None
    assert np.concatenate([closed.goods, closed.bads]).tolist() == expected.tolist()
    assert expected.sum() == 100
    for site in trial.sites.values():
        assert site.closing.model == model


def test_a_model_that_scores_otherwise_than_what_was_trained_is_refused(rows: tuple[Table, Floats]) -> None:
    trial, model = trained(rows)
    changed = model.to_json()
    leaf = next(node for node in changed["trees"][0] if not node["owner"])
    leaf["value"] = np.nextafter(leaf["value"], 1.0)
    with pytest.raises(Refused, match="bad_value"):
        run(close(trial.aggregation, "trees", changed), trial.wire)


def test_held_out_rows_are_counted_once(rows: tuple[Table, Floats]) -> None:
    trial, model = trained(rows)
    run(close(trial.aggregation, "trees", model.to_json()), trial.wire)
    with pytest.raises(LocalProtocolError, match="not accepted"):
        trial.sites["bank:00"].answer(Count())


def test_the_model_stands_if_too_few_are_left_to_count(rows: tuple[Table, Floats]) -> None:
    def loss(party: str, request: Message) -> str:
        return "before" if isinstance(request, Count) and party in ("bank:02", "bank:03") else ""

    trial, model = trained(rows, loss)
    closed = run(close(trial.aggregation, "trees", model.to_json()), trial.wire)
    assert closed.takers == trial.names
    assert closed.goods is None


def test_bands_are_as_wide_as_they_say() -> None:
    margin = np.array([-100.0, -8.0001, -8.0, -7.97, 0.0, 7.9999, 8.0, 100.0])
    counts = band_counts(margin, np.zeros(len(margin)))
    assert np.flatnonzero(counts).tolist() == [0, 1, 257, N_BANDS - 2, N_BANDS - 1]
    assert counts[[0, 1, N_BANDS - 1]].tolist() == [2, 2, 2]


def test_what_a_site_does_not_know_it_does_not_take(rows: tuple[Table, Floats]) -> None:
    trial, model = trained(rows)
    for kind, data in (("forest", model.to_json()), ("trees", {}), ("averaged", {}), ("scorecard", {})):
        with pytest.raises(LocalProtocolError, match="does not fit"):
            trial.sites["bank:00"].answer(Take(model_kind=kind, model=json.dumps(data).encode()))
    assert not any(isinstance(request, Count) for _, request, _ in trial.wire.passed)
    assert any(isinstance(reply, Contribution) for *_, reply in trial.wire.passed)
