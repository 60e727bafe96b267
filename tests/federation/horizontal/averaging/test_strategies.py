"""Flower's strategies over sums: the models they give over replies of single sites, which they never see here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Strategy

from federation.flower.strategies import STRATEGIES, SumsGrid, averaged, identified, strategy_of
from federation.horizontal.averaging.coordinator import Mean
from federation.horizontal.averaging.messages import BITS
from models.errors import ModelError
from models.losses import Floats
from tests.federation.horizontal.averaging.cities import KINDS, Trial

SETTINGS: dict[str, dict[str, float]] = {
    "FedAvg": {},
    "FedAvgM": {"server_learning_rate": 0.8, "server_momentum": 0.5},
    "FedAdam": {"eta": 0.1},
    "FedAdagrad": {"eta": 0.1},
    "FedYogi": {"eta": 0.1},
}


def plain(trial: Trial, strategy: Strategy, start: Floats, n_rounds: int) -> Floats:
    """The strategy as Flower runs it, with a reply of every site."""
    at = start
    grid = SumsGrid(lambda parameters: Mean(parameters, 0, ()))  # for the names of nodes only
    for round_ in range(1, n_rounds + 1):
        replies = []
        for k, rows in enumerate(trial.parts):
            found = ArrayRecord({"parameters": Array(trial.of_site(k, at, round_))})
            content = RecordDict({"arrays": found, "metrics": MetricRecord({"num-examples": len(rows)})})
            replies.append(Message(content, k + 1, "train"))
        strategy.configure_train(round_, ArrayRecord({"parameters": Array(at)}), ConfigRecord(), grid)
        arrays, _ = strategy.aggregate_train(round_, replies)
        assert arrays is not None
        at = arrays["parameters"].numpy()
    return at


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_strategy_gives_the_model_it_gives_over_single_sites(name: str) -> None:
    """Flower's own aggregation is the oracle; three rounds, in which rounding to 2**-20 may grow a little."""
    trial = Trial(3, *KINDS[0])
    trial.open()
    found = averaged(strategy_of(name, SETTINGS[name]), trial.start, 3, trial.mean)
    with identified():
        expected = plain(Trial(3, *KINDS[0]), strategy_of(name, SETTINGS[name]), trial.start, 3)
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found, expected, rtol=0, atol=50 * 2.0**-BITS)


def test_a_strategy_sees_one_reply_and_that_is_a_sum_of_all_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Message]] = []
    aggregate = FedAvg.aggregate_train

    def noting(self: FedAvg, server_round: int, replies: Iterable[Message]) -> Any:
        seen.append(list(replies))
        return aggregate(self, server_round, seen[-1])

    monkeypatch.setattr(FedAvg, "aggregate_train", noting)
    trial = Trial(3, *KINDS[0])
    trial.open()
    means: list[Mean] = []

    def mean_of(parameters: Floats) -> Mean:
        means.append(trial.mean(parameters))
        return means[-1]

    averaged(strategy_of("FedAvg", {}), trial.start, 2, mean_of)
    assert [len(replies) for replies in seen] == [1, 1]
    for (reply,), mean, round_ in zip(seen, means, (1, 2), strict=True):
        assert len(mean.contributors) >= 3
        told = reply.content.array_records["arrays"]["parameters"].numpy()
        assert told.tolist() == mean.parameters.tolist()
        assert list(reply.content) == ["arrays", "metrics"]
        for k in range(3):
            start = trial.start if round_ == 1 else means[0].parameters
            assert np.abs(told - trial.of_site(k, start, round_)).max() > 1e-3


@pytest.mark.parametrize("name", ["Krum", "FedMedian", "FedTrimmedAvg", "Bulyan", "QFedAvg"])
def test_strategies_that_compare_sites_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="only sums are known"):
        strategy_of(name, {})


def test_only_settings_of_the_server_may_be_set() -> None:
    assert set(STRATEGIES) == set(SETTINGS)
    with pytest.raises(ModelError, match="fraction_train"):
        strategy_of("FedAvg", {"fraction_train": 0.5})
    with pytest.raises(ModelError, match="tau"):
        strategy_of("FedAvg", {"tau": 0.5})
