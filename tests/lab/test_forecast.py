"""What a tree will cost is told from announced work: held against the work that is then done."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import federation.vertical.sums as sums_module
from federation.ciphers.plain import PlainSecret
from federation.endpoint import Endpoint
from federation.messages import Message
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from federation.vertical.boosting.host import BoostingHost
from federation.vertical.boosting.messages import Gradients, Sums
from lab.forecast import Forecast, forecast, tree_work
from models.boosting.grouping import parts_of
from models.boosting.parameters import BoostingParameters
from tests.builders import BANK, BOOSTING_ALLOWED, PLAIN, vertical_problem
from tests.federation.vertical.test_oracle import cut_in

N_FIT = 1500
BASE = BoostingParameters(n_estimators=3, max_depth=5, min_child_samples=5, max_bin=16)


def done(p: BoostingParameters, monkeypatch: pytest.MonkeyPatch) -> tuple[JointBoosting, Forecast, dict[str, float]]:
    """A run with one host: the forecast, and per joint tree what it then came to."""
    whole = vertical_problem(2000)
    bank, tax = cut_in(whole.whole, 2, 4)
    host = BoostingHost("host:a", tax, HostPolicy(1, min_rows=1, cipher=PLAIN))
    told: list[tuple[JointBoosting, Forecast]] = []
    boosting = JointBoosting(
        "m",
        BANK,
        TrainingRows(bank, whole.label, N_FIT),
        ("host:a",),
        PlainSecret(),
        p,
        opened=lambda b: told.append((b, forecast(b))),
    )
    seen = {"additions": 0.0, "sums": 0.0, "bytes": 0.0, "trees": 0.0}

    def counted(*arguments: object) -> object:
        parts = parts_of(*arguments)
        seen["additions"] += sum(part.n_additions for part in parts)
        return parts

    def witness(_sender: str, _receiver: str, message: Message, size: int) -> None:
        if isinstance(message, Sums):
            shown = np.unpackbits(np.frombuffer(message.flags, np.uint8))
            n_candidates = len(host._work.candidates)
            shown = shown[: len(shown) // (3 * n_candidates) * 3 * n_candidates].reshape(-1, 3, n_candidates)
            seen["sums"] += shown[:, 0].sum()
        seen["trees"] += isinstance(message, Gradients)
        seen["bytes"] += size if isinstance(message, Sums | Gradients) else 0

    monkeypatch.setattr(sums_module, "parts_of", counted)
    run(boosting.fit(), MemoryWire({"host:a": Endpoint(host, BANK, BOOSTING_ALLOWED).answer}), witness)
    return *told[0], {**{k: v / seen["trees"] for k, v in seen.items()}, "trees": seen["trees"]}


CASES = [
    {},
    {"max_depth": 3},
    {"max_depth": 12, "num_leaves": 4},
    {"max_depth": 12, "num_leaves": 31},
    {"max_depth": 4, "num_leaves": 12},
    {"num_leaves": 16, "first_trees_guest_only": 2},
    {"num_leaves": 2},
    {"bagging_fraction": 0.5},
]


@pytest.mark.parametrize("changes", CASES, ids=str)
def test_a_tree_is_about_the_work_that_was_told(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    p = replace(BASE, **changes)
    boosting, expected, found = done(p, monkeypatch)
    work = tree_work(boosting.terms["host:a"], p)
    assert 0.5 < work.n_additions / found["additions"] < 1.5
    assert 0.5 < work.n_sums / found["sums"] < 1.5
    assert expected.bytes_per_tree == pytest.approx(found["bytes"], rel=0.02)
    assert expected.n_trees == found["trees"]


def test_few_leaves_are_told_to_cost_less_than_a_full_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    boosting, _, _ = done(BASE, monkeypatch)
    terms = boosting.terms["host:a"]
    full = tree_work(terms, replace(BASE, max_depth=12))
    few = tree_work(terms, replace(BASE, max_depth=12, num_leaves=31))
    assert few.n_sums < full.n_sums / 50
    assert few.n_additions < full.n_additions * 0.6
    assert tree_work(terms, replace(BASE, num_leaves=4096)) == tree_work(terms, BASE)


def test_trees_without_hosts_cost_nothing() -> None:
    expected = Forecast(2.0, 10_000_000, 50, {"bank": 500.0, "host:a": 1200.0})
    english, chinese = expected.note(60)
    assert "50 of 60 trees with hosts: 100 s, 500 MB, 1.2 GB" in english
    assert "共 60 棵树，其中数据方参与的 50 棵约 100 秒、传输 500 MB" in chinese
    assert "; 50 trees: 100 s" in expected.note(50)[0]


def test_a_bank_alone_has_no_joint_trees() -> None:
    whole = vertical_problem(400)
    told: list[Forecast] = []
    boosting = JointBoosting(
        "m",
        BANK,
        TrainingRows(whole.whole, whole.label, 300),
        (),
        PlainSecret(),
        BASE,
        opened=lambda b: told.append(forecast(b)),
    )
    run(boosting.fit(), MemoryWire({}))
    assert told[0].n_trees == 0
