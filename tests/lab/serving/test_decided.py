"""The bank's policy in the service: what a call that names a loan is told, with a score and without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI

from federation.transports.memory import MemoryWire
from federation.transports.threaded import ThreadedWire
from lab.decision.loan import Loan
from lab.governance.policy import CHINA
from lab.serving.answers import Answer
from lab.serving.decisions import decider, decision_answer
from lab.serving.guest_api import create_guest_app
from tests.lab.decision.cases import loan, sample
from tests.lab.serving.conftest import PATIENT, World, ask, problem_of

#: In force on any day, so that the test does not age.
POLICY = sample().model_copy(update={"in_force_until": None, "in_force_from": datetime(2000, 1, 1).date()})


def told_of(app: FastAPI, body: dict[str, Any]) -> Any:
    reply = ask(app, "POST", "/v1/scores", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def asked(world: World) -> Callable[..., dict[str, Any]]:
    def body(row: int = 0, **changes: Any) -> dict[str, Any]:
        today = datetime.now(UTC).astimezone(CHINA).date()
        return world.body(row) | {"loan": json.loads(loan(listings_checked=today, **changes).model_dump_json())}

    return body


@pytest.fixture
def deciding(world: World) -> FastAPI:
    wire = ThreadedWire(world.memory_wire())
    return create_guest_app(world.shelf(), wire, rules=PATIENT, decider=decider(POLICY))


def test_a_call_that_names_a_loan_is_decided_by_the_policy(deciding: FastAPI, asked: Any) -> None:
    for row in range(20):
        body = asked(row, product="park_limit")
        told = told_of(deciding, body)
        answer = Answer(told["default_probability"], told["points"], told["band"])
        wanted = decision_answer(decider(POLICY)(answer, "joint", Loan.model_validate(body["loan"]), datetime.now(UTC)))
        assert told["decision"] == wanted.decision
        assert [rule["rule"] for rule in told["decided"]["decided_by"]] == [rule.rule for rule in wanted.decided_by]
        assert (told["limit"], told["price"], told["decided"]["guarantee_fee"]) == (
            wanted.limit,
            wanted.rate,
            wanted.guarantee_fee,
        )
        assert (told["policy_version"], told["decided"]["policy_digest"]) == (POLICY.version, POLICY.digest)
        assert told["decided"]["policy_is_sample"] is True


def test_a_hard_stop_declines_whatever_the_score(deciding: FastAPI, asked: Any) -> None:
    told = told_of(deciding, asked(listings=[{"code": "serious_dishonesty", "listed": "2024-05-01"}]))
    assert told["decision"] == "decline"
    assert "serious_dishonesty" in [rule["rule"] for rule in told["decided"]["decided_by"]]
    assert told["limit"] is None


def test_without_a_loan_nothing_is_decided(deciding: FastAPI, world: World) -> None:
    told = told_of(deciding, world.body(0))
    assert (told["decision"], told["policy_version"], told["decided"]) == (None, None, None)


def test_where_nobody_scores_a_person_decides_and_is_named(world: World, asked: Any) -> None:
    alone = create_guest_app(world.shelf(), ThreadedWire(MemoryWire({})), rules=PATIENT, decider=decider(POLICY))
    told = told_of(alone, asked())
    assert (told["mode"], told["decision"], told["limit"]) == ("refer", "refer", None)
    assert "scored" in [rule["rule"] for rule in told["decided"]["decided_by"]]
    assert told["decided"]["review"]["role"] == "credit_officer"


def test_an_unknown_product_is_refused_before_any_party_is_asked(world: World, asked: Any) -> None:
    nobody = ThreadedWire(MemoryWire({}))
    app = create_guest_app(world.shelf(), nobody, rules=PATIENT, decider=decider(POLICY))
    reply = ask(app, "POST", "/v1/scores", json=asked(product="never_heard_of"))
    assert problem_of(reply, 422, "unknown_product")["fields"] == ["loan.product"]


def test_an_item_of_a_batch_is_decided_alone(deciding: FastAPI, asked: Any) -> None:
    items = [asked(0), asked(1, product="never_heard_of"), asked(2)]
    reply = ask(deciding, "POST", "/v1/scores:batch", json={"applications": items})
    assert reply.status_code == 200, reply.text
    told = reply.json()["items"]
    assert [item["score"] is None for item in told] == [False, True, False]
    assert told[1]["problem"]["code"] == "unknown_product"
    assert told[0]["score"]["decision"]


def test_openapi_names_the_products_that_the_policy_knows(deciding: FastAPI, world: World) -> None:
    def products(app: FastAPI) -> Any:
        return app.openapi()["components"]["schemas"]["Loan"]["properties"]["product"].get("enum")

    assert products(deciding) == [product.code for product in POLICY.products]
    assert products(world.app()) is None
