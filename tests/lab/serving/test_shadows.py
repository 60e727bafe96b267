"""A model in the shadow, through the real service: asked once the answer is out, never in its way, and as batch
scoring has it."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from federation.codec import decode
from federation.errors import TransportError
from federation.transports.async_http import AsyncHttpWire
from federation.transports.memory import MemoryWire
from federation.vertical.scoring.host import ALLOWED
from federation.vertical.scoring.messages import Wanted
from lab.cli import app as commands
from lab.governance.keys import KeyStore
from lab.governance.node_log import open_log
from lab.governance.protection import PASSPHRASE
from lab.governance.scoring_record import ScoringRecord
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.guest_api import create_guest_app
from lab.serving.loaded import Calibrated, Loaded
from lab.serving.nodes import scoring_endpoint
from lab.serving.publishing.folder import Challenger, InForce
from lab.serving.publishing.shadow import FILE, ShadowBook
from lab.serving.publishing.shelf import FollowingShelf
from lab.serving.rules import ServiceRules
from lab.serving.server import running
from lab.serving.shadows import Shadows
from models.bundle import load, save
from tests.lab.governance.test_session_record import WORDS
from tests.lab.serving.conftest import PATIENT
from tests.lab.serving.publishing.conftest import COURT, TAX, Lab, lab, trained  # noqa: F401 - fixtures
from tests.signing import cheap_keys

SECONDS = 30.0
PAUSE = threading.Event()
N = 12


@pytest.fixture
def on_trial(lab: Lab) -> Lab:  # noqa: F811
    """The first model in force, the second in its shadow."""
    with lab.hosts() as urls, lab.publisher(urls) as publisher:
        publisher.publish(lab.bank("first"))
        publisher.trial(lab.bank("second"), "shadow", 1.0)
    return lab


def both(lab: Lab) -> tuple[Loaded, Loaded]:  # noqa: F811
    """The champion and the challenger."""
    state = lab.shelf.in_force()
    assert state
    assert state.challenger
    return lab.shelf.load(state.champion), lab.shelf.load(state.challenger.version)


def body(lab: Lab, row: int) -> dict[str, Any]:  # noqa: F811
    table = lab.table(N)
    features = {name: float(column[row]) for name, column in table.columns.items()}
    return {"application_id": f"a-{row}", "applicant_id": table.ids[row], "features": features}


def by_batch(lab: Lab, calibrated: Calibrated | None, wire: MemoryWire) -> list[float]:  # noqa: F811
    assert calibrated
    found = score_table(calibrated.model, lab.table(N), wire, calibrator=calibrated.calibrator)
    return [answer.default_probability for answer in found if isinstance(answer, Answer)]


def memory_wire(lab: Lab) -> MemoryWire:  # noqa: F811
    return MemoryWire({party: scoring_endpoint(lab.host("second", party)).answer for party in (TAX, COURT)})


def counted(text: str, name: str) -> dict[str, float]:
    """A counter of ``/metrics``: its label → how many."""
    return {
        next(iter(sample.labels.values()), ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def until(done: Any) -> None:
    for _ in range(int(SECONDS / 0.02)):
        if done():
            return
        PAUSE.wait(0.02)
    raise AssertionError("not done")


@dataclass
class Wire:
    """The nodes in this process; what a model on trial wants to know waits until ``free`` is set."""

    nodes: MemoryWire
    free: asyncio.Event = field(default_factory=asyncio.Event)
    dead: bool = False
    asked: list[Wanted] = field(default_factory=list)

    async def ask(self, party: str, frame: bytes, seconds: float) -> bytes:
        if self.dead:
            raise TransportError(party, "party_absent", "It is away.", "不在线。")
        message = decode(frame, "bank", allowed=ALLOWED)
        if isinstance(message, Wanted):
            self.asked.append(message)
            if message.shadow:
                await self.free.wait()
        return self.nodes.exchange({party: frame})[party]


@dataclass
class Service:
    """In one event loop, without a port."""

    caller: httpx.AsyncClient
    app: Any

    async def score(self, path: str, content: Any, **headers: str) -> Any:
        async with asyncio.timeout(SECONDS):
            told = await self.caller.post(path, json=content, headers=headers)
        assert told.status_code == 200, told.text
        return told.json()

    async def metrics(self, name: str) -> dict[str, float]:
        return counted((await self.caller.get("/metrics")).text, name)

    async def until(self, name: str, wanted: dict[str, float]) -> None:
        async with asyncio.timeout(SECONDS):
            while await self.metrics(name) != wanted:
                await asyncio.sleep(0)


def service_of(
    lab: Lab,  # noqa: F811
    wire: Wire,
    rules: ServiceRules = PATIENT,
    record: ScoringRecord | None = None,
) -> Service:
    app = create_guest_app(FollowingShelf(lab.shelf), wire, rules=rules, record=record)
    return Service(httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service"), app)


SCORES, LEFT_OUT = "lianmo_shadow_scores_total", "lianmo_shadow_left_out_total"


def test_end_to_end_over_http_the_shadow_says_what_batch_scoring_says(on_trial: Lab, tmp_path: Path) -> None:
    champion, challenger = both(on_trial)
    with ExitStack() as stack:
        urls = stack.enter_context(on_trial.hosts())
        app = create_guest_app(FollowingShelf(on_trial.shelf), AsyncHttpWire(urls), rules=PATIENT)
        caller = stack.enter_context(httpx.Client(base_url=stack.enter_context(running(app)), trust_env=False))
        told = [caller.post("/v1/scores", json=body(on_trial, row)).json() for row in range(N)]
        until(lambda: counted(caller.get("/metrics").text, SCORES) == {"joint": N})
        wire = memory_wire(on_trial)
        expected = [by_batch(on_trial, loaded.joint, wire) for loaded in (champion, challenger)]
    assert [answer["default_probability"] for answer in told] == expected[0]
    assert {answer["model"]["digest"] for answer in told} == {champion.joint.model.digest()}
    state = on_trial.shelf.in_force()
    assert state
    assert state.challenger
    pairs = ShadowBook(on_trial.shelf).pairs(state.challenger.version, state.champion)
    assert sorted(map(tuple, pairs["joint"].probabilities.tolist())) == sorted(zip(*expected, strict=True))
    figure = tmp_path / "moves.svg"
    words = ["models", "compare", "--shelf", str(on_trial.shelf.directory), "--figure", str(figure)]
    found = json.loads(CliRunner().invoke(commands, [*words, "--json"]).stdout)["joint"]
    assert found["n"] == N
    assert found["champion"] == pytest.approx(np.mean(expected[0]))
    assert found["challenger"] == pytest.approx(np.mean(expected[1]))
    assert figure.stat().st_size > 1000
    shown = CliRunner().invoke(commands, words).stdout
    assert f"{N} applications" in shown


def test_a_shadow_that_hangs_delays_nobody_and_what_is_too_much_is_dropped_and_counted(on_trial: Lab) -> None:
    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        service = service_of(on_trial, wire, PATIENT.model_copy(update={"shadow_waiting": 4}))
        for row in range(N):  # each answered while the first shadow question has no reply yet
            assert (await service.score("/v1/scores", body(on_trial, row)))["mode"] == "joint"
        assert await service.metrics(SCORES) == {}
        assert await service.metrics("lianmo_shadow_waiting") == {"": 4.0}
        assert await service.metrics(LEFT_OUT) == {"behind": N - 4.0}
        wire.free.set()
        await service.until(SCORES, {"joint": 4.0})
        assert await service.metrics("lianmo_shadow_waiting") == {"": 0.0}
        assert sum(wanted.shadow for wanted in wire.asked) == 2 * 4  # two hosts
        assert sum(not wanted.shadow for wanted in wire.asked) == 2 * N

    asyncio.run(run())


def test_nothing_is_asked_before_the_answer_has_gone_out(on_trial: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []

    async def offered(*_: Any) -> None:
        happened.append("shadow")

    monkeypatch.setattr(Shadows, "offer", offered)

    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        wire.free.set()
        app = create_guest_app(FollowingShelf(on_trial.shelf), wire, rules=PATIENT)
        content = json.dumps(body(on_trial, 0)).encode()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/scores",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        waiting = [{"type": "http.request", "body": content, "more_body": False}]

        async def send(message: Any) -> None:
            happened.append(message["type"])

        async def receive() -> Any:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        await app(scope, receive, send)

    asyncio.run(run())
    assert happened == ["http.response.start", "http.response.body", "shadow"]


def test_a_batch_is_one_question_and_a_repeated_call_none(on_trial: Lab) -> None:
    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        wire.free.set()
        service = service_of(on_trial, wire)
        batch = {"applications": [body(on_trial, row) for row in range(N)]}
        first, again = [await service.score("/v1/scores:batch", batch, **{"idempotency-key": "k-1"}) for _ in range(2)]
        assert first == again
        await service.until(SCORES, {"joint": float(N)})
        asked = [wanted for wanted in wire.asked if wanted.shadow]
        assert len(asked) == 2
        assert len({wanted.request for wanted in wire.asked}) == 2  # a name of its own
        state = on_trial.shelf.in_force()
        assert state
        assert state.challenger
        (pairs,) = ShadowBook(on_trial.shelf).pairs(state.challenger.version, state.champion).values()
        found = [by_batch(on_trial, loaded.joint, wire.nodes) for loaded in both(on_trial)]
        assert pairs.probabilities.T.tolist() == found

    asyncio.run(run())


def test_where_the_bank_answered_alone_its_own_models_are_compared_and_nobody_is_asked(on_trial: Lab) -> None:
    async def run() -> None:
        wire = Wire(memory_wire(on_trial), dead=True)
        service = service_of(on_trial, wire)
        for row in range(N):
            assert (await service.score("/v1/scores", body(on_trial, row)))["mode"] == "bank_only"
        await service.until(SCORES, {"bank_only": float(N)})
        assert wire.asked == []
        assert await service.metrics("lianmo_shadow_party_failures_total") == {}
        state = on_trial.shelf.in_force()
        assert state
        assert state.challenger
        pairs = ShadowBook(on_trial.shelf).pairs(state.challenger.version, state.champion)["bank_only"]
        assert pairs.probabilities.T.tolist() == [
            by_batch(on_trial, loaded.bank_only, wire.nodes) for loaded in both(on_trial)
        ]

    asyncio.run(run())


def test_the_banks_log_has_a_shadow_under_the_name_the_hosts_know_and_apart_from_what_was_told(
    on_trial: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap_keys(monkeypatch)
    monkeypatch.setenv(PASSPHRASE, WORDS)
    node = tmp_path / "bank-node"
    node.mkdir(mode=0o700)
    KeyStore(node / "keys", cost=2**14).generate("bank", "international", WORDS, ["signing"])
    log = open_log(node, WORDS)
    log.begin("Wang")
    told: list[str] = []
    wire = Wire(memory_wire(on_trial))

    async def run() -> None:
        wire.free.set()
        record = ScoringRecord.of(node, "bank", "bank", "loans")
        service = service_of(on_trial, wire, record=record)
        for row in range(3):
            told.append((await service.score("/v1/scores", body(on_trial, row)))["score_id"])
        await service.until(SCORES, {"joint": 3.0})

    asyncio.run(run())
    champion, challenger = (loaded.joint.model.model_id for loaded in both(on_trial))
    answered, aside = (
        [entry.references for entry in log.entries(kind)] for kind in ("score_answered", "shadow_answered")
    )
    assert [(e["score"], e["model"]) for e in answered] == [(score, champion) for score in told]
    assert [(e["request"], e["model"]) for e in aside] == [(score, challenger) for score in told]
    assert {e["score"] for e in aside} == {wanted.request for wanted in wire.asked if wanted.shadow}
    assert {e["purpose"] for e in aside} == {"loan_model"}


def forbid(lab: Lab, party: str) -> None:  # noqa: F811
    """As a host's section has it that says nothing of shadows."""
    for run in ("first", "second"):
        path = lab.host(run, party) / "job.json"
        job = load(path)
        save(path, {**job, "party": {**job["party"], "shadow": None}})


