"""Hub and nodes as processes of their own, on Flower's deployment engine."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from lab.flower_programs import MARK, free_port
from lab.hub.invitations import invite, role_of
from lab.hub.members import Members
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.membership.hub_client import join


def node_of(folder: Path, party: str) -> Path:
    """Where a party's node lies in a federation below ``folder``."""
    return folder / party.replace(":", "-")


@contextmanager
def federation(folder: Path, own: Mapping[str, Mapping[str, str]]) -> Iterator[Path]:
    """A hub, whose folder is yielded, and nodes that wait for sessions; all is gone afterwards.

    Args:
        own: party → its own files, name → text, put into the node's folder.
    """
    hub, settings = folder / "hub", HubSettings(address=f"127.0.0.1:{free_port()}")
    create_hub(hub, settings)
    with ExitStack() as stack:
        stack.enter_context(command(folder / "hub.log", "listens", "hub", "start", "--hub", str(hub)))
        for party, files in own.items():
            node = node_of(folder, party)
            made = invite(authority_of(hub), settings.name, settings.address, party, role_of(party), 1.0)
            Members(hub).invited(made)
            join(node, made)
            for name, text in files.items():
                (node / name).write_text(text, "utf-8")
            log = folder / f"{node.name}.log"
            stack.enter_context(command(log, "waits", "node", "start", "--node", str(node)))
        yield hub
    assert left_over(folder) == []


@contextmanager
def command(log: Path, ready: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of ours, once its log says ``ready``; stopped politely on the way out."""
    waiting = threading.Event()
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.cli", *arguments], stdout=file, stderr=subprocess.STDOUT, cwd=log.parent
        )
    try:
        for _ in range(600):
            if ready in log.read_text() or process.poll() is not None:
                break
            waiting.wait(0.1)
        assert ready in log.read_text()
        yield process
    finally:
        process.terminate()
        process.wait(30)


def left_over(folder: Path) -> list[str]:
    """Processes of the federation that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) and str(folder) in process.environ().get("FLWR_HOME", ""):
                found.append(process.name())
        except psutil.Error:
            continue
    return found
