"""The reference topology (credit centre, tax, guarantor, bank) as processes in namespaces, and one session of it.

python sessions.py RUN.json [resume]      trains, or goes on; prints the error in both languages and exits with 1 if it
fails. It does what `lianmo train` and `lianmo runs resume` do, without report and record.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from lab.config import parse_config
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.errors import ServiceError
from lab.flower_programs import MARK
from lab.hub.invitations import invite, to_text
from lab.hub.members import Members
from lab.hub.settings import HubSettings, authority_of, create_hub
from lab.jobs import node_directory
from lab.run_list import find_runs, need_unfinished
from lab.run_states import RunState
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError

HERE = Path(__file__).parent
#: Namespace → party, and the folder of its data in the synthetic city.
HOSTS = {
    "credit": ("host:credit", "host-credit"),
    "tax": ("host:tax", "host-tax"),
    "guarantor": ("host:guarantee", "host-guarantee"),
}
GUEST = ("bank", "bank")
_START_SECONDS = 300.0


@dataclass(frozen=True)
class City:
    """Files of all parties below ``folder``, and what is trained on them."""

    folder: Path
    enterprises: int
    trees: int

    def draw(self) -> None:
        write_population(self.folder / "city", Settings(n_enterprises=self.enterprises, seed=16))

    def host(self, namespace: str) -> dict[str, Any]:
        """A host's ``party.toml``."""
        party, place = HOSTS[namespace]
        file = str(self.folder / "city" / place / "synthetic-features.parquet")
        return {"party": party, "data": file, "id": "subject", "drop": ["as_of", "synthetic"]}

    def run(self, name: str, where: Mapping[str, Any]) -> dict[str, Any]:
        """A run's settings, written to runs/``name``. ``where``: sections that say where the hosts are."""
        guest = {"party": GUEST[0], "data": str(self.folder / "city/bank/synthetic-features.parquet")}
        guest |= {"id": "subject", "label": "default", "drop": ["synthetic", "as_of"]}
        size = {"n_estimators": self.trees, "max_depth": 4, "min_child_samples": 20, "random_state": 16}
        run = {"directory": f"runs/{name}", "transport": "memory", **where.get("run", {})}
        rest = {key: value for key, value in where.items() if key != "run"}
        if "hub" in rest:
            run.pop("transport")
        return {"run": run, "boosting": size, "cipher": {"key_bits": 2048}, "guest": guest, **rest}

    def train_here(self, transport: str) -> dict[str, Any]:
        """On one machine; what ``result.json`` says."""
        where = {"run": {"transport": transport}, "hosts": [self.host(name) for name in HOSTS]}
        return train_run(parse_config(self.run(transport, where), self.folder), Console(quiet=True))

    def model(self, name: str) -> tuple[Any, ...]:
        """Trees, base margin, the bank's splits, and each host's bins and splits of a finished run."""
        run = self.folder / "runs" / name
        model = JointModel.from_json(load(node_directory(run, "bank") / "model.json"))
        halves = []
        for space, (party, _) in HOSTS.items():
            own = node_directory(run, party)
            if not own.exists():
                own = next(self.folder.glob(f"*/{space}/runs/{model.own.model_id}"))
            half = Half.from_json(load(own / "half.json"))
            assert half.digest() == model.host_digests[party]
            halves.append((half.bins, half.splits))
        return model.trees, model.base_margin, model.own.splits, halves


