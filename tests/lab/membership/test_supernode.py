"""The party's Flower node is looked after: what is left is ended first, what died is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.membership import supernode
from tests.lab.membership.test_session import joined

STAYING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    return joined(tmp_path / "tax", "host:tax", "host")


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_node_that_can_do_no_more_work_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supernode, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(supernode, "has_lost_executor", lambda pid: pid == process.pid)
    with subprocess.Popen(STAYING, stdin=subprocess.PIPE) as process:
        supernode._attend(process, threading.Event())
        assert process.returncode == -signal.SIGKILL


def test_before_a_node_starts_the_last_ones_processes_are_ended_and_it_is_withdrawn(
    node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("end_left", "withdraw", "subprocess.Popen"):
        monkeypatch.setattr(f"lab.membership.supernode.{name}", lambda *_, name=name, **__: done.append(name))
    supernode._start(node, supernode.membership_of(node), node, {})
    assert done == ["end_left", "withdraw", "subprocess.Popen"]


@pytest.mark.usefixtures("signals")
def test_a_node_that_died_is_started_again_until_we_are_told_to_stop(
    node: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: Any) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(STAYING, stdin=subprocess.PIPE))
        if len(started) < 3:
            started[-1].kill()
        else:
            os.kill(os.getpid(), signal.SIGTERM)
        return started[-1]

    monkeypatch.setattr(supernode, "_start", start)
    monkeypatch.setattr(supernode, "_FIRST_PAUSE", 0.0)
    supernode.run_supernode(node)
    assert len(started) == 3
    assert caplog.text.count("starting it again") == 2
    assert started[-1].wait(20) == -signal.SIGTERM  # politely
    for process in started:
        process.communicate()
