"""What does a score cost that goes through the relay, against HTTP straight to the hosts?

    python experiments/0022-scoring-through-a-hub/run.py [--questions N] [--quick]

The synthetic city: each host is a process with its data node (consent, budget, records, audit log) and answers the same
questions both ways; relay and bank are processes of their own. One applicant per question, alternately over HTTP in
clear and over standing lines (TLS to the relay, sealed from end to end). Writes the tables in RESULT.md beside this
file.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import trustme
from rich.console import Console
from sqlalchemy import update

from federation.ciphers.suites.choice import suite
from federation.endpoint import Endpoint
from federation.script import Wire, run
from federation.transports.agreement import Seals
from federation.transports.frames import Tls
from federation.transports.http import HttpWire
from federation.transports.line import answer_line
from federation.transports.link import Link
from federation.transports.memory import Answer, MemoryWire
from federation.transports.relay import Relay
from federation.transports.standing import StandingWire
from federation.vertical.scoring.guest import score
from lab.config import load_config
from lab.data.sources import read_table
from lab.data.synthetic.nodes import write_nodes
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.governance.policy import PolicyBook
from lab.governance.protection import PASSPHRASE
from lab.governance.settings import load_settings
from lab.governance.store import open_store
from lab.governance.tables import PROJECTS
from lab.result_page import put_lines
from lab.runs import train_run
from lab.serving.host_api import create_host_app
from lab.serving.nodes import hosts_beside, job_in, joint_model, scoring_endpoint
from lab.serving.server import running
from models.errors import LianmoError
from models.joint import Joint
from models.table import Table

SPAWN = get_context("spawn")
BANK = "bank"


@dataclass(frozen=True)
class Papers:
    """What one party needs at the relay."""

    party: str
    tls: Tls
    private: bytes
    known: Mapping[str, tuple[str, bytes]]

    def link(self, address: str, host: str) -> Link:
        seals = Seals.with_key("international", self.private, self.known)
        link = Link(address, host, self.party, self.party, tls=self.tls, seals=seals).__enter__()
        link.await_party(host if self.party == BANK else BANK, 60)
        return link


def papers(hosts: list[str]) -> tuple[dict[str, Papers], Tls]:
    authority = trustme.CA()

    def tls(name: str) -> Tls:
        made = authority.issue_cert("127.0.0.1", common_name=name)
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        return Tls(chain, made.private_key_pem.bytes(), authority.cert_pem.bytes())

    private = {party: suite("international").new_signing_key() for party in (BANK, *hosts)}
    known = {party: ("international", suite("international").verifying_key(key)) for party, key in private.items()}
    return {party: Papers(party, tls(party), private[party], known) for party in private}, tls("relay")


def hold_relay(line: Connection, tls: Tls, hosts: list[str]) -> None:
    relay = Relay()
    line.send(f"127.0.0.1:{relay.serve('127.0.0.1:0', tls)}")
    for host in hosts:
        relay.open_session(host, {host: host, BANK: BANK})
    line.recv()
    relay.stop()


def hold_host(line: Connection, folder: Path, address: str, own: Papers) -> None:
    """Both doors of one host."""
    endpoint = scoring_endpoint(folder)
    with running(create_host_app(endpoint)) as url:
        line.send(url)
        link = own.link(address, own.party)
        threading.Thread(target=answer_until_left, args=(link, endpoint), daemon=True).start()
        line.recv()
        link.close()


def answer_until_left(link: Link, endpoint: Endpoint) -> None:
    with suppress(LianmoError):
        answer_line(link, endpoint.answer, BANK)


@contextmanager
def process(target: object, *arguments: object) -> Iterator[str]:
    ours, theirs = SPAWN.Pipe()
    started = SPAWN.Process(target=target, args=(theirs, *arguments))  # type: ignore[arg-type]
    started.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        started.join(10)


def prepare(city: Path, n_enterprises: int, n_trees: int) -> Path:
    """A finished run through the nodes, whose budgets allow what is asked here; the bank's folder."""
    write_population(city, Settings(n_enterprises=n_enterprises, seed=1, default_rate=0.045))
    path = write_nodes(city, passphrase=os.environ[PASSPHRASE])
    text = path.read_text("utf-8").replace("n_estimators = 80", f"n_estimators = {n_trees}")
    path.write_text(text.replace("[run]\n", '[run]\ntransport = "memory"\n', 1), "utf-8")
    config = load_config(path)
    for host in config.hosts:
        assert host.node
        engine = open_store(load_settings(host.node).store)
        terms = PolicyBook(engine).terms(host.project).model_copy(update={"max_uses": 10**9, "max_rows": 10**12})
        with engine.begin() as connection:
            connection.execute(update(PROJECTS).values(terms=terms.model_dump_json()))
        engine.dispose()
    train_run(config, Console(quiet=True))
    return config.run.directory / "nodes" / "bank"


