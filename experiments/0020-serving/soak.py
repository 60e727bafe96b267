"""A soak: every answer compared with batch scoring, while a data node is killed and started and models are swapped."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from load import paced
from services import Bank, Process, free_port, start_bank, start_host
from world import HOSTS, PHRASE, World

from federation.transports.memory import MemoryWire
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing.stored import loaded_from
from lab.serving.rules import ServiceRules


def expectations(worlds: Sequence[World]) -> dict[str, list[float]]:
    """Digest of each model that may answer → probability of each row, by batch scoring in this process."""
    found = {}
    for world in worlds:
        loaded = loaded_from(world.bank)
        wire = MemoryWire({party: scoring_endpoint(world.host(party)).answer for party in HOSTS})
        assert loaded.bank_only
        for calibrated in (loaded.joint, loaded.bank_only):
            results = score_table(calibrated.model, world.table, wire, calibrator=calibrated.calibrator)
            assert all(isinstance(result, Answer) for result in results)
            found[calibrated.model.digest()] = [result.default_probability for result in results]
    return found


@dataclass
class Judge:
    """Attributes:
    expected: as ``expectations``.
    """

    expected: dict[str, list[float]]
    n_rows: int
    n: int = 0
    wrong: int = 0
    lost: int = 0
    seen: set[str] = field(default_factory=set)
    modes: dict[str, int] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)

    def __call__(self, k: int, status: int, answer: Any) -> bool:
        self.n += 1
        if status != 200 or answer.get("default_probability") is None:
            self.lost += 1
            return False
        row = k % self.n_rows
        values = self.expected.get(answer["model"]["digest"])
        right = (
            values is not None
            and answer["default_probability"] == values[row]
            and answer["application_id"] == f"application-{row}"
            and answer["score_id"] not in self.seen  # else one answer was told twice
        )
        self.seen.add(answer["score_id"])
        self.modes[answer["mode"]] = self.modes.get(answer["mode"], 0) + 1
        self.models.add(answer["model"]["digest"])
        self.wrong += not right
        return right


def soak(worlds: Sequence[World], seconds: float, rate: float, place: Path, log: Path) -> dict[str, Any]:
    """Numbers of the soak, and beside them what was done to the service."""
    expected = expectations(worlds)
    bodies = [worlds[0].body(row) for row in range(len(worlds[0].table))]
    judge = Judge(expected, len(bodies))
    swap = place / "served.txt"
    swap.write_text("0", encoding="utf-8")
    ports = {party: free_port() for party in HOSTS}
    hosts = {party: start_host([w.host(party) for w in worlds], log, ports[party]) for party in HOSTS}
    bank = Bank(
        tuple(w.bank for w in worlds),
        {party: host.url for party, host in hosts.items()},
        f"sqlite:///{place / 'soak.db'}",
        rules=ServiceRules(open_seconds=1.0),
        swap=swap,
    )
    n_kills, n_swaps = 0, 0
    try:
        with start_bank(bank, log, PHRASE) as service:

            async def strikes() -> None:
                nonlocal n_kills, n_swaps
                until = time.monotonic() + seconds
                for number in itertools.count(1):
                    step = min(max(seconds / 8, 2.0), 20.0)
                    if time.monotonic() + 2 * step > until:
                        return
                    await asyncio.sleep(step)
                    swap.write_text(str(number % len(worlds)), encoding="utf-8")
                    n_swaps += 1
                    victim = HOSTS[number % len(HOSTS)]
                    await asyncio.to_thread(hosts[victim].kill)
                    n_kills += 1
                    await asyncio.sleep(step / 2)
                    hosts[victim] = await asyncio.to_thread(
                        start_host, [w.host(victim) for w in worlds], log, ports[victim]
                    )

            # Caches fill and models are made ready first: what grows after that is a leak.
            url = f"{service.url}/v1/scores"
            warm = Judge(expected, len(bodies))
            asyncio.run(paced(url, bodies, rate, min(30.0, max(2.0, seconds / 10)), warm))
            before = memory(service)
            asyncio.run(paced(url, bodies, rate, seconds, judge, strikes))
            grown = memory(service) - before
    finally:
        for host in hosts.values():
            host.stop()
    numbers = {"requests": judge.n, "wrong": judge.wrong, "lost": judge.lost, "rss_growth_mb": round(grown, 1)}
    return {**numbers, "modes": judge.modes, "n_models": len(judge.models), "host_kills": n_kills, "swaps": n_swaps}


def memory(service: Process) -> float:
    """MB resident of the service and its workers."""
    parent = psutil.Process(service.pid)
    return sum(p.memory_info().rss for p in (parent, *parent.children())) / 2**20
