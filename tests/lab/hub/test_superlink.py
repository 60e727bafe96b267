"""Flower's SuperLink as the hub looks after it: known when it is of no use, started again, never left behind."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.errors import ServiceError
from lab.flower_programs import environment, marked
from lab.hub import service, superlink
from lab.hub.members import Members
from lab.hub.settings import HubSettings, create_hub
from lab.hub.superlink import SuperLink

STAYING = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def staying(path: Path) -> str:
    """A program that does nothing, for long."""
    path.write_text("#!/bin/sh\nexec sleep 1000\n")
    path.chmod(0o700)
    return str(path)


def test_one_that_can_start_no_run_is_ended_and_counts_as_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = False
    monkeypatch.setattr(superlink, "has_lost_executor", lambda _: lost)
    with subprocess.Popen(STAYING, stdin=subprocess.PIPE) as process:
        link = SuperLink(tmp_path, process=process)
        assert not link.died()
        lost = True
        assert link.died()
        assert process.returncode == -9


@pytest.mark.parametrize("patience", [0.0, 60.0], ids=["it takes too long", "nobody waits for it"])
def test_a_call_that_is_given_up_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(superlink, "_CALL_SECONDS", patience)
    monkeypatch.setattr(superlink, "program", lambda _: staying(tmp_path / "flwr"))
    link = SuperLink(tmp_path, variables=environment(tmp_path / "flower"))
    link.home.mkdir()

    async def work() -> None:
        call = asyncio.create_task(link.is_over("7"))
        if patience:
            while not marked(link.home):
                await asyncio.sleep(0.01)
            call.cancel()
        with pytest.raises(asyncio.CancelledError if patience else ServiceError):
            await call
        assert marked(link.home) == set()

    asyncio.run(work())


def test_what_a_hub_that_was_killed_left_is_ended_and_nothing_is_left_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_hub(tmp_path / "hub", HubSettings(address="127.0.0.1:1"))
    monkeypatch.setattr(superlink, "program", lambda name: staying(tmp_path / name))
    monkeypatch.setattr(SuperLink, "_answers", lambda _: True)
    link = SuperLink(tmp_path / "hub")
    link.home.mkdir()
    left = subprocess.Popen(["sleep", "1000"], env=environment(link.home))
    with link.running():
        left.wait(20)
        assert link.starts == 1
        assert link.process
        assert [process.pid for process in marked(link.home)] == [link.process.pid]
    assert marked(link.home) == set()
    link.process.wait(20)


def test_one_that_died_is_started_again_and_runs_of_who_was_put_out_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "_LOOK_SECONDS", 0.0)
    done: list[str] = []

    class Dying:
        said = iter((False, True))

        def died(self) -> bool:
            return next(self.said, False)

        def start(self) -> None:
            done.append("started")

    class Kept:
        async def keep_to(self, members: list[str]) -> None:
            done.append(f"runs of {members}")
            enough.set() if len(done) > 3 else None

    class KeptLines:
        def keep_to(self, members: list[str]) -> None:
            done.append(f"lines of {members}")

        def reap(self) -> None:
            done.append("reaped")

    async def look() -> None:
        opened: Any = service.Opened(Kept(), KeptLines())  # type: ignore[arg-type]
        looking = asyncio.create_task(service._look_after(Dying(), opened, Members(tmp_path)))  # type: ignore[arg-type]
        await asyncio.wait_for(enough.wait(), 20)
        looking.cancel()

    enough = asyncio.Event()
    asyncio.run(look())
    assert done[:5] == ["runs of []", "lines of []", "reaped", "started", "runs of []"]
    assert "starting it again" in caplog.text
