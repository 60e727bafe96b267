"""Hub and three nodes as processes of their own, on Flower's deployment engine, over TLS: the model of one machine."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from lab.config import parse_config
from lab.data.demo import write_demo_data
from lab.flower_programs import MARK, free_port
from lab.hub.invitations import invite
from lab.hub.members import Members
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.jobs import node_directory
from lab.membership.hub_client import join
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError

HOSTS = ("host:social", "host:registry")
RUN = {"boosting": {"n_estimators": 2, "max_depth": 3}}


def hosts(data: dict[str, Path]) -> list[dict[str, Any]]:
    return [{"party": host, "data": str(data[host])} for host in HOSTS]


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


@pytest.mark.slow
def test_a_federation_trains_the_model_of_one_machine_and_refuses_other_code(tmp_path: Path) -> None:
    data = write_demo_data(tmp_path / "data")
    guest = {"party": "bank", "data": str(data["bank"]), "label": "default"}
    plain = {**RUN, "run": {"directory": "runs/memory", "transport": "memory"}, "guest": guest, "hosts": hosts(data)}
    train_run(parse_config(plain, tmp_path), Console(quiet=True))

    hub, settings = tmp_path / "hub", HubSettings(address=f"127.0.0.1:{free_port()}")
    create_hub(hub, settings)
    canary = tmp_path / "canary"
    with ExitStack() as stack:
        stack.enter_context(command(tmp_path / "hub.log", "listens", "hub", "start", "--hub", str(hub)))
        for party in ("bank", *HOSTS):
            node = tmp_path / party.replace(":", "-")
            role: Any = "host" if party in HOSTS else "guest"
            made = invite(authority_of(hub), settings.name, settings.address, party, role, 1.0)
            Members(hub).invited(made)
            join(node, made)
            if party in HOSTS:
                (node / "party.toml").write_text(f'party = "{party}"\ndata = "{data[party]}"\n')
            log = tmp_path / f"{node.name}.log"
            stack.enter_context(command(log, "waits", "node", "start", "--node", str(node)))

        section = {"node": "bank", "hosts": HOSTS}
        through = {**RUN, "run": {"directory": "runs/hub"}, "guest": guest, "hub": section}
        config = parse_config(through, tmp_path)
        # A hub that ships other code: nothing of it runs at any node, and the nodes go on afterwards.
        entry = hub / "flower" / "app" / "lianmo_shim" / "client_app.py"
        ours = entry.read_text()
        entry.write_text(ours + f"\nfrom pathlib import Path\nPath({str(canary)!r}).touch()\n")
        with pytest.raises(LianmoError) as refused:
            train_run(config, Console(quiet=True))
        assert "unknown_bundle" in refused.value.english
        assert not canary.exists()
        assert not (tmp_path / "runs" / "hub").exists()
        assert "unknown_bundle" in (tmp_path / "host-social" / "node.log").read_text()

        entry.write_text(ours)
        train_run(config, Console(quiet=True))
        assert_same_model(tmp_path)
    assert left_over(tmp_path) == []


def assert_same_model(folder: Path) -> None:
    models = []
    for run in ("memory", "hub"):
        model = JointModel.from_json(load(node_directory(folder / "runs" / run, "bank") / "model.json"))
        halves = []
        for host in HOSTS:
            one_machine = node_directory(folder / "runs" / run, host)
            own = folder / host.replace(":", "-") / "runs" / model.own.model_id
            half = Half.from_json(load((one_machine if run == "memory" else own) / "half.json"))
            assert half.digest() == model.host_digests[host]
            halves.append((half.bins, half.splits))
        models.append((model.trees, model.base_margin, model.own.splits, halves))
    assert models[0] == models[1]
    # Nothing of the hosts' own is with the bank, and nothing of the bank's with the hub.
    assert not (folder / "runs" / "hub" / "nodes" / "host-social").exists()
    secret = (folder / "data" / "bank.csv").read_bytes().splitlines()[1].split(b",")[0]
    for path in (folder / "hub").rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes()
