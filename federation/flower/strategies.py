"""Flower's strategies over sums of sites: what a strategy takes for its one node is the mean over all of them.

A ``Strategy`` (``flwr.serverapp.strategy``) drives the rounds through a ``Grid``. Ours has one node, and its reply to
a training message is the mean that the sites' sum gives, so that no strategy ever holds parameters of one site.
Strategies that compare nodes (Krum, medians, trimmed means) have nothing to compare: they are not offered.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi, Strategy
from flwr.supercore.task_identity import TaskIdentity

from federation.horizontal.averaging.coordinator import Mean
from models.errors import ModelError
from models.losses import Floats

STRATEGIES: Final[Mapping[str, type[FedAvg]]] = {
    kind.__name__: kind for kind in (FedAvg, FedAvgM, FedAdam, FedAdagrad, FedYogi)
}
#: What may be set of them; the rest is about nodes, of which there is one.
SETTINGS: Final = frozenset(("server_learning_rate", "server_momentum", "eta", "eta_l", "beta_1", "beta_2", "tau"))
#: Of the one node that stands for all sites.
_SITES: Final = 1
_NAME: Final = "parameters"

#: One round: parameters → the mean of what sites make of them.
Round = Callable[[Floats], Mean]


def strategy_of(name: str, settings: Mapping[str, float]) -> Strategy:
    """One of ``STRATEGIES`` with its own parameters, as Flower names them (``server_learning_rate``, ``tau``, …).

    Raises:
        ModelError: ``bad_parameter``.
    """
    if name not in STRATEGIES:
        raise _bad(
            f"strategy {name!r}; use {', '.join(STRATEGIES)}: others compare single sites, and only sums are known",
            f"策略 {name!r}，请使用 {'、'.join(STRATEGIES)}；其他策略需比较单个站点，而此处仅有总和",
        )
    ours: dict[str, Any] = {
        "fraction_train": 1.0,
        "fraction_evaluate": 0.0,
        "min_train_nodes": 1,
        "min_available_nodes": 1,
    }
    if unknown := sorted(set(settings) - SETTINGS):
        raise _bad(f"{', '.join(unknown)} of {name}", f"{name} 的参数 {'、'.join(unknown)}")
    try:
        with _quiet():
            return STRATEGIES[name](**{**ours, **settings})
    except TypeError as error:
        raise _bad(f"settings of {name}: {error}", f"{name} 的参数：{error}") from None


def averaged(strategy: Strategy, start: Floats, n_rounds: int, mean_of: Round) -> Floats:
    """The parameters after ``n_rounds`` of ``strategy``, begun at ``start``; raises what ``mean_of`` does."""
    with _quiet(), identified():
        result = strategy.start(SumsGrid(mean_of), _record(start), num_rounds=n_rounds)
    return _vector(result.arrays)


class SumsGrid(Grid):
    """A grid of one node, which is the sum over all sites."""

    def __init__(self, mean_of: Round) -> None:
        self._mean_of = mean_of

    def get_node_ids(self) -> Iterable[int]:
        return [_SITES]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:  # noqa: ARG002
        return [self._answered(message) for message in messages]

    def _answered(self, message: Message) -> Message:
        mean = self._mean_of(_vector(next(iter(message.content.array_records.values()))))
        # The mean is of all rows already: whatever it is weighed by, it is the only one.
        metrics = MetricRecord({"num-examples": max(1, mean.n_rows)})
        return Message(RecordDict({"arrays": _record(mean.parameters), "metrics": metrics}), reply_to=message)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        raise NotImplementedError("Flower's strategies make messages themselves")

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError("sums are asked for and awaited at once")

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError("sums are asked for and awaited at once")

    def set_run(self, run: Any) -> None:
        raise NotImplementedError("no run of Flower's stands behind this grid")

    @property
    def run(self) -> Any:
        raise NotImplementedError("no run of Flower's stands behind this grid")


@contextmanager
def _quiet() -> Iterator[None]:
    """Flower's strategies print their progress; ours is shown elsewhere."""
    log = logging.getLogger("flwr")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


@contextmanager
def identified() -> Iterator[None]:
    """Flower's messages name the task that makes them; a process that is none of Flower's gets names for as long."""
    before = {name: getattr(TaskIdentity, name) for name in ("_task_id", "_run_id", "_node_id")}
    if None in before.values():
        TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = _SITES
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(TaskIdentity, name, value)


def _record(parameters: Floats) -> ArrayRecord:
    return ArrayRecord({_NAME: Array(np.asarray(parameters, dtype=np.float64))})


def _vector(arrays: ArrayRecord) -> Floats:
    found: Floats = arrays[_NAME].numpy().astype(np.float64)
    return found


def _bad(english: str, chinese: str) -> ModelError:
    return ModelError("bad_parameter", f"This cannot be averaged: {english}.", f"无法平均：{chinese}。")
