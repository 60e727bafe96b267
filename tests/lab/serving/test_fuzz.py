"""Requests at random: whatever comes in, the bank's service answers, and never with an error of its own; callers are
known and loans decided, as in life."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from pathlib import Path

import pytest
from fastapi import FastAPI

from lab.serving.access.caller import RIGHTS
from lab.serving.access.guard import FolderGuard
from lab.serving.access.keys import KeyBook
from lab.serving.decisions import decider
from tests.lab.decision.cases import loan
from tests.lab.serving.conftest import World
from tests.lab.serving.random_requests import Asked, RandomRequests, Told, tell
from tests.lab.serving.test_decided import POLICY

AT_ONCE = 16

UNLIMITED = "".join(f"[{name}]\nper_second = 1e6\nburst = 1000000\n" for name in ("limits", "wrong_credentials"))


@pytest.fixture
def guarded(world: World, tmp_path: Path) -> tuple[FastAPI, list[str]]:
    """The bank's service and keys for it: one for everything, one for little, one that is revoked."""
    folder = tmp_path / "access"
    folder.mkdir(mode=0o700)
    (folder / "access.toml").write_text(UNLIMITED)
    book = KeyBook(folder)
    keys = [book.add(name, scopes, 1.0)[1] for name, scopes in (("all", RIGHTS), ("few", ["models"]), ("old", RIGHTS))]
    book.revoke("old")
    guard = FolderGuard(folder)
    return world.app(guard, decider=decider(POLICY)), keys


@pytest.mark.parametrize(
    "n", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])], ids=["quick", "all"]
)
def test_no_request_at_random_makes_the_service_fail(
    guarded: tuple[FastAPI, list[str]], world: World, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # a hundred thousand lines are not kept
    app, keys = guarded
    loans = [json.loads(loan(product=product.code).model_dump_json()) for product in POLICY.products]
    known = {"applicant_id": world.table.ids[:50], "loan": loans}
    requests = RandomRequests(35, app.openapi(), keys, known)

    n_decided = 0

    async def all_of_them() -> Counter[int]:
        nonlocal n_decided
        statuses: Counter[int] = Counter()
        async with app.router.lifespan_context(app):
            for _ in range(n // AT_ONCE):
                asked = [requests.next() for _ in range(AT_ONCE)]
                for one, told in zip(asked, await asyncio.gather(*(tell(app, a) for a in asked)), strict=True):
                    check(one, told)
                    statuses[told.status] += 1
                    n_decided += b'"policy_digest"' in told.body
        return statuses

    statuses = asyncio.run(all_of_them())
    assert statuses[200] > n / 20  # the requests are not all rubbish
    assert n_decided > n / 200
    assert {401, 403, 405, 415, 422} <= set(statuses)


def check(asked: Asked, told: Told) -> None:
    """The answer is whole, no failure of ours, and a problem where it is none of a score."""
    assert 200 <= told.status < 500, (told, asked)
    assert told.ended, asked
    assert told.headers["x-request-id"], asked
    if told.status >= 400 and asked.method != "HEAD":
        assert told.headers["content-type"] == "application/problem+json", (told, asked)
        assert json.loads(told.body)["status"] == told.status
