"""Models are swapped at every party while scores are asked for: none is lost, none is wrong, none is of two models."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace

import pytest

from federation.script import run
from federation.transports.http import HttpWire
from federation.vertical.scoring.guest import score
from lab.serving.publishing.publisher import Publisher
from lab.serving.publishing.shelf import FollowingShelf
from models.errors import LianmoError
from tests.lab.serving.publishing.conftest import RUNS, Lab

N_ASKERS = 3


@dataclass
class Asker:
    """Asks for scores, one after the other, with whatever is in force when it begins."""

    shelf: FollowingShelf
    lab: Lab
    wire: HttpWire
    stop: threading.Event
    n_done: int = 0
    got: list[tuple[str, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def ask(self) -> None:
        table = self.lab.table(4)
        while not self.stop.is_set():
            model = self.shelf.held().champion.joint.model
            try:
                self.got.append((model.model_id, run(score(model, table), self.wire).margin.tobytes()))
            except LianmoError as error:
                self.lost.append(error.code)
            self.n_done += 1


@pytest.mark.slow
def test_no_score_is_lost_or_wrong_while_models_come_and_go(lab: Lab) -> None:
    with lab.hosts() as urls, lab.publisher(urls) as at_once, HttpWire(urls) as wire:
        at_once.publish(lab.bank("first"))
        shelf, stop = FollowingShelf(lab.shelf), threading.Event()
        askers = [Asker(shelf, lab, wire, stop) for _ in range(N_ASKERS)]

        def until_nobody_asks_as_before(_: float) -> None:
            """What the grace is for, without a clock: everybody has begun, and ended, after the switch."""
            while not shelf.look() and shelf._taken.number != lab.shelf.in_force().number:  # type: ignore[union-attr]
                pass
            counts = [asker.n_done for asker in askers]
            while any(asker.n_done < n + 2 for asker, n in zip(askers, counts, strict=True)):
                pass

        publisher: Publisher = replace(at_once, pause=until_nobody_asks_as_before)
        threads = [threading.Thread(target=asker.ask) for asker in askers]
        for thread in threads:
            thread.start()
        with shelf.following(0.01):
            for k in range(1, 7):
                publisher.publish(lab.bank(RUNS[k % 3]))
            publisher.rollback()
        stop.set()
        for thread in threads:
            thread.join()
        for name in RUNS:
            lab.shelf.add(lab.bank(name))
    expected = {}
    with lab.hosts() as urls, lab.publisher(urls) as publisher, HttpWire(urls) as wire:
        for name in RUNS:  # batch scoring afterwards, of one model at a time
            publisher.publish(lab.bank(name))
            model = lab.shelf.load(lab.shelf.add(lab.bank(name))).joint.model
            expected[model.model_id] = run(score(model, lab.table(4)), wire).margin.tobytes()
    got = [answer for asker in askers for answer in asker.got]
    assert not [code for asker in askers for code in asker.lost]
    assert {model for model, _ in got} == set(expected)
    assert all(margins == expected[model] for model, margins in got)
