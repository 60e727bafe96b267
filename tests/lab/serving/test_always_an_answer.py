"""Whatever the other parties do, every application is answered, and the answer says how: over real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from federation.ciphers.plain import PlainSecret
from federation.codec import decode, encode
from federation.endpoint import Endpoint
from federation.errors import TransportError
from federation.messages import Failure
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.async_http import AsyncHttpWire
from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from federation.vertical.boosting.guest import JointBoosting, TrainingRows
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import Wanted
from lab.serving.answers import Answer, Told
from lab.serving.batch import score_table
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.loaded import Calibrated
from lab.serving.rules import ServiceRules
from lab.serving.server import running
from lab.serving.store import AnswerStore
from models.boosting.parameters import BoostingParameters
from models.validation.calibrators import PlattCalibrator
from tests.lab.serving.conftest import BANK, N_AT_TAX, N_ROWS, TAX, TELECOM, Service, World, degraded_of, problem_of

#: A deadline long enough for a busy machine where nobody is slow.
LONG = 10.0


@pytest.fixture(scope="module")
def alone(world: World) -> Calibrated:
    """The bank's own model, calibrated apart."""
    label = (np.nan_to_num(world.table.columns["Amount"].astype(float)) > 0.1).astype(float)
    rows = TrainingRows(world.table, label, N_ROWS, 0)
    parameters = BoostingParameters(n_estimators=5, max_depth=3, min_child_samples=5)
    fitted = run(JointBoosting("alone", BANK, rows, (), PlainSecret(), parameters).fit(), MemoryWire({}))
    return Calibrated(model=fitted.model, calibrator=PlattCalibrator(0.2, 0.7), calibration="out_of_fold")


def expected(world: World, alone: Calibrated, row: int) -> tuple[float, str]:
    """What the bank's own model says, by batch scoring of it alone and its calibrator."""
    assert alone.calibrator
    fitted = alone.model
    routes = {BANK: fitted.own.routes(world.table.take(np.array([row])))}  # type: ignore[union-attr]
    margin = fitted.walk.margins(fitted.base_margin, fitted.walk.sides(routes, 1))  # type: ignore[union-attr]
    probability = float(alone.calibrator.apply(margin)[0])
    return probability, fitted.digest()