def test_a_host_that_forbids_it_is_not_asked_again_in_the_way_of_answers(on_trial: Lab) -> None:
    forbid(on_trial, COURT)

    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        wire.free.set()
        service = service_of(on_trial, wire)
        for row in range(N):
            assert (await service.score("/v1/scores", body(on_trial, row)))["mode"] == "joint"
        await service.until(LEFT_OUT, {"policy": float(N)})
        assert await service.metrics(SCORES) == {}

    asyncio.run(run())


def test_breakers_of_answers_and_of_shadows_are_apart(on_trial: Lab) -> None:
    """Else a shadow that is too much for a host would turn answers into those of the bank alone."""

    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        service = service_of(on_trial, wire, PATIENT.model_copy(update={"failures_to_open": 1}))
        asked = wire.ask

        async def failing(party: str, frame: bytes, seconds: float) -> bytes:
            message = decode(frame, "bank", allowed=ALLOWED)
            if isinstance(message, Wanted) and message.shadow:
                raise TransportError(party, "party_timeout", "Too slow.", "超时。")
            return await asked(party, frame, seconds)

        wire.ask = failing  # type: ignore[method-assign]
        for row in range(N):
            assert (await service.score("/v1/scores", body(on_trial, row)))["mode"] == "joint"
        async with asyncio.timeout(SECONDS):
            while sum((await service.metrics(LEFT_OUT)).values()) < N:
                await asyncio.sleep(0)
        assert set(await service.metrics(LEFT_OUT)) == {"party_timeout", "party_suspended"}
        assert set((await service.metrics("lianmo_party_asked")).values()) == {1.0}
        assert await service.metrics("lianmo_party_failures_total") == {}

    asyncio.run(run())


