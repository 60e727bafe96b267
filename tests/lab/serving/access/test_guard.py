"""The bank's service behind its guard: who is let in, what they may do, how often."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import APIRoute

from lab.errors import ConfigError
from lab.serving.access.caller import RIGHTS
from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.access.paths import OPEN, needed
from lab.serving.gate import Gate
from lab.serving.host_api import create_host_app
from lab.serving.problems import answer_problems
from tests.lab.serving.access.conftest import OAUTH, Bank, Issuer
from tests.lab.serving.conftest import FRAME, TAX, World, ask, problem_of


def test_a_key_with_the_scope_gets_its_score(bank: Bank) -> None:
    answer = bank.score(x_api_key=bank.key("score"))
    assert answer.status_code == 200, answer.text
    assert answer.json()["points"]


def test_a_key_for_another_purpose_gets_none(bank: Bank) -> None:
    assert bank.score(x_api_key=bank.key("score", purposes=["loan_score"])).status_code == 200
    refused = bank.score(x_api_key=bank.key("score", name="other", purposes=["monitoring"]))
    assert problem_of(refused, 403, "purpose_not_allowed")["purposes"] == ["monitoring"]


def test_a_token_with_the_scope_gets_its_score(bank: Bank, issuer: Issuer) -> None:
    assert bank.score(authorization=f"Bearer {issuer.token()}").status_code == 200
    assert bank.score(authorization=f"bearer {issuer.token('ES256')}").status_code == 200


def test_who_shows_nothing_learns_how_and_health_asks_for_nothing(bank: Bank) -> None:
    refused = bank.score()
    problem_of(refused, 401, "not_authenticated")
    assert refused.headers["www-authenticate"] == 'Bearer realm="lianmo"'
    assert bank.get("/healthz").status_code == 200


def wrong_credentials(bank: Bank, issuer: Issuer) -> dict[str, dict[str, str]]:
    revoked, expired = bank.key("score", name="revoked"), bank.key("score", name="expired", days=-1.0)
    bank.book.revoke("revoked")
    right = bank.key("score", name="right")
    return {
        "revoked": {"x_api_key": revoked},
        "expired": {"x_api_key": expired},
        "unknown": {"x_api_key": right[:-1] + ("A" if right[-1] != "A" else "B")},
        "empty": {"x_api_key": ""},
        "no form": {"x_api_key": "password"},
        "key as a token": {"authorization": f"Bearer {right}"},
        "token as a key": {"x_api_key": issuer.token()},
        "basic": {"authorization": "Basic bG9hbjpkZXNr"},
        "another audience": {"authorization": f"Bearer {issuer.token(aud='another')}"},
        "stale": {"authorization": f"Bearer {issuer.token(exp=int(time.time()) - 60)}"},
        "stranger's": {"authorization": f"Bearer {Issuer().token()}"},
        "token of another scheme": {"authorization": f"Basic {issuer.token()}"},
        "bare": {"authorization": issuer.token()},
        "nothing": {"authorization": ""},
    }


def test_all_wrong_credentials_are_told_alike(bank: Bank, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    told = set()
    for what, headers in wrong_credentials(bank, issuer).items():
        response = bank.score(**headers, x_request_id="r1")
        problem_of(response, 401, "not_authenticated")
        challenge = response.headers["www-authenticate"]
        if challenge != 'Bearer realm="lianmo"':  # RFC 6750 §3.1, whatever was wrong with a token
            assert "authorization" in headers, what
            assert challenge == 'Bearer realm="lianmo", error="invalid_token"'
        told.add((response.text, tuple(sorted(set(response.headers) - {"www-authenticate"}))))
    assert len(told) == 1
    for why in ("revoked", "expired", "unknown", "token InvalidAudienceError", "token ExpiredSignatureError"):
        assert f"{why} from=127.0.0.1 request=r1" in caplog.text


def test_no_credential_is_in_any_log(bank: Bank, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = [*wrong_credentials(bank, issuer).values(), {"x_api_key": bank.key("score")}]
    shown += [{"authorization": f"Bearer {issuer.token()}"}, {"x_api_key": "a", "authorization": "Bearer secret-b"}]
    for headers in shown:
        bank.score(**headers)
    assert "caller refused" in caplog.text
    for headers in shown:
        for value in headers.values():
            for part in re.split("[ _.]", value):
                assert len(part) < 13 or part not in caplog.text


@pytest.mark.parametrize("name", ["x-api-key", "authorization"])
def test_a_credential_shown_twice_is_none(bank: Bank, issuer: Issuer, name: str) -> None:
    shown = bank.key("models") if name == "x-api-key" else f"Bearer {issuer.token()}"
    response = ask(bank.app, "GET", "/v1/models/current", headers=[(name, shown), (name, shown)])
    problem_of(response, 401, "not_authenticated")


def test_a_wrong_key_is_not_made_good_by_a_token_nor_a_token_s_rights_added(bank: Bank, issuer: Issuer) -> None:
    token = f"Bearer {issuer.token()}"
    assert bank.get("/v1/models/current", x_api_key="wrong", authorization=token).status_code == 401
    assert bank.get("/v1/models/current", x_api_key=bank.key("score"), authorization=token).status_code == 403
    assert bank.get("/v1/models/current", x_api_key=bank.key("models"), authorization="Basic x").status_code == 200


def test_a_right_is_named_where_it_is_missing(bank: Bank, issuer: Issuer) -> None:
    others = [right for right in RIGHTS if right != "score"]
    response = bank.score(x_api_key=bank.key(*others))
    told = problem_of(response, 403, "missing_scope")
    assert told["scope"] == "score"
    assert 'error="insufficient_scope", scope="score"' in response.headers["www-authenticate"]
    assert bank.get("/v1/models/current", x_api_key=bank.key("score")).status_code == 403
    token = issuer.token(scope="score")
    assert bank.get("/v1/models/current", authorization=f"Bearer {token}").status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/nothing"),
        ("DELETE", "/v1/scores"),
        ("GET", "/v1/scores"),
        ("POST", "/v1/scores/"),
        ("POST", "//v1/scores"),
        ("POST", "/healthz"),
        ("GET", "/healthz/"),
        ("GET", "/v1/scores/a/b"),
        ("GET", "/docs"),
    ],
)
def test_what_is_not_on_the_list_needs_admin(bank: Bank, method: str, path: str) -> None:
    assert ask(bank.app, method, path).status_code == 401
    key = bank.key(*(right for right in RIGHTS if right != "admin"))
    told = problem_of(ask(bank.app, method, path, headers={"x-api-key": key}), 403, "missing_scope")
    assert told["scope"] == "admin"


def test_each_path_of_both_services_is_on_the_list(world: World) -> None:
    apps = (
        world.app(),
        create_host_app(world.endpoint(TAX)),
    )
    listed = [
        (method, route.path)
        for app in apps
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    ]
    assert len(listed) >= 5
    assert [pair for pair in listed if needed(*pair) == "admin"] == []
    assert {path for method, path in listed if needed(method, path) is None} <= OPEN


def test_a_revoked_key_is_refused_at_the_next_call_by_every_worker(bank: Bank, world: World) -> None:
    second = world.app(FolderGuard(bank.folder))
    key = bank.key("models")
    apps = bank.app, second
    assert [ask(app, "GET", "/v1/models/current", headers={"x-api-key": key}).status_code for app in apps] == [200, 200]
    bank.book.revoke("loan-desk")
    assert [ask(app, "GET", "/v1/models/current", headers={"x-api-key": key}).status_code for app in apps] == [401, 401]


def test_new_public_keys_are_in_force_at_the_next_call(bank: Bank, issuer: Issuer) -> None:
    other = Issuer()
    old, new = (f"Bearer {i.token()}" for i in (issuer, other))
    assert [bank.get("/v1/models/current", authorization=t).status_code for t in (old, new)] == [200, 401]
    (bank.folder / "jwks.json").write_text(json.dumps(other.jwks()))
    assert [bank.get("/v1/models/current", authorization=t).status_code for t in (old, new)] == [401, 200]


def test_a_file_that_was_broken_changes_nothing_and_is_told_once(
    bank: Bank, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    token = f"Bearer {issuer.token()}"
    for name in ("jwks.json", "access.toml"):
        (bank.folder / name).write_text("[broken")
    for _ in range(3):
        assert bank.get("/v1/models/current", authorization=token).status_code == 200
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [text.split(":")[0] for text in errors] == ["access_unusable", "jwks_unusable"]


def test_settings_are_read_again(bank: Bank, issuer: Issuer) -> None:
    token = f"Bearer {issuer.token()}"
    assert bank.get("/v1/models/current", authorization=token).status_code == 200
    (bank.folder / "access.toml").write_text(OAUTH + 'scopes = { "x" = ["score"] }\n')
    assert bank.get("/v1/models/current", authorization=token).status_code == 403
    (bank.folder / "access.toml").write_text("")
    assert bank.get("/v1/models/current", authorization=token).status_code == 401


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[oauth]\nissuer = 'i'",
        "[limits]\nper_second = 0",
        "[limits]\nper_secnd = 1",
        "[limits.callers.desk]\nburst = 1",
        "[[certificates]]\nname = 'a'\nscopes = ['score']",
        "[[certificates]]\nname = 'a'\nscopes = ['score']\ndns = 'a'\nuri = 'b'",
        "[[certificates]]\nname = 'a'\nscopes = ['all']\ndns = 'a'",
        "[oauth]\nissuer = 'i'\naudience = 'a'\nalgorithms = ['HS256']",
    ],
)
def test_a_service_does_not_start_with_settings_it_cannot_use(folder: Path, text: str) -> None:
    (folder / "access.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        FolderGuard(folder)
    assert caught.value.code == "access_unusable"


def test_a_flood_is_told_to_wait_while_another_caller_is_served(bank_of: Callable[..., Bank]) -> None:
    bank = bank_of(
        "[limits]\nper_second = 0.1\nburst = 5\n[limits.callers.'key:desk']\nper_second = 1000.0\nburst = 1000"
    )
    flood, desk = bank.key("models", name="flood"), bank.key("models", name="desk")
    answers = [bank.get("/v1/models/current", x_api_key=flood) for _ in range(30)]
    assert [a.status_code for a in answers] == [200] * 5 + [429] * 25
    told = problem_of(answers[-1], 429, "too_many_requests")
    assert "faster" in told["detail"]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 10
    assert answers[-1].headers["ratelimit"].startswith('"caller";r=0;t=')
    assert answers[0].headers["ratelimit"] == '"caller";r=4;t=10'
    assert answers[0].headers["ratelimit-policy"] == '"caller";q=5;w=50'
    assert {bank.get("/v1/models/current", x_api_key=desk).status_code for _ in range(30)} == {200}
    # a new key is the same caller
    again = bank.key("models", name="flood")
    assert bank.get("/v1/models/current", x_api_key=again).status_code == 429


def test_calls_without_the_right_count_nothing_and_wrong_keys_harm_nobody(bank_of: Callable[..., Bank]) -> None:
    bank = bank_of("[limits]\nper_second = 0.1\nburst = 1")
    key = bank.key("models")
    for _ in range(5):
        assert bank.get("/v1/models/current", x_api_key=key[:-4] + "0000").status_code == 401
    assert bank.get("/v1/models/current", x_api_key=key).status_code == 200


def small_app(guard: FolderGuard, handler: Callable[[Request], Any]) -> FastAPI:
    app = FastAPI()
    app.add_middleware(Gate, body_type="application/json", max_bytes=100, guard=guard)
    answer_problems(app)
    app.post("/v1/scores")(handler)
    return app


def test_rows_of_a_batch_are_charged_afterwards(folder: Path) -> None:
    (folder / "access.toml").write_text("[limits]\nper_second = 0.5\nburst = 100")

    async def handler(request: Request) -> dict[str, str]:
        request.state.visit.charge(999)
        request.state.visit.caller.need_purpose("loan_score")
        return {"caller": request.state.caller}

    app = small_app(FolderGuard(folder), handler)
    _, key = KeyBook(folder).add("batch-job", ["score"], 1.0)
    first, second = (ask(app, "POST", "/v1/scores", json={}, headers={"x-api-key": key}) for _ in range(2))
    assert first.json() == {"caller": "key:batch-job"}
    assert first.headers["ratelimit"].startswith('"caller";r=0;')
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) > 1700  # 900 rows too many, at two seconds each


def test_a_purpose_the_caller_may_not_score_for(folder: Path) -> None:
    async def handler(request: Request) -> None:
        request.state.visit.caller.need_purpose("marketing")

    app = small_app(FolderGuard(folder), handler)
    _, key = KeyBook(folder).add("desk", ["score"], 1.0, purposes=["loan_score"])
    response = ask(app, "POST", "/v1/scores", json={}, headers={"x-api-key": key})
    assert problem_of(response, 403, "purpose_not_allowed")["purposes"] == ["loan_score"]


def test_calls_at_the_same_time_are_bounded_and_freed(folder: Path) -> None:
    (folder / "access.toml").write_text("[limits]\nconcurrent = 2")
    free = asyncio.Event()

    async def handler(request: Request) -> dict[str, str]:
        await free.wait()
        return {}

    app = small_app(FolderGuard(folder), handler)
    _, key = KeyBook(folder).add("desk", ["score"], 1.0)

    async def all_at_once() -> tuple[list[int], int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as session:

            def call() -> Any:
                return session.post("/v1/scores", json={}, headers={"x-api-key": key})

            waiting = [asyncio.create_task(call()) for _ in range(2)]
            for _ in range(50):
                await asyncio.sleep(0)
            third = await call()
            problem_of(third, 429, "too_many_at_once")
            free.set()
            done = [(await task).status_code for task in waiting]
            return done, (await call()).status_code

    assert asyncio.run(all_at_once()) == ([200, 200], 200)


def test_nothing_of_the_body_is_read_before_the_caller_is_known(bank: Bank) -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/scores",
        "query_string": b"",
        "headers": [],
        "root_path": "",
    }
    asyncio.run(bank.app(scope, receive, send))
    assert sent[0]["status"] == 401
    assert read == 0


def test_openapi_tells_who_may_call(bank: Bank) -> None:
    key = bank.key("models")
    told = bank.get("/openapi.json", x_api_key=key).json()
    assert set(told["components"]["securitySchemes"]) == {"apiKey", "accessToken", "certificate"}
    operation = told["paths"]["/v1/scores"]["post"]
    assert operation["security"] == [{"apiKey": ["score"]}, {"accessToken": ["score"]}, {"certificate": ["score"]}]
    assert {"401", "403", "429", "200"} <= set(operation["responses"])
    assert told["paths"]["/healthz"]["get"]["security"] == []


def test_the_hosts_endpoint_can_be_guarded_alike(world: World, folder: Path) -> None:
    app = create_host_app(world.endpoint(TAX), guard=FolderGuard(folder))
    _, key = KeyBook(folder).add("bank", ["score"], 1.0)
    refused = ask(app, "POST", "/v1/messages", content=b"not a message", headers=FRAME)
    problem_of(refused, 401, "not_authenticated")
    served = ask(app, "POST", "/v1/messages", content=b"not a message", headers={**FRAME, "x-api-key": key})
    assert served.status_code == 200


def test_what_is_revoked_is_refused_at_the_next_call_in_every_worker(
    bank_of: Callable[..., Bank], issuer: Issuer, world: World
) -> None:
    """Each worker has a guard of its own over the folder, and has let the caller in before."""
    one = bank_of(OAUTH)
    workers = [one, Bank(world.app(FolderGuard(one.folder)), one.folder, world)]
    tokens = {
        "client": issuer.token(),
        "jti": issuer.token(client_id="other", jti="t-2"),
        "rest": issuer.token(jti="3"),
    }
    tokens |= {"rest": issuer.token(client_id="rest", jti="3"), "ec": issuer.token("ES256", client_id="ec", jti="4")}
    shown = {name: {"authorization": f"Bearer {token}"} for name, token in tokens.items()}
    shown["key"] = {"x_api_key": one.key("score")}

    def let_in() -> set[str]:
        found = [{name for name, header in shown.items() if w.score(**header).status_code == 200} for w in workers]
        assert found[0] == found[1]
        return found[0]

    assert let_in() == set(shown)
    one.book.revoke("loan-desk")
    assert let_in() == set(shown) - {"key"}
    (one.folder / "access.toml").write_text(OAUTH + 'revoked = ["loan-app", "t-2"]\n')
    assert let_in() == {"rest", "ec"}
    keys = [key for key in issuer.jwks()["keys"] if key["kid"] != "rsa-1"]
    (one.folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    assert let_in() == {"ec"}