@contextmanager
def calling(app: FastAPI) -> Iterator[httpx.Client]:
    with running(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as caller:
        yield caller


def rules(**given: object) -> ServiceRules:
    return ServiceRules.model_validate({"deadline_seconds": LONG, **given})


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a party that takes calls and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_dead_party_is_stood_in_for_by_the_banks_own_model_and_soon_not_asked(
    world: World, service: Service, alone: Calibrated, silent: str
) -> None:
    wire = AsyncHttpWire(service.host_urls | {TAX: silent})
    app = create_guest_app(
        world.shelf(alone), wire, rules=rules(deadlines={TAX: 0.2}, failures_to_open=2, open_seconds=60)
    )
    with calling(app) as caller:
        answers = [caller.post("/v1/scores", json=world.body(row)) for row in range(4)]
        assert [degraded_of(a, "bank_only", c)["parties"] for a, c in zip(answers, CODES, strict=True)] == [[TAX]] * 4
        for row, answer in enumerate(answers):
            told = answer.json()
            probability, digest = expected(world, alone, row)
            assert (told["default_probability"], told["model"]["digest"]) == (probability, digest)
            assert told["latency_ms"] < (5000 if row < 2 else 200)
        ready = caller.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["status"] == "degraded"
        asked = {party["party"]: party["asked"] for party in ready.json()["parties"]}
        assert asked == {TAX: "open", TELECOM: "closed"}
        counted = caller.get("/metrics").text
    assert 'lianmo_scores_total{alias="champion",mode="bank_only"} 4.0' in counted
    assert 'lianmo_scores_degraded_total{code="party_suspended"} 2.0' in counted
    assert f'lianmo_party_failures_total{{code="party_timeout",party="{TAX}"}} 2.0' in counted
    assert f'lianmo_party_asked{{party="{TAX}"}} 0.0' in counted


CODES = ("party_timeout", "party_timeout", "party_suspended", "party_suspended")


@dataclass
class Counting:
    """A host behind a switch, and how often it was asked.

    Attributes:
        falters: what it does instead of answering the second message of a question; None: it answers.
    """

    endpoint: Endpoint
    up: bool = True
    n_asked: int = 0
    falters: Callable[[], bytes] | None = None

    def answer(self, frame: bytes) -> tuple[bytes, bool]:
        self.n_asked += 1
        if not self.up:
            raise broken()
        if self.falters and isinstance(decode(frame, BANK, allowed=ALLOWED), Wanted):
            return self.falters(), False
        return self.endpoint.answer(frame)


def broken() -> TransportError:
    return TransportError(TAX, "party_failed", "the connection broke.", "连接中断。")


def breaks_off() -> bytes:
    raise broken()


def nonsense() -> bytes:
    return b"nonsense"


def refuses() -> bytes:
    return encode(Failure(code="policy"))


def test_nobody_is_asked_in_vain_and_a_party_that_is_back_is_asked_again(world: World, alone: Calibrated) -> None:
    tax, telecom = Counting(world.endpoint(TAX), up=False), Counting(world.endpoint(TELECOM))
    wire = ThreadedWire(MemoryWire({TAX: tax.answer, TELECOM: telecom.answer}))
    app = create_guest_app(world.shelf(alone), wire, rules=rules(failures_to_open=1, open_seconds=60))
    now = [0.0]
    app.state.service.scorer.breaker(TAX).clock = lambda: now[0]
    with calling(app) as caller:
        degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", "party_failed")
        before = telecom.n_asked
        degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", "party_suspended")
        assert (tax.n_asked, telecom.n_asked) == (1, before)
        tax.up, now[0] = True, 61.0
        assert caller.post("/v1/scores", json=world.body(1)).json()["mode"] == "joint"
        assert tax.n_asked == 3
        assert caller.get("/readyz").json()["parties"][0] == {"party": TAX, "asked": "closed", "reachable": None}


@pytest.mark.parametrize(("falters", "code"), [(breaks_off, "party_failed"), (nonsense, "unreadable")])
def test_a_party_that_answers_the_first_message_only_is_soon_not_asked(
    world: World, alone: Calibrated, falters: Callable[[], bytes], code: str
) -> None:
    tax = Counting(world.endpoint(TAX), falters=falters)
    wire = ThreadedWire(MemoryWire({TAX: tax.answer, TELECOM: world.endpoint(TELECOM).answer}))
    app = create_guest_app(world.shelf(alone), wire, rules=rules(failures_to_open=2, open_seconds=60))
    breaker, now = app.state.service.scorer.breaker(TAX), [0.0]
    breaker.clock = lambda: now[0]
    with calling(app) as caller:
        for told in (code, code, "party_suspended"):
            degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", told)
        assert tax.n_asked == 2 * 2
        now[0] = 61.0  # the first message of a trial does not close it
        degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", code)
        degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", "party_suspended")
        assert (tax.n_asked, breaker.state) == (3 * 2, "open")
        tax.falters, now[0] = None, 122.0
        assert caller.post("/v1/scores", json=world.body(1)).json()["mode"] == "joint"
        assert breaker.state == "closed"


def test_a_party_that_refuses_is_up_and_goes_on_being_asked(world: World, alone: Calibrated) -> None:
    tax = Counting(world.endpoint(TAX), up=False, falters=refuses)
    wire = ThreadedWire(MemoryWire({TAX: tax.answer, TELECOM: world.endpoint(TELECOM).answer}))
    app = create_guest_app(world.shelf(alone), wire, rules=rules(failures_to_open=1, open_seconds=60))
    breaker, now = app.state.service.scorer.breaker(TAX), [0.0]
    breaker.clock = lambda: now[0]
    with calling(app) as caller:
        degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", "party_failed")
        tax.up, now[0] = True, 61.0
        for _ in range(3):
            degraded_of(caller.post("/v1/scores", json=world.body(1)), "bank_only", "policy")
        assert breaker.state == "closed"


def test_refer_is_configured_or_all_there_is(world: World, alone: Calibrated) -> None:
    wire = ThreadedWire(MemoryWire({}))
    for shelf, given in ((world.shelf(alone), rules(fallback="refer")), (world.shelf(), rules())):
        with calling(create_guest_app(shelf, wire, rules=given)) as caller:
            degraded_of(caller.post("/v1/scores", json=world.body(1)), "refer", "party_absent")


def test_an_applicant_without_consent_is_stood_in_for_and_a_revocation_counts_at_once(
    world: World, alone: Calibrated
) -> None:
    """No answer of a host outlives the consent it rests on: it is asked at every call."""
    held, willing = world.hosts[TAX], set(world.table.ids)

    def permit(subjects: object) -> np.ndarray:
        return np.array([subject in willing for subject in subjects], dtype=bool)  # type: ignore[attr-defined]

    policy: HostPolicy = replace(held.policy, permit=permit)
    tax = Endpoint(ScoringHost(held.table, held.halves, policy), BANK, ALLOWED)
    wire = ThreadedWire(MemoryWire({TAX: tax.answer, TELECOM: world.endpoint(TELECOM).answer}))
    row = int(world.trained.arrangement.rows[0])
    with calling(create_guest_app(world.shelf(alone), wire, rules=rules())) as caller:
        assert caller.post("/v1/scores", json=world.body(row)).json()["mode"] == "joint"
        willing.remove(world.table.ids[row])
        why = degraded_of(caller.post("/v1/scores", json=world.body(row)), "bank_only", "unknown_applicant")
        assert why["parties"] == [TAX]


def test_a_batch_answers_each_and_names_what_does_not_fit(world: World, alone: Calibrated) -> None:
    wire = ThreadedWire(world.memory_wire())
    rows = [*world.trained.arrangement.rows[:30].tolist(), N_AT_TAX]
    bodies = [world.body(int(row)) | {"reasons": k % 3} for k, row in enumerate(rows)]
    bodies.insert(5, world.body(1, Amount="77.123"))
    bodies.insert(9, {"application_id": 3})
    batch = score_table(world.model, world.table.take(np.array(rows[:-1])), world.memory_wire(), 2)
    with calling(create_guest_app(world.shelf(alone), wire, rules=rules(batch_deadline_seconds=LONG))) as caller:
        answer = caller.post("/v1/scores:batch", json={"applications": bodies}).json()
        assert [item["index"] for item in answer["items"]] == list(range(len(bodies)))
        assert (answer["n_scored"], answer["n_problems"]) == (31, 2)
        assert answer["items"][5]["problem"]["fields"] == ["features.Amount"]
        assert "77.123" not in json.dumps(answer)
        assert "applicant_id" in answer["items"][9]["problem"]["fields"]
        told = [item["score"] for item in answer["items"] if item["score"]]
        assert [a["application_id"] for a in told] == [f"application-{row}" for row in rows]
        for k, (one, row) in enumerate(zip(told[:-1], batch, strict=True)):
            assert isinstance(row, Answer)
            assert (one["mode"], one["default_probability"]) == ("joint", row.default_probability)
            assert [Told(**reason) for reason in one["reasons"]] == list(row.reasons[: k % 3])
        assert told[-1]["mode"] == "bank_only"
        assert {one["mode"]: one["calibration"] for one in told} == {"joint": "none", "bank_only": "out_of_fold"}
        assert told[-1]["degraded_reason"]["code"] == "unknown_applicant"
        assert told[-1]["default_probability"] == expected(world, alone, N_AT_TAX)[0]
        for one in told:
            assert caller.get(f"/v1/scores/{one['score_id']}").json() == one
        assert len({one["score_id"] for one in told}) == len(told)


@pytest.mark.parametrize("given", [{}, {"applications": []}, {"applications": {}}, [], {"applications": [1] * 1001}])
def test_what_is_no_batch(world: World, given: object) -> None:
    with calling(create_guest_app(world.shelf(), ThreadedWire(world.memory_wire()))) as caller:
        problem = problem_of(caller.post("/v1/scores:batch", json=given), 422, "invalid_request")
    assert problem["fields"] == ["applications"]


def test_an_answer_can_be_read_again_and_others_cannot(world: World, service: Service) -> None:
    told = service.score(world.body(3)).json()
    assert service.caller.get(f"/v1/scores/{told['score_id']}").json() == told
    problem_of(service.caller.get("/v1/scores/nothing"), 404, "unknown_score")


def test_a_key_gives_the_same_answer_again_and_refuses_another_body(world: World, service: Service) -> None:
    key = {"Idempotency-Key": "loan-1"}
    first = service.score(world.body(3), **key)
    service.wire.seen.clear()
    again = service.score(world.body(3), **key)
    assert again.content == first.content
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert not service.wire.seen
    problem_of(service.score(world.body(4), **key), 409, "idempotency_key_reused")
    assert problem_of(service.score(world.body(4), **{"Idempotency-Key": "a b"}), 422, "invalid_request")


def test_a_key_of_a_request_that_does_not_fit_stays_free(world: World, service: Service) -> None:
    key = {"Idempotency-Key": "loan-2"}
    problem_of(service.score(world.body(3, Amount="x"), **key), 422, "invalid_request")
    assert service.score(world.body(3), **key).status_code == 200


def test_a_call_that_is_repeated_in_flight_is_scored_once(world: World) -> None:
    asked: list[bytes] = []
    meeting, go_on = threading.Event(), threading.Event()

    def slow(frame: bytes) -> tuple[bytes, bool]:
        asked.append(frame)
        meeting.set()
        assert go_on.wait(20)
        return world.endpoint(TAX).answer(frame)

    wire = ThreadedWire(MemoryWire({TAX: slow, TELECOM: world.endpoint(TELECOM).answer}))

    async def both(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as caller:
            calls = [
                asyncio.ensure_future(caller.post("/v1/scores", json=world.body(3), headers={"Idempotency-Key": "one"}))
                for _ in range(3)
            ]
            await asyncio.to_thread(meeting.wait, 20)
            go_on.set()
            return list(await asyncio.gather(*calls))

    with running(create_guest_app(world.shelf(), wire, rules=rules())) as url:
        answers = asyncio.run(both(url))
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["mode"] == "joint"
    assert len(asked) == 2  # the two messages of one score


def test_a_score_is_for_the_purposes_that_are_served(world: World, service: Service) -> None:
    problem_of(service.score(world.body(3) | {"purpose": "marketing"}), 403, "purpose_not_served")
    told = service.score(world.body(3) | {"purpose": "loan_score", "consent_id": "c-88"}).json()
    assert (told["purpose"], told["consent_id"]) == ("loan_score", "c-88")


def test_a_service_whose_store_fails_tells_nothing(world: World) -> None:
    store = AnswerStore.open()
    with calling(create_guest_app(world.shelf(), ThreadedWire(world.memory_wire()), rules=rules(), store=store)) as c:
        with store._engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE answers")
        answer = c.post("/v1/scores", json=world.body(3))
        problem_of(answer, 500, "store_failed")
        assert "default_probability" not in answer.text


def test_parties_whose_way_can_tell_are_said_to_be_reachable_or_not(world: World, service: Service) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with calling(create_guest_app(world.shelf(), AsyncHttpWire(service.host_urls | {TELECOM: gone}))) as caller:
            ready = caller.get("/readyz").json()
    assert {party["party"]: party["reachable"] for party in ready["parties"]} == {TAX: True, TELECOM: False}
    assert (ready["status"], ready["store"]) == ("degraded", True)
    with calling(create_guest_app(world.shelf(), AsyncHttpWire(service.host_urls))) as caller:
        assert caller.get("/readyz").json()["status"] == "ready"


def test_a_host_that_restarts_under_another_key_is_asked_anew(world: World, alone: Calibrated) -> None:
    """Nothing of a host is kept between two calls, so nothing can be stale."""
    held = world.hosts[TAX]
    row = int(world.trained.arrangement.rows[0])
    with ExitStack() as stack:
        first = Endpoint(ScoringHost(held.table, held.halves, held.policy), BANK, ALLOWED)
        second = Endpoint(ScoringHost(held.table, held.halves, held.policy), BANK, ALLOWED)
        at = [first]
        url = stack.enter_context(running(create_host_app(first)))
        wire = ThreadedWire(MemoryWire({TAX: lambda f: at[0].answer(f), TELECOM: world.endpoint(TELECOM).answer}))
        assert url
        caller = stack.enter_context(calling(create_guest_app(world.shelf(alone), wire, rules=rules())))
        one = caller.post("/v1/scores", json=world.body(row)).json()
        at[0] = second
        two = caller.post("/v1/scores", json=world.body(row)).json()
    assert one["mode"] == two["mode"] == "joint"
    assert one["default_probability"] == two["default_probability"]
