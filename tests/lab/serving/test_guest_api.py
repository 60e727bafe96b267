"""The bank's service over real HTTP, with both nodes behind it."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from lab.serving.answers import Answer, Unknown, answer_of
from lab.serving.batch import score_table
from tests.lab.serving.conftest import BANK, N_AT_TAX, TAX, TELECOM, Service, World, degraded_of, problem_of


def test_fifty_calls_equal_the_batch_and_the_training_to_the_last_bit(world: World, service: Service) -> None:
    rows = world.trained.arrangement.rows[:50]
    batch = score_table(world.model, world.table.take(rows), world.memory_wire())
    trained = [answer_of(margin) for margin in world.trained.fitted.margin[:50].tolist()]
    called = []
    for row in rows:
        answer = service.score(world.body(int(row))).json()
        called.append(Answer(answer["default_probability"], answer["points"], answer["band"]))
    assert called == batch == trained
    assert len(set(called)) > 20


def test_a_batch_over_several_messages_equals_single_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score_table(world.model, world.table, world.memory_wire())
    monkeypatch.setattr("lab.serving.batch.ROWS_PER_MESSAGE", 7)
    assert score_table(world.model, world.table, world.memory_wire()) == whole
    unknown = [row for row, result in enumerate(whole) if isinstance(result, Unknown)]
    assert unknown == list(range(N_AT_TAX, len(world.table)))
    assert {result for result in whole if isinstance(result, Unknown)} == {Unknown((TAX,))}
    assert score_table(world.model, world.table.take(np.empty(0, dtype=np.intp)), world.memory_wire()) == []


def test_the_answer_says_which_model_and_parties(world: World, service: Service) -> None:
    answer = service.score(world.body(3), **{"x-request-id": "loan-desk.42"})
    told = answer.json()
    assert answer.headers["x-request-id"] == told["request_id"] == "loan-desk.42"
    assert told["application_id"] == "application-3"
    assert told["model"] == {
        "name": "loans",
        "version": "7",
        "alias": "champion",
        "digest": world.model.digest(),
    }
    assert (told["mode"], told["degraded_reason"], told["decision"]) == ("joint", None, None)
    assert (told["purpose"], told["consent_id"]) == ("loan_score", None)
    assert told["parties_used"] == [BANK, TAX, TELECOM]
    assert 0 < told["default_probability"] < 1
    assert told["latency_ms"] > 0
    at = datetime.fromisoformat(told["scored_at"])
    assert at.tzinfo == UTC
    assert at <= datetime.now(UTC)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "applicant/4711"])
def test_an_unfit_request_id_is_replaced(service: Service, given: str) -> None:
    made = service.caller.get("/healthz", headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)


def test_null_is_a_missing_value(world: World, service: Service) -> None:
    body = world.body(3, Amount=None, 职业=None)
    table = world.table.take(np.array([3]))
    columns = dict(table.columns) | {"Amount": np.array([np.nan]), "职业": np.array([None], dtype=object)}
    (expected,) = score_table(world.model, type(table)(table.ids, columns), world.memory_wire())
    assert isinstance(expected, Answer)
    assert service.score(body).json()["default_probability"] == expected.default_probability


def test_whole_numbers_and_unseen_levels_are_accepted(world: World, service: Service) -> None:
    assert service.score(world.body(3, Amount=2, 职业="astronaut")).status_code == 200


@pytest.mark.parametrize(
    ("features", "field"),
    [
        ({"Amount": float("inf")}, "features.Amount"),
        ({"Amount": float("-inf")}, "features.Amount"),
        ({"Amount": float("nan")}, "features.Amount"),
        ({"Amount": 10**400}, "features.Amount"),
        ({"Amount": "77.123"}, "features.Amount"),
        ({"Amount": True}, "features.Amount"),
        ({"Amount": [77.123]}, "features.Amount"),
        ({"职业": 77.123}, "features.职业"),
        ({"职业": "secret-" * 200}, "features.职业"),
        ({"职业": "secret\ud800"}, "features.职业"),
        ({"Incme": 77.123}, "features.Incme"),
        ({"feature_0": 77.123}, "features.feature_0"),
    ],
)
def test_features_that_do_not_fit_are_named_and_not_repeated(
    world: World, service: Service, features: dict[str, Any], field: str
) -> None:
    told = problem_of_raw(service, world.body(3, **features))
    assert told["fields"] == [field]
    assert field in told["detail"]
    assert field in told["detail_zh"]


def test_missing_and_extra_fields_are_named(world: World, service: Service) -> None:
    body = world.body(3)
    del body["features"]["Price"], body["application_id"]
    body["why"] = "secret"
    told = problem_of_raw(service, body)
    assert set(told["fields"]) == {"application_id", "features.Price", "why"}


@pytest.mark.parametrize("identifier", ["", "secret" * 50, 4711.0625, None])
def test_identifiers_that_do_not_fit_are_not_repeated(world: World, service: Service, identifier: object) -> None:
    told = problem_of_raw(service, world.body(3) | {"applicant_id": identifier})
    assert told["fields"] == ["applicant_id"]


def test_hostile_field_names_are_cut_and_cleaned(world: World, service: Service) -> None:
    told = problem_of_raw(service, world.body(3, **{"\x00\n" + "x" * 10_000: 1}))
    assert told["fields"] == ["features.??" + "x" * 62]
    told = problem_of_raw(service, world.body(3, **{f"extra{i}": 1 for i in range(1000)}))
    assert len(told["fields"]) == 20
    assert told["detail"].endswith("and more.")


def problem_of_raw(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    """The problem that answers ``body``; nothing in it is a value that was sent."""
    response = service.score(body)
    for value in ("77.123", "secret", "4711.0625", body["applicant_id"]):
        assert not value or str(value) not in response.text
    return problem_of(response, 422, "invalid_request")


@pytest.mark.parametrize(
    ("content", "media", "status", "code"),
    [
        (b'{"applicant_id": "secret",', "application/json", 422, "invalid_request"),
        (b"\xff\xfe secret", "application/json", 400, "unreadable"),
        (b"[" * 100_000, "application/json", 400, "unreadable"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"secret=1", "application/x-www-form-urlencoded", 415, "wrong_media_type"),
        (b" " * 4_194_305, "application/json", 413, "too_large"),
    ],
)
def test_bodies_that_are_no_request(service: Service, content: bytes, media: str, status: int, code: str) -> None:
    response = service.caller.post("/v1/scores", content=content, headers={"content-type": media})
    problem_of(response, status, code)
    assert "secret" not in response.text


def test_other_paths_and_methods(service: Service) -> None:
    problem_of(service.caller.get("/v1/nothing"), 404, "not_found")
    problem_of(service.caller.get("/v1/scores"), 405, "method_not_allowed")


def test_an_applicant_a_node_does_not_know(world: World, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = world.body(N_AT_TAX)
    response = service.score(body)
    why = degraded_of(response, "refer", "unknown_applicant")
    assert why["parties"] == [TAX]
    assert TAX in why["text"]
    assert TAX in why["text_zh"]
    assert body["applicant_id"] not in response.text + caplog.text
    nowhere = degraded_of(service.score(body | {"applicant_id": "nobody"}), "refer", "unknown_applicant")
    assert nowhere["parties"] == [TAX, TELECOM]


def test_logs_hold_no_applicant(world: World, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    body = world.body(5)
    assert service.score(body, **{"x-request-id": "call-5"}).status_code == 200
    assert "POST /v1/scores 200" in caplog.text
    assert "call-5" in caplog.text
    for secret in (body["applicant_id"], body["application_id"], str(body["features"]["Amount"])):
        assert secret not in caplog.text


def test_frames_hold_no_applicant_and_never_repeat(world: World, service: Service) -> None:
    service.wire.seen.clear()
    for _ in range(2):
        assert service.score(world.body(8)).status_code == 200
    frames = service.wire.seen
    assert len(frames) == 16  # two calls, two exchanges, two nodes, there and back
    for secret in (world.table.ids[8], *world.table.columns, "application-8"):
        assert not any(secret.encode() in frame for frame in frames)
    first, second = frames[0], frames[8]
    assert first != second  # blinded anew: the node cannot see that it is asked about the same applicant


def test_the_model_being_served(world: World, service: Service) -> None:
    told = service.caller.get("/v1/models/current").json()
    assert told == {
        "name": "loans",
        "version": "7",
        "alias": "champion",
        "model_id": "loans-7",
        "digest": world.model.digest(),
        "kind": "trees",
        "n_trees": 8,
        "parties": [BANK, TAX, TELECOM],
        "features": [
            {"name": "Amount", "type": "number", "required": True},
            {"name": "Price", "type": "number", "required": True},
            {"name": "职业", "type": "text", "required": True},
        ],
        "bank_only": None,
    }
    assert service.caller.get("/healthz").json() == {"status": "ok"}


def test_openapi_names_the_features_and_the_problems(service: Service) -> None:
    described = service.caller.get("/openapi.json").json()
    features = described["components"]["schemas"]["Features"]
    assert set(features["required"]) == {"Amount", "Price", "职业"}
    assert features["additionalProperties"] is False
    responses = described["paths"]["/v1/scores"]["post"]["responses"]
    assert set(responses) == {"200", "400", "403", "408", "409", "413", "415", "422", "500"}
    for status, response in responses.items():
        assert set(response["content"]) == {"application/json" if status == "200" else "application/problem+json"}
