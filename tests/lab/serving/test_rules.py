"""The rules of the service as TOML, and its description as OpenAPI."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from federation.transports.threaded import ThreadedWire
from lab.decision.policy import SAMPLE, load_policy
from lab.errors import ConfigError
from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.answers import Answer
from lab.serving.decisions import Decider
from lab.serving.guest_api import create_guest_app
from lab.serving.guest_openapi import DEGRADED, EXAMPLE
from lab.serving.rules import ServiceRules, load_rules
from lab.serving.schemas import BatchAnswer, ScoreAnswer
from tests.lab.decision.cases import loan
from tests.lab.serving.conftest import BANK, PATIENT, World, ask, problem_of


def test_what_is_left_out_has_its_default_and_parties_have_deadlines_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text('[service]\nfallback = "refer"\ndeadlines = { "host:tax" = 1.5 }\n', encoding="utf-8")
    rules = load_rules(path)
    assert rules == ServiceRules(fallback="refer", deadlines={"host:tax": 1.5})
    assert [rules.deadline(party, 1) for party in ("host:tax", "host:x")] == [1.5, 0.25]
    assert rules.deadline("host:x", 2) == rules.batch_deadline_seconds
    path.write_text("", encoding="utf-8")
    assert load_rules(path) == ServiceRules()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('fallback = "guess"', "fallback"),
        ("deadline_seconds = 0.0", "deadline_seconds"),
        ('deadlines = { "host:tax" = "soon" }', "deadlines.host:tax"),
        ("purposes = []", "purposes"),
        ("retries = 3", "retries"),
        ("= =", "the whole file"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(f"[service]\n{text}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_rules(path)
    assert caught.value.code == "service_rules"
    assert field in caught.value.english


def test_examples_are_answers() -> None:
    assert ScoreAnswer.model_validate(EXAMPLE).mode == "joint"
    assert ScoreAnswer.model_validate(DEGRADED).mode == "bank_only"


def test_answers_are_what_the_description_says(world: World) -> None:
    app = create_guest_app(world.shelf(), ThreadedWire(world.memory_wire()), rules=ServiceRules(deadline_seconds=10))
    described = ask(app, "GET", "/openapi.json").json()
    assert set(described["paths"]) == {
        "/v1/scores", "/v1/scores:batch", "/v1/scores/{score_id}", "/v1/scores/{score_id}/report", "/v1/models/current",
        "/healthz", "/readyz",
    }  # fmt: skip
    answer = ask(app, "POST", "/v1/scores", json=world.body(3) | {"reasons": 3})
    fields = described["components"]["schemas"]["ScoreAnswer"]["properties"]
    assert set(answer.json()) == set(fields)
    assert ScoreAnswer.model_validate_json(answer.content).parties_used[0] == BANK
    batch = ask(app, "POST", "/v1/scores:batch", json={"applications": [world.body(3), {}]})
    told = BatchAnswer.model_validate_json(batch.content)
    assert [item.score is None for item in told.items] == [False, True]
    assert {"joint", "bank_only"} == set(
        described["paths"]["/v1/scores"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
    )


def test_a_policy_decides_of_the_loan_and_refers_whom_nobody_scored(world: World) -> None:
    decider, asked = Decider(load_policy(SAMPLE)), loan()
    app = create_guest_app(world.shelf(), ThreadedWire(world.memory_wire()), rules=PATIENT, decider=decider)
    body = world.body(3) | {"loan": asked.model_dump(mode="json")}
    told = ask(app, "POST", "/v1/scores", json=body).json()
    answer = Answer(told["default_probability"], told["points"], told["band"])
    here = decider(answer, "joint", asked, datetime.now(UTC))
    assert told["decision"] == here.verdict == told["decided"]["decision"]
    assert told["policy_version"] == decider.policy.version
    assert told["limit"] == (int(here.offer.limit) if here.offer else None)
    nobody = ask(app, "POST", "/v1/scores", json=body | {"applicant_id": "nobody"}).json()
    assert (nobody["mode"], nobody["decision"]) == ("refer", "refer")
    assert nobody["decided"]["review"]["role"]
    plain = ask(app, "POST", "/v1/scores", json=world.body(3)).json()
    assert (plain["decision"], plain["decided"]) == (None, None)
    wrong = body | {"loan": body["loan"] | {"product": "no_such"}}
    assert problem_of(ask(app, "POST", "/v1/scores", json=wrong), 422, "unknown_product")["fields"] == ["loan.product"]


def test_a_score_is_read_by_whom_it_was_told_to_alone(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "access"
    folder.mkdir(mode=0o700)
    book = KeyBook(folder)
    desk, other = ({"x-api-key": book.add(name, ["score", "read"], 1.0)[1]} for name in ("desk", "another"))
    app = world.app(FolderGuard(folder))
    told = ask(app, "POST", "/v1/scores", json=world.body(3), headers=desk).json()
    path = f"/v1/scores/{told['score_id']}"
    assert ask(app, "GET", path, headers=desk).json() == told
    assert ask(app, "GET", path, headers=other).json()["code"] == "unknown_score"
    body, key = world.body(3), {"Idempotency-Key": "k"}
    first = ask(app, "POST", "/v1/scores", json=body, headers=other | key).json()
    assert ask(app, "POST", "/v1/scores", json=body, headers=desk | key).json()["score_id"] != first["score_id"]
