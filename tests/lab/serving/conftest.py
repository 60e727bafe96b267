"""A bank and two data nodes with one small model, trained in memory, and their services on loopback."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from federation.ciphers.suite import CipherRules, secret_cipher
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import Wire, run
from federation.transports.http import FRAME_TYPE, HttpWire
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.guest import Arrangement, Trained, TrainingJob, train
from federation.vertical.host import ALLOWED as TRAINING
from federation.vertical.host import TrainingHost
from federation.vertical.scoring.host import ALLOWED as SCORING
from federation.vertical.scoring.host import ScoringHost
from lab.serving.access.guard import Guard
from lab.serving.decisions import Decider
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.loaded import Calibrated, Loaded, OneModel, Published
from lab.serving.rules import ServiceRules
from lab.serving.server import running
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel
from models.table import Table

BANK, TAX, TELECOM = "bank", "host:tax", "host:电信"
N_ROWS = 400
#: Applicants from this row on are not known to the tax node.
N_AT_TAX = 360
RULES = CipherRules(insecure_allow_plaintext=True)
FRAME = {"content-type": FRAME_TYPE}
#: A machine that does other things too must not look like a party that is down.
PATIENT = ServiceRules(deadline_seconds=10.0)
POLICY = HostPolicy(min_rows_per_bin=1, min_rows=10, cipher=RULES)


@dataclass(slots=True)
class RecordingWire:
    """Another wire, and every frame that passed it."""

    wire: Wire
    seen: list[bytes] = field(default_factory=list)

    def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
        replies = self.wire.exchange(frames)
        self.seen += [*frames.values(), *replies.values()]
        return replies


@dataclass(slots=True)
class World:
    """Who holds what; ``hosts`` answer for the halves of the trained model."""

    table: Table
    trained: Trained
    hosts: dict[str, ScoringHost]

    @property
    def model(self) -> JointModel:
        return self.trained.fitted.model

    def endpoint(self, party: str) -> Endpoint:
        return Endpoint(self.hosts[party], BANK, SCORING)

    def memory_wire(self) -> MemoryWire:
        return MemoryWire({party: self.endpoint(party).answer for party in self.hosts})

    def shelf(
        self, bank_only: Calibrated | None = None, model: JointModel | None = None, **words: tuple[str, str]
    ) -> OneModel:
        """The trained model, or another, as it is served; ``words`` are the bank's."""
        named, joint = Published("loans", "7", "champion"), Calibrated(model=model or self.model)
        return OneModel(Loaded(published=named, joint=joint, bank_only=bank_only, words=words))

    def app(
        self,
        guard: Guard | None = None,
        wire: Wire | None = None,
        model: JointModel | None = None,
        decider: Decider | None = None,
    ) -> FastAPI:
        """The bank's service behind ``guard``; without a wire both nodes answer in this process."""
        over = ThreadedWire(wire or self.memory_wire())
        return create_guest_app(self.shelf(model=model), over, rules=PATIENT, guard=guard, decider=decider)

    def body(self, row: int, **features: Any) -> dict[str, Any]:
        """What a caller sends for the applicant in ``row``; ``features`` replace the table's."""
        values = {name: plain(column[row]) for name, column in self.table.columns.items()}
        return {
            "application_id": f"application-{row}",
            "applicant_id": self.table.ids[row],
            "features": values | features,
        }


@dataclass(slots=True)
class Service:
    """The bank's service with both nodes behind it over HTTP."""

    caller: httpx.Client
    host_urls: dict[str, str]
    wire: RecordingWire

    def score(self, body: Mapping[str, Any], **headers: str) -> httpx.Response:
        # json.dumps writes NaN and Infinity, as careless callers do.
        headers = {"content-type": "application/json", **headers}
        return self.caller.post("/v1/scores", content=json.dumps(body), headers=headers)


def ask(app: FastAPI, method: str, path: str, **request: Any) -> httpx.Response:
    """One request to ``app`` without a port."""

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as session:
            return await session.request(method, path, **request)

    return asyncio.run(once())


def plain(value: Any) -> Any:
    """A cell as JSON has it: null for missing."""
    return None if value is None or value != value else value


def problem_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem in ``response``, which is checked to be one, in both languages."""
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert (response.status_code, told["status"], told["code"]) == (status, status, code)
    assert told["type"] == f"urn:lianmo:problem:{code}"
    assert told["title"]
    assert re.match("[A-Z][a-z]* [a-z]|host:", told["detail"])
    assert re.search("[一-鿿]{3}", told["detail_zh"])
    assert told["request_id"] == response.headers["x-request-id"]
    return told


def degraded_of(response: httpx.Response, mode: str, code: str) -> dict[str, Any]:
    """Why the answer in ``response`` is not a joint one, in both languages."""
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    why: dict[str, Any] = told["degraded_reason"]
    assert (told["mode"], why["code"]) == (mode, code)
    nobody = mode == "refer"
    assert all((told[name] is None) == nobody for name in ("default_probability", "calibration", "points", "band"))
    assert told["parties_used"] == ([] if nobody else [BANK])
    assert told["decision"] == ("refer" if nobody else None)
    assert re.search("[a-z]{3}", why["text"])
    assert re.search("[一-鿿]{3}", why["text_zh"])
    return why


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=(N_ROWS, 5))
    numbers[rng.random(numbers.shape) < 0.05] = np.nan
    job_of = np.array([["clerk", "农民", "driver", None][i] for i in rng.integers(0, 4, N_ROWS)], dtype=object)
    risk = np.nan_to_num(numbers) @ np.array([1.0, -0.8, 0.9, -0.7, 0.6]) + (job_of == "clerk")
    label = (risk + rng.normal(size=N_ROWS) > 0.3).astype(float)
    ids = tuple(f"applicant-{i:05d}" for i in range(N_ROWS))
    table = Table(ids, {"Amount": numbers[:, 0], "Price": numbers[:, 1], "职业": job_of})
    order = rng.permutation(N_ROWS)
    tax = Table(ids, {"Income": numbers[:, 2], "Debt": numbers[:, 3]}).take(order[order < N_AT_TAX])
    telecom = Table(ids, {"Calls": numbers[:, 4]}).take(rng.permutation(N_ROWS))
    trainers = {TAX: TrainingHost(TAX, tax, POLICY), TELECOM: TrainingHost(TELECOM, telecom, POLICY)}
    job = TrainingJob(
        model_id="loans-7",
        party=BANK,
        table=table,
        label=label,
        hosts=(TAX, TELECOM),
        parameters=BoostingParameters(n_estimators=8, max_depth=3, max_bin=12, min_child_samples=5),
        new_cipher=lambda n: secret_cipher("plain", 2048, RULES, n),
        arrange=lambda rows: Arrangement(rows, len(rows), 0),
    )
    trained = run(train(job), MemoryWire({p: Endpoint(h, BANK, TRAINING).answer for p, h in trainers.items()}))
    hosts = {}
    for party, trainer in trainers.items():
        assert trainer.half
        assert trainer.half.splits
        hosts[party] = ScoringHost(trainer.table, {"loans-7": trainer.half}, POLICY)
    return World(table, trained, hosts)


@pytest.fixture(scope="session")
def service(world: World) -> Iterator[Service]:
    with ExitStack() as stack:
        urls = {p: stack.enter_context(running(create_host_app(world.endpoint(p)))) for p in world.hosts}
        wire = RecordingWire(stack.enter_context(HttpWire(urls)))
        app = create_guest_app(world.shelf(), ThreadedWire(wire), rules=PATIENT)
        url = stack.enter_context(running(app))
        caller = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
        yield Service(caller, urls, wire)
