"""Processes of the measurement: each is started, waited for, and ended, with what it says in a file."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from fastapi import FastAPI

from federation.endpoint import Endpoint
from federation.transports.async_http import AsyncHttpWire
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from lab.data.sources import read_table
from lab.governance.protection import PASSPHRASE
from lab.serving.access.listening import Listening
from lab.serving.guest_api import create_guest_app
from lab.serving.host_api import create_host_app
from lab.serving.loaded import Loaded, OneModel
from lab.serving.nodes import bank_record, job_in, scoring_endpoint
from lab.serving.publishing.stored import loaded_from
from lab.serving.rules import ServiceRules
from lab.serving.server import serve_app
from lab.serving.store import AnswerStore
from lab.serving.workers import serve_workers
from models.bundle import load
from models.joint import half_from_json

_START_SECONDS = 120.0


@dataclass(frozen=True)
class Bank:
    """The bank's application as a worker makes it.

    Attributes:
        directories: the bank's folders of one run or several, whose models are served.
        alone: the bank's own model answers everything: nobody else is asked.
        audited: scores go into the bank's audit log, that of the first run.
        swap: holds the number of the run that is served now.
    """

    directories: tuple[Path, ...]
    urls: Mapping[str, str]
    store: str
    alone: bool = False
    audited: bool = True
    rules: ServiceRules = field(default_factory=ServiceRules)
    swap: Path | None = None

    def app(self) -> FastAPI:
        found = [loaded_from(directory) for directory in self.directories]
        record = bank_record(self.directories[0], found[0].joint.model) if self.audited else None
        if self.alone:
            found = [Loaded(published=f.published, joint=f.bank_only, words=f.words) for f in found if f.bank_only]
        shelf = Swapping(found, self.swap) if self.swap else OneModel(found[0])
        wire = AsyncHttpWire(self.urls)
        return create_guest_app(shelf, wire, rules=self.rules, record=record, store=AnswerStore.open(self.store))


@dataclass(frozen=True)
class Swapping:
    """A shelf whose model is changed by a file."""

    found: Sequence[Loaded]
    swap: Path

    def chosen(self, application_id: str) -> Loaded:  # noqa: ARG002
        return self.found[int(self.swap.read_text() or 0)]


class Process:
    """One of ours; ``kill`` ends it as a crash does."""

    def __init__(self, arguments: list[str], port: int, log: Path, health: str, **environment: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._log = log.open("ab")
        self._process = subprocess.Popen(
            arguments, stdout=self._log, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
        until = time.monotonic() + _START_SECONDS
        while True:
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"did not start; see {log}")
            try:
                if httpx.get(self.url + health, timeout=1.0, trust_env=False).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Of it and what it started, so far."""
        parent = psutil.Process(self.pid)
        times = [p.cpu_times() for p in (parent, *parent.children(recursive=True))]
        return sum(t.user + t.system for t in times)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.close()

    def freeze(self) -> None:
        """It takes calls and answers none."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def endpoint_of(directories: Sequence[Path]) -> Endpoint:
    """A data node that holds its halves of several runs on the same rows."""
    if len(directories) == 1:
        return scoring_endpoint(directories[0])
    job = job_in(directories[0])
    halves = [half_from_json(load(directory / "half.json")) for directory in directories]
    table = read_table(job.party, varied=False)
    return Endpoint(ScoringHost(table, {h.model_id: h for h in halves}, job.party.policy), "bank", ALLOWED)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start_host(directories: Sequence[Path], log: Path, port: int = 0) -> Process:
    port = port or free_port()
    return Process([sys.executable, __file__, "host", str(port), *map(str, directories)], port, log, "/healthz")


def start_bank(bank: Bank, log: Path, passphrase: str, *, workers: int = 1, port: int = 0) -> Process:
    port = port or free_port()
    arguments = [sys.executable, __file__, "bank", str(port), *map(str, bank.directories), "--store", bank.store]
    arguments += [f"--host={party}={url}" for party, url in bank.urls.items()]
    arguments += ["--workers", str(workers)] + ["--alone"] * bank.alone + ["--unaudited"] * (not bank.audited)
    arguments += ["--rules", bank.rules.model_dump_json(), *(["--swap", str(bank.swap)] if bank.swap else [])]
    return Process(arguments, port, log, "/healthz", **{PASSPHRASE: passphrase})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["bank", "host"])
    parser.add_argument("port", type=int)
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--store", default="sqlite://")
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--unaudited", action="store_true")
    parser.add_argument("--rules", default="{}")
    parser.add_argument("--swap", type=Path)
    a = parser.parse_args()
    if a.what == "host":
        serve_app(create_host_app(endpoint_of(a.directories)), "127.0.0.1", a.port)
        return
    urls = dict(entry.split("=", 1) for entry in a.host)
    rules = ServiceRules.model_validate_json(a.rules)
    bank = Bank(tuple(a.directories), urls, a.store, a.alone, not a.unaudited, rules, a.swap)
    if a.workers == 1:
        serve_app(bank.app(), "127.0.0.1", a.port)
    else:
        AnswerStore.open(a.store).close()
        serve_workers(bank.app, Listening(bind="127.0.0.1"), a.port, a.workers)


if __name__ == "__main__":
    main()