@dataclass
class Federation:
    """Hub and nodes at work. ``net``: as ``network.Network``; ``processes``: namespace → the command there."""

    city: City
    net: Any
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, space: str, *arguments: str, ready: str) -> None:
        """A command of ours in a namespace, until its log says ``ready``. Raises ``ServiceError`` (``no_start``)."""
        log = self.folder / f"{space}.log"
        # Only this run's words: a hub that starts again appends.
        already = len(log.read_bytes()) if log.exists() else 0
        command = self.net.inside(space, sys.executable, "-m", "lab.cli", *arguments)
        with log.open("ab") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=self.folder)
        self.processes[space] = process
        until = time.monotonic() + _START_SECONDS
        while ready.encode() not in log.read_bytes()[already:]:
            if process.poll() is not None or time.monotonic() > until:
                raise ServiceError("no_start", f"{space} did not start: see {log}.", f"{space} 未能启动，见 {log}。")
            time.sleep(0.1)

    def start_hub(self) -> None:
        self.start("hub", "hub", "start", "--hub", str(self.folder / "hub"), ready="listens on")

    def join(self, space: str, party: str) -> None:
        hub, node = self.folder / "hub", self.folder / space
        made = invite(authority_of(hub), "wan", self.net.hub, party, "host" if space in HOSTS else "guest", 1.0)
        Members(hub).invited(made)
        invitation = self.folder / f"{space}.invitation"
        invitation.write_text(to_text(made, authority_of(hub)), "utf-8")
        if space in HOSTS:
            node.mkdir(mode=0o700)
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in self.city.host(space).items()]
            (node / "party.toml").write_text("".join(lines), "utf-8")
        self.start(space, "node", "join", str(invitation), "--node", str(node), ready="waits")

    def start_node(self, space: str) -> None:
        """Once more, one that has joined."""
        self.start(space, "node", "start", "--node", str(self.folder / space), ready="waits")

    def begin(self, name: str, again: bool = False) -> subprocess.Popen[str]:
        """A bank's run through the hub, from the bank's namespace, written to runs/``name``; or its resumption."""
        section = {"node": str(self.folder / "bank"), "hosts": [party for party, _ in HOSTS.values()]}
        told = self.city.folder / f"{name}.json"
        where = {"hub": section, "run": {"checkpoint_share": 1}}
        told.write_text(json.dumps(self.city.run(name, where)), "utf-8")
        more = ["resume"] if again else []
        command = self.net.inside("bank", sys.executable, str(HERE / "sessions.py"), str(told), *more)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def train(self, name: str) -> dict[str, Any]:
        """Whole; what ``result.json`` says. Raises ``RuntimeError`` with what the run printed."""
        process = self.begin(name)
        output, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(output)
        return self.finished(name)

    def finished(self, name: str) -> dict[str, Any]:
        """What ``result.json`` of a run says; nothing: it is not finished."""
        path = self.city.folder / "runs" / name / "result.json"
        told: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return told

    def grown(self, name: str) -> int:
        """Trees of a run that is under way; a run without an account of them has none."""
        for path in (self.city.folder / "runs").glob(f".{name}.*.unfinished/nodes/bank/progress.jsonl"):
            with suppress(FileNotFoundError):  # it was moved meanwhile
                return path.read_text("utf-8").count('"stage": "training"')
        return -1

    def litter(self) -> tuple[str, ...]:
        """Files of runs that are over: of the bank's beside their places, of the hub's own, checkpoints of hosts."""
        beside = [path.name for path in (self.city.folder / "runs").glob(".*")]
        at_hub = [f"hub/{path.name}" for path in (self.folder / "hub" / "runs").glob("*")]
        kept = [f"{path.parts[-4]}/checkpoints" for path in self.folder.glob("*/runs/*/checkpoints")]
        return tuple(sorted((*beside, *at_hub, *kept)))

    def left_over(self) -> list[str]:
        """Processes that bear the mark of this federation."""
        found = []
        for process in psutil.process_iter():
            try:
                variables = process.environ()
            except psutil.Error:
                continue
            if variables.get(MARK) and str(self.folder) in variables.get("FLWR_HOME", ""):
                found.append(process.name())
        return found


@contextmanager
def federation(city: City, net: Any, name: str) -> Iterator[Federation]:
    """Hub and all nodes, joined and waiting; stopped politely on the way out."""
    folder = city.folder / name
    folder.mkdir()
    made = Federation(city, net, folder)
    create_hub(folder / "hub", HubSettings(name="wan", address=net.hub, listen="0.0.0.0"))
    with ExitStack() as stack:
        stack.callback(_stop, made.processes)
        made.start_hub()
        with ThreadPoolExecutor(4) as pool:
            joining = [pool.submit(made.join, space, party) for space, (party, _) in {"bank": GUEST, **HOSTS}.items()]
        for joined in joining:
            joined.result()
        yield made


def _stop(processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
    for process in reversed(processes.values()):
        process.terminate()
    for process in processes.values():
        process.wait(60)


def main(told: Path, again: bool) -> int:
    config = parse_config(json.loads(told.read_text("utf-8")), told.parent)
    under_way = [run for run in find_runs(config.run.directory.parent) if run.name == config.run.directory.name]
    try:
        state = need_unfinished(under_way[0]) if again and under_way else RunState.new(config, record=False)
        train_run(state.parsed, Console(quiet=True), state=state)
    except LianmoError as error:
        print(f"[{error.code}] {error.english}\n{error.chinese}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(Path(sys.argv[1]), "resume" in sys.argv[2:]))
