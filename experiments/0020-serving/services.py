"""Processes of the measurement: each is started, waited for, and ended, with what it says in a file."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from fastapi import FastAPI

from federation.transports.async_http import AsyncHttpWire
from lab.governance.protection import PASSPHRASE
from lab.serving.access.listening import Listening
from lab.serving.guest_api import create_guest_app
from lab.serving.loaded import Loaded, OneModel
from lab.serving.nodes import bank_record
from lab.serving.publishing.stored import loaded_from
from lab.serving.rules import ServiceRules
from lab.serving.server import serve_app
from lab.serving.store import AnswerStore
from lab.serving.workers import serve_workers

_START_SECONDS = 120.0


@dataclass(frozen=True)
class Bank:
    """The bank's application as a worker makes it.

    Attributes:
        directory: the bank's folder of the run whose model is served.
        alone: the bank's own model answers everything: nobody else is asked.
        audited: scores go into the bank's audit log.
    """

    directory: Path
    urls: Mapping[str, str]
    store: str
    alone: bool = False
    audited: bool = True
    rules: ServiceRules = field(default_factory=ServiceRules)

    def app(self) -> FastAPI:
        found = loaded_from(self.directory)
        record = bank_record(self.directory, found.joint.model) if self.audited else None
        if self.alone:
            assert found.bank_only
            found = Loaded(published=found.published, joint=found.bank_only, words=found.words)
        wire = AsyncHttpWire(self.urls)
        return create_guest_app(
            OneModel(found), wire, rules=self.rules, record=record, store=AnswerStore.open(self.store)
        )


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start_serving(directory: Path, log: Path, *arguments: str, port: int = 0, **environment: str) -> Process:
    """``lianmo serve`` of a party's folder, or of a bank's shelf."""
    port = port or free_port()
    command = [sys.executable, "-m", "lab.cli", "serve", str(directory), "--port", str(port), *arguments]
    return Process(command, port, log, "/healthz", **environment)


def start_bank(bank: Bank, log: Path, passphrase: str, *, workers: int = 1, port: int = 0) -> Process:
    port = port or free_port()
    arguments = [sys.executable, __file__, str(port), str(bank.directory), "--store", bank.store]
    arguments += [f"--host={party}={url}" for party, url in bank.urls.items()]
    arguments += ["--workers", str(workers)] + ["--alone"] * bank.alone + ["--unaudited"] * (not bank.audited)
    arguments += ["--rules", bank.rules.model_dump_json()]
    return Process(arguments, port, log, "/healthz", **{PASSPHRASE: passphrase})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--store", default="sqlite://")
    parser.add_argument("--host", action="append", default=[])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--unaudited", action="store_true")
    parser.add_argument("--rules", default="{}")
    a = parser.parse_args()
    urls = dict(entry.split("=", 1) for entry in a.host)
    rules = ServiceRules.model_validate_json(a.rules)
    bank = Bank(a.directory, urls, a.store, a.alone, not a.unaudited, rules)
    if a.workers == 1:
        serve_app(bank.app(), "127.0.0.1", a.port)
    else:
        AnswerStore.open(a.store).close()
        serve_workers(bank.app, Listening(bind="127.0.0.1"), a.port, a.workers)


if __name__ == "__main__":
    main()
