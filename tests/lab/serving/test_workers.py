"""Several processes behind one port: they share answers, keys and counts; one that is killed is replaced."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI

from lab.decision.policy import SAMPLE
from lab.serving import workers
from lab.serving.access.caller import RIGHTS
from lab.serving.access.keys import KeyBook
from lab.serving.access.listening import Listening
from lab.serving.workers import serve_workers
from tests.lab.conftest import Write
from tests.lab.decision.cases import loan
from tests.lab.serving.access.conftest import OAUTH, Issuer
from tests.lab.serving.test_contract import finds_nothing
from tests.lab.serving.test_scorecard_service import Run, body, trained


@pytest.fixture
def card(write_config: Write) -> Run:
    return trained(write_config)


Served = tuple[subprocess.Popen[str], str]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@contextmanager
def serving(card: Run, folder: Path, *options: object) -> Iterator[Served]:
    """Two workers whose hosts are gone."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        rules = folder / "service.toml"
        rules.write_text('[service]\nfallback = "refer"\nopen_seconds = 600.0\n', encoding="utf-8")
        command = [sys.executable, "-m", "lab.cli", "serve", str(card.bank), "--port", "0", "--workers", "2"]
        command += ["--host", f"host:tax={gone}", "--host", f"host:court={gone}", "--rules", str(rules)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        command += map(str, options)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert process.stdout
                url = process.stdout.readline().split()[-1]
                assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
                yield process, url
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(30)


@pytest.fixture
def served(card: Run, tmp_path: Path) -> Iterator[Served]:
    with serving(card, tmp_path) as found:
        yield found


def wait_for(true: object) -> None:
    until = time.monotonic() + 180
    while time.monotonic() < until:
        try:
            if true():  # type: ignore[operator]
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)  # for a process of the system to come up
    raise AssertionError("never")


def announcing(folder: Path) -> FastAPI:
    """An application that leaves a file when it is ready, and says who answers."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        (folder / str(os.getpid())).touch()
        yield

    return FastAPI(lifespan=lifespan)


def test_the_address_is_announced_once_all_workers_answer(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []

    def announce(url: str) -> None:
        assert httpx.get(f"{url}/openapi.json", trust_env=False).status_code == 200
        told.append((url, len(list(tmp_path.iterdir()))))
        os.kill(os.getpid(), signal.SIGTERM)

    serve_workers(partial(announcing, tmp_path), Listening(bind="127.0.0.1"), 0, 2, announce=announce)
    assert [n_ready for _, n_ready in told] == [2]


def test_one_worker_that_answers_is_not_yet_all(monkeypatch: pytest.MonkeyPatch) -> None:
    context = multiprocessing.get_context("spawn")
    started: list[workers._Worker] = []
    told: list[int] = []
    turns = 0

    def start() -> workers._Worker:
        started.append(workers._Worker(context.Process(target=print), *context.Pipe(duplex=False)))
        return started[-1]

    def wait(watched: list[object]) -> list[object]:
        """First one worker says that it answers, then the other, then the service is told to stop."""
        nonlocal turns
        turns += 1
        if turns == 3:
            assert told == [2]
            return watched[:1]
        assert told == []
        return [started[turns - 1].said]

    monkeypatch.setattr(workers, "wait", wait)
    for name in ("terminate", "join", "kill"):
        monkeypatch.setattr(SpawnProcess, name, lambda *_: None)
    monkeypatch.setattr(SpawnProcess, "sentinel", 0)
    workers._keep(start, 2, lambda: told.append(turns))
    assert told == [2]


@pytest.mark.slow
def test_workers_share_answers_and_one_that_is_killed_is_replaced(card: Run, served: Served) -> None:
    process, url = served
    parent = psutil.Process(process.pid)

    def workers() -> set[int]:
        found = set()
        for child in parent.children():
            with suppress(psutil.Error):  # one that has just ended
                found |= {child.pid} if "spawn_main" in " ".join(child.cmdline()) else set()
        return found

    wait_for(lambda: len(workers()) == 2)

    def score(k: int) -> dict[str, object]:
        headers = {"Idempotency-Key": f"key-{k % 5}"}
        answer = httpx.post(f"{url}/v1/scores", json=body(card, k % 5), headers=headers, trust_env=False, timeout=60)
        assert answer.status_code == 200, answer.text
        told: dict[str, object] = answer.json()
        return told

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(score, range(40)))
    assert len({json.dumps(answer) for answer in answers}) == 5
    assert {answer["mode"] for answer in answers} == {"refer"}
    for answer in answers[:5]:  # each a connection of its own, so of either worker
        again = httpx.get(f"{url}/v1/scores/{answer['score_id']}", trust_env=False)
        assert again.json() == answer
    counted = httpx.get(f"{url}/metrics", trust_env=False).text
    assert 'lianmo_scores_total{alias="",mode="refer"} 5.0' in counted
    victim = min(workers())
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in workers() and len(workers()) == 2)
    wait_for(lambda: score(1) == answers[1])
    last = workers()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert not [pid for pid in last if psutil.pid_exists(pid)]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_workers_decide_know_their_callers_and_forget_one_who_is_revoked_at_once(
    card: Run, tmp_path: Path, issuer: Issuer
) -> None:
    """schemathesis finds nothing there either; each request below is a connection of its own, so of either worker."""
    access = tmp_path / "access"
    access.mkdir(mode=0o700)
    settings = "[limits]\nper_second = 1e6\nburst = 1000000\n" + OAUTH
    (access / "access.toml").write_text(settings)
    (access / "jwks.json").write_text(json.dumps(issuer.jwks()))
    book = KeyBook(access)
    _, tester = book.add("tester", RIGHTS, 1.0)
    _, desk = book.add("desk", ["score"], 1.0)
    by_key, by_token = {"X-API-Key": desk}, {"Authorization": f"Bearer {issuer.token(exp=int(time.time()) + 3600)}"}
    with serving(card, tmp_path, "--access", access, "--policy", SAMPLE) as (_, url):

        def statuses(shown: dict[str, str]) -> set[int]:
            asked = json.loads(loan(product="park_limit").model_dump_json())
            sent = body(card, 1) | {"loan": asked}
            replies = [
                httpx.post(f"{url}/v1/scores", json=sent, headers=shown, trust_env=False, timeout=60) for _ in range(24)
            ]
            assert all(reply.json()["decided"] for reply in replies if reply.status_code == 200)
            return {reply.status_code for reply in replies}

        assert statuses(by_key) == statuses(by_token) == {200}
        finds_nothing(url, tester, 20, tmp_path)
        book.revoke("desk")
        assert statuses(by_key) == {401}
        (access / "access.toml").write_text(settings + 'revoked = ["loan-app"]\n')
        assert statuses(by_token) == {401}