def test_a_trial_that_is_over_leaves_no_book_behind(on_trial: Lab) -> None:
    state = on_trial.shelf.in_force()
    assert state
    assert state.challenger
    version = state.challenger.version

    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        service = service_of(on_trial, wire)  # does not follow the shelf here: it began before the trial's end
        await service.score("/v1/scores", body(on_trial, 0))
        with on_trial.hosts() as urls, on_trial.publisher(urls) as publisher:
            publisher.end_trial()
        wire.free.set()
        await service.until(LEFT_OUT, {"not_kept": 1.0})

    asyncio.run(run())
    assert not on_trial.shelf.folder(version).exists()


def test_a_share_of_applications_is_scored_in_the_shadow(on_trial: Lab) -> None:
    state = on_trial.shelf.in_force()
    assert state
    assert state.challenger
    on_trial.shelf.switch(InForce(state.champion, None, Challenger(state.challenger.version, "shadow", 0.5)))
    shelf = FollowingShelf(on_trial.shelf)
    chosen = [row for row in range(N) if shelf.held().tried("shadow", f"a-{row}")]
    assert 0 < len(chosen) < N

    async def run() -> None:
        wire = Wire(memory_wire(on_trial))
        wire.free.set()
        service = service_of(on_trial, wire)
        for row in range(N):
            await service.score("/v1/scores", body(on_trial, row))
        await service.until(SCORES, {"joint": float(len(chosen))})

    asyncio.run(run())
    kept = (on_trial.shelf.folder(state.challenger.version) / FILE).read_text()
    table = on_trial.table(N)
    assert not any(name in kept for name in table.ids)
