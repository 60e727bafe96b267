"""A soak: every answer compared with batch scoring, while hosts are killed and started and models are published."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import psutil
from load import paced
from services import Process, free_port, start_serving
from world import HOSTS, PHRASE, World

from federation.errors import TransportError
from federation.transports.http import HttpWire
from federation.transports.memory import MemoryWire
from lab.governance.protection import PASSPHRASE
from lab.governance.publishing_record import PublishingRecord
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.nodes import job_in, scoring_endpoint
from lab.serving.publishing.folder import ShelfFolder
from lab.serving.publishing.publisher import PREPARE_SECONDS, Publisher
from lab.serving.publishing.stored import loaded_from

#: A host that is there again is asked again soon; a busy machine is no host that is down.
RULES = "[service]\nopen_seconds = 1.0\ndeadline_seconds = 1.0\n"


def expectations(worlds: Sequence[World]) -> dict[tuple[str, str], list[float]]:
    """Mode and digest of each model that may answer → probability of each row, by batch scoring in this process."""
    found = {}
    for world in worlds:
        loaded = loaded_from(world.bank)
        wire = MemoryWire({party: scoring_endpoint(world.host(party)).answer for party in HOSTS})
        assert loaded.bank_only
        for mode, calibrated in (("joint", loaded.joint), ("bank_only", loaded.bank_only)):
            results = score_table(calibrated.model, world.table, wire, calibrator=calibrated.calibrator)
            assert all(isinstance(result, Answer) for result in results)
            found[mode, calibrated.model.digest()] = [result.default_probability for result in results]
    return found


@dataclass
class Judge:
    """Attributes:
    expected: as ``expectations``.
    wrong: answers that batch scoring does not give, or that were told twice.
    """

    expected: dict[tuple[str, str], list[float]]
    n_rows: int
    n: int = 0
    wrong: int = 0
    seen: set[str] = field(default_factory=set)
    modes: dict[str, int] = field(default_factory=dict)
    models: set[str] = field(default_factory=set)

    def __call__(self, k: int, status: int, answer: Any) -> bool:
        if status != 200 or answer.get("default_probability") is None:
            return False
        self.n += 1
        row, digest = k % self.n_rows, answer["model"]["digest"]
        values = self.expected.get((answer["mode"], digest))
        right = (
            values is not None
            and answer["default_probability"] == values[row]
            and answer["application_id"] == f"application-{row}"
            and answer["score_id"] not in self.seen
        )
        self.seen.add(answer["score_id"])
        self.modes[answer["mode"]] = self.modes.get(answer["mode"], 0) + 1
        self.models.add(digest)
        self.wrong += not right
        return right


@dataclass
class Publishing:
    """By the real way: prepared at every host, then switched. The first two models replace each other; the third is now
    and then in the shadow.

    Attributes:
        published, refused: changes that came into force, and those that a host which was down kept from it.
    """

    publisher: Publisher
    worlds: Sequence[World]
    published: int = 0
    refused: int = 0
    _number: int = 0

    def change(self) -> None:
        """The next change; all hosts are there."""
        state = self.publisher.folder.in_force()
        if self._number % 4 == 2:
            self.publisher.trial(self.worlds[2].bank, "shadow", 1.0)
        elif state and state.challenger:
            self.publisher.end_trial()
        else:
            self._other_champion()
        self._number += 1
        self.published += 1

    def change_in_vain(self) -> None:
        """A host is down. Raises ``AssertionError`` if anything changes."""
        before = self.publisher.folder.in_force()
        try:
            self._other_champion()
        except TransportError:
            assert self.publisher.folder.in_force() == before
            self.refused += 1
        else:
            raise AssertionError("a model came into force although a host was down")

    def _other_champion(self) -> None:
        state = self.publisher.folder.in_force()
        for world in self.worlds[:2]:
            known = self.publisher.folder.folder(state.champion) if state else None
            if known is None or (known / "model.json").read_bytes() != (world.bank / "model.json").read_bytes():
                self.publisher.publish(world.bank)
                return


def soak(
    worlds: Sequence[World], seconds: float, rate: float, place: Path, log: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The soak's numbers, and what was done to the service meanwhile."""
    expected = expectations(worlds[:2])  # a shadow answers nobody
    bodies = [worlds[0].body(row) for row in range(len(worlds[0].table))]
    judge = Judge(expected, len(bodies))
    shelf = ShelfFolder(place / "shelf")
    rules = place / "soak.toml"
    rules.write_text(RULES, encoding="utf-8")
    hosts = {party: start_serving(worlds[0].host(party), log) for party in HOSTS}
    ports = {party: int(host.url.rpartition(":")[2]) for party, host in hosts.items()}
    urls = {party: host.url for party, host in hosts.items()}
    n_kills = 0
    held: list[float] = []

    def record(folder: Path) -> PublishingRecord:
        party = job_in(folder).party
        return PublishingRecord.of(party.node, party.party, party.party)

    async def strikes() -> None:
        nonlocal n_kills
        down = 6.0  # how long the last victim was: both hosts are there for as long
        until = time.monotonic() + seconds
        for number in itertools.count():
            both_up = time.monotonic()
            held.append(memory(service))
            while time.monotonic() <= min(both_up + down, until):
                await asyncio.to_thread(publishing.change)
                await asyncio.sleep(2.0)
            if time.monotonic() + 8.0 > until:
                return
            victim = HOSTS[number % len(HOSTS)]
            began = time.monotonic()
            await asyncio.to_thread(hosts[victim].kill)
            n_kills += 1
            await asyncio.to_thread(publishing.change_in_vain)
            await asyncio.sleep(1.0)
            hosts[victim] = await asyncio.to_thread(start_serving, worlds[0].host(victim), log, port=ports[victim])
            down = time.monotonic() - began

    try:
        with HttpWire(urls, deadline_seconds=PREPARE_SECONDS) as wire:
            publishing = Publishing(Publisher(shelf, wire, record), worlds)
            publishing.change()
            named = [part for party, url in urls.items() for part in ("--host", f"{party}={url}")]
            store = f"sqlite:///{place / 'soak.db'}"
            given = ("--rules", str(rules), "--store", store, *named)
            with start_serving(shelf.directory, log, *given, port=free_port(), **{PASSPHRASE: PHRASE}) as service:
                # Caches fill and all models are made ready first: what grows after that is a leak.
                url = f"{service.url}/v1/scores"
                for _ in range(8):
                    publishing.change()
                    warm = paced(url, bodies, rate, min(4.0, max(1.0, seconds / 60)), Judge(expected, len(bodies)))
                    asyncio.run(warm)
                before = memory(service)
                asked = asyncio.run(paced(url, bodies, rate, seconds, judge, strikes))
                grown = memory(service) - before
                in_shadow = shadow_scores(url)
    finally:
        for host in hosts.values():
            host.stop()
    n = len(asked.latencies)
    numbers = {"requests": n, "wrong": judge.wrong, "lost": n - judge.n, "rss_growth_mb": round(grown, 1)}
    done = {
        "shadow_scores": in_shadow,
        "published": publishing.published,
        "refused": publishing.refused,
        "host_kills": n_kills,
        "rss_mb": [round(mb, 1) for mb in held],
        "rss_growth_second_half_mb": round(held[-1] - held[len(held) // 2], 1),
    }
    return numbers, {"modes": judge.modes, "n_models": len(judge.models), **done}


def shadow_scores(url: str) -> int:
    """So many scores of a model on trial were compared with what was told."""
    lines = httpx.get(urljoin(url, "/metrics"), timeout=30.0, trust_env=False).text.splitlines()
    return round(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("lianmo_shadow_scores_total")))


def memory(service: Process) -> float:
    """MB resident of the service and its workers."""
    parent = psutil.Process(service.pid)
    return sum(p.memory_info().rss for p in (parent, *parent.children())) / 2**20
