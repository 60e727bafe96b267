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
from contextlib import asynccontextmanager, suppress
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import httpx
import psutil
import pytest
from fastapi import FastAPI

from lab.serving import workers
from lab.serving.access.listening import Listening
from lab.serving.workers import serve_workers
from tests.lab.conftest import Write
from tests.lab.serving.test_scorecard_service import Run, body, trained


@pytest.fixture
def card(write_config: Write) -> Run:
    return trained(write_config)


@pytest.fixture
def served(card: Run, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
        rules = tmp_path / "service.toml"
        rules.write_text('[service]\nfallback = "refer"\nopen_seconds = 600.0\n', encoding="utf-8")
        command = [sys.executable, "-m", "lab.cli", "serve", str(card.bank), "--port", "0", "--workers", "2"]
        command += ["--host", f"host:tax={gone}", "--host", f"host:court={gone}", "--rules", str(rules)]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout
            url = process.stdout.readline().split()[-1]
            assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
            yield process, url
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def wait_for(true: object) -> None:
    until = time.monotonic() + 60
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
def test_workers_share_answers_and_one_that_is_killed_is_replaced(
    card: Run, served: tuple[subprocess.Popen[str], str]
) -> None:
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