@dataclass
class Timed:
    """A wire that notes how long each exchange took."""

    wire: Wire
    spent: list[float]

    def exchange(self, frames: Mapping[str, bytes]) -> Mapping[str, bytes]:
        started = time.perf_counter()
        replies = self.wire.exchange(frames)
        self.spent.append(time.perf_counter() - started)
        return replies


def ask(model: Joint, applicants: Table, wires: Mapping[str, Wire], n: int) -> tuple[dict[str, np.ndarray], bool]:
    """Way → seconds of each score; whether all ways gave the same bits."""
    spent: dict[str, list[float]] = {name: [] for name in wires}
    same = True
    for k in range(-min(20, n), n):  # the first ones warm up
        row = applicants.take(np.array([k % len(applicants)]))
        margins = set()
        for name, wire in wires.items():
            timed = Timed(wire, [])
            margins.add(run(score(model, row), timed).margin.tobytes())
            spent[name] += [sum(timed.spent)] if k >= 0 else []
        same &= len(margins) == 1
    return {name: np.array(seconds) for name, seconds in spent.items()}, same


def row(name: str, seconds: np.ndarray, than: np.ndarray | None = None) -> str:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    more = "" if than is None else f"{p50 - np.percentile(than, 50) * 1000:+.2f}"
    return f"| {name} | {p50:.2f} | {p95:.2f} | {more} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="a small city, no RESULT.md: to see that it runs")
    parser.add_argument("--data", type=Path, help="not used: the city is drawn")
    arguments = parser.parse_args()
    n = 10 if arguments.quick else arguments.questions
    os.environ.setdefault(PASSPHRASE, "correct horse battery staple")
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        bank = prepare(Path(place) / "city", 2500, 2 if arguments.quick else 30)
        model = joint_model(bank)[0]
        applicants = read_table(job_in(bank).party)
        folders = {host: folder for host, folder in hosts_beside(bank).items() if host in model.needed_hosts}
        # One host alone, in this process: what a question costs where it is answered.
        cost: dict[str, np.ndarray] = {}
        answers = {host: scoring_endpoint(folder).answer for host, folder in folders.items()}
        known = run(score(model, applicants), MemoryWire(answers)).known
        applicants = applicants.take(np.flatnonzero(np.logical_and.reduce(list(known.values()))))
        for host in folders:
            cost[host] = alone(model, applicants, host, answers, n)
        parts, at_relay = papers(list(folders))
        address = stack.enter_context(process(hold_relay, at_relay, list(folders)))
        urls = {h: stack.enter_context(process(hold_host, f, address, parts[h])) for h, f in folders.items()}
        http = stack.enter_context(HttpWire(urls))
        lines = stack.enter_context(StandingWire(lambda host: parts[BANK].link(address, host), list(folders)))
        for host in folders:
            assert lines._post(host).line(time.monotonic() + 60)
        spent, same = ask(model, applicants, {"HTTP, in clear": http, "relay, TLS and seals": lines}, n)
    assert same, "the two ways differ"
    rows = [
        f"| a joint score, {len(folders)} hosts with data nodes | p50 ms | p95 ms | more at p50 |",
        "|---|---|---|---|",
    ]
    direct, relayed = spent["HTTP, in clear"], spent["relay, TLS and seals"]
    rows += [row("HTTP, in clear", direct), row("relay, TLS and seals", relayed, direct), ""]
    rows += ["| one host alone, both questions of a score | p50 ms | p95 ms | CPU ms, mean |", "|---|---|---|---|"]
    rows += [f"{row(host, took[:, 0])[:-2]} {took[:, 1].mean() * 1000:.2f} |" for host, took in cost.items()]
    rows += ["", f"{n} scores each way, alternately; {os.cpu_count()} cores, one-minute load {os.getloadavg()[0]:.1f}."]
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


def alone(model: Joint, applicants: Table, host: str, answers: Mapping[str, Answer], n: int) -> np.ndarray:
    """Seconds of time and of CPU that ``host`` takes for both questions of a score, without any wire; shape (n, 2)."""
    seconds: list[tuple[float, float]] = []

    def timed(frame: bytes) -> tuple[bytes, bool]:
        wall, cpu = time.perf_counter(), time.thread_time()
        reply = own(frame)
        seconds.append((time.perf_counter() - wall, time.thread_time() - cpu))
        return reply

    own = answers[host]
    wire = MemoryWire({**answers, host: timed})
    for k in range(n):
        run(score(model, applicants.take(np.array([k % len(applicants)]))), wire)
    return np.array(seconds).reshape(-1, 2, 2).sum(axis=1)[min(20, n // 2) :]


if __name__ == "__main__":
    main()
