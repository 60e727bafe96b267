"""What do the relay, TLS and seals cost? One small exchange, a long message, and a training.

    python experiments/0014-relay/run.py --data FOLDER [--exchanges N] [--megabytes N] [--rows N] [--trees N] [--quick]

Relay, bank and host are three processes on loopback. The training runs bank and host in one process over a relay in
another; what seals cost it is the CPU time spent in them, at both ends, beside the CPU time of the whole. Writes the
table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import trustme

from federation.ciphers.suite import CipherRules, secret_cipher
from federation.ciphers.suites.choice import suite
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.agreement import Seals
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.frames import CHUNK_BYTES, LAST, Tls
from federation.transports.link import Link
from federation.transports.relay import Relay
from federation.transports.sealing import SealedSession
from federation.vertical.guest import Arrangement, TrainingJob, train
from federation.vertical.host import ALLOWED, TrainingHost
from lab.result_page import put_lines
from models.boosting.parameters import BoostingParameters
from models.table import Table

PARTIES = ("bank", "host:bureau")
SPAWN = multiprocessing.get_context("spawn")
WORDS = {"": "no seals", "international": "seals, international", "sm": "seals, sm"}


@dataclass(frozen=True)
class Papers:
    """What one party has; plain data, so that it can be given to a process."""

    tls: Tls | None
    suite: str
    private: bytes
    known: Mapping[str, tuple[str, bytes]]

    def link(self, address: str, party: str) -> Link:
        seals = Seals.with_key(self.suite, self.private, self.known) if self.suite else None
        return Link(address, "bench", party, party, tls=self.tls, seals=seals)


def papers(suite_name: str, secure: bool) -> tuple[dict[str, Papers], Tls | None]:
    """Of each party, and of the relay."""
    authority = trustme.CA()

    def tls(name: str) -> Tls | None:
        if not secure:
            return None
        made = authority.issue_cert("127.0.0.1", common_name=name)
        chain = b"".join(part.bytes() for part in made.cert_chain_pems)
        return Tls(chain, made.private_key_pem.bytes(), authority.cert_pem.bytes())

    private = {party: suite(suite_name or "international").new_signing_key() for party in PARTIES}
    public = {
        party: (suite_name, suite(suite_name or "international").verifying_key(key)) for party, key in private.items()
    }
    return {
        party: Papers(tls(party), suite_name, private[party], {p: k for p, k in public.items() if p != party})
        for party in PARTIES
    }, tls("relay")


def hold_relay(line: Connection, tls: Tls | None) -> None:
    relay = Relay()
    line.send(f"127.0.0.1:{relay.serve('127.0.0.1:0', tls)}")
    relay.open_session("bench", {party: party for party in PARTIES})
    line.recv()
    relay.stop()


def answer_back(address: str, own: Papers) -> None:
    """The host: a small answer to everything."""
    with own.link(address, PARTIES[1]) as link:
        serve_responder(link, lambda frame: (frame[:200], frame == b"bye"), PARTIES[0], idle_seconds=600)


@contextmanager
def relay_process(tls: Tls | None) -> Iterator[str]:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=hold_relay, args=(theirs, tls))
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def passing(suite_name: str, secure: bool, exchanges: int, megabytes: int) -> dict[str, float]:
    """Milliseconds of one exchange of 200 bytes each way; MB/s of a message of ``megabytes``, until it is answered."""
    of, tls = papers(suite_name, secure)
    with relay_process(tls) as address:
        host = SPAWN.Process(target=answer_back, args=(address, of[PARTIES[1]]))
        host.start()
        with of[PARTIES[0]].link(address, PARTIES[0]) as link:
            wire = RelayWire(link)
            small, large = os.urandom(200), os.urandom(megabytes * 2**20)
            taken = [timed(lambda: wire.exchange({PARTIES[1]: small})) for _ in range(exchanges + 50)][50:]
            rates = [megabytes / timed(lambda: wire.exchange({PARTIES[1]: large})) for _ in range(5)]
            wire.exchange({PARTIES[1]: b"bye"})
        host.join()
    return {
        "p50": float(np.percentile(taken, 50)) * 1e3,
        "p95": float(np.percentile(taken, 95)) * 1e3,
        "rate": float(np.median(rates)),
    }


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sealing_rate(suite_name: str, chunks: int) -> tuple[float, float]:
    """MB/s of sealing and of opening chunks, alone; and milliseconds of one agreement on keys."""
    of, _ = papers(suite_name, False)
    one, other = (SealedSession(Seals.with_key(suite_name, of[p].private, of[p].known), "bench", p) for p in PARTIES)

    def agree() -> None:
        answer, _ = other.take(PARTIES[0], LAST, one.arrived(PARTIES[1]) or b"")
        confirm, _ = one.take(PARTIES[1], LAST, answer or b"")
        other.take(PARTIES[0], LAST, confirm or b"")

    agreement = timed(agree) * 1e3
    chunk = os.urandom(CHUNK_BYTES)
    both = timed(lambda: [other.take(PARTIES[0], LAST, one.seal(PARTIES[1], LAST, chunk)) for _ in range(chunks)])
    return 2 * chunks / both, agreement


def tables(data: Path, rows: int) -> tuple[Table, Table, np.ndarray[Any, Any]]:
    """Bank and host of default-credit, and the bank's label."""
    bank, host = (pd.read_csv(data / f"default_credit_{part}.csv.gz")[:rows] for part in ("guest", "host"))
    label = bank.pop("y").to_numpy(float)

    def table(frame: pd.DataFrame, name: str) -> Table:
        columns = {f"{name}_{c}": frame[c].to_numpy(float) for c in frame.columns if c != "id"}
        return Table(tuple(frame["id"].astype(str)), columns)

    return table(bank, "bank"), table(host, "bureau"), label


def training(suite_name: str, data: Path, rows: int, trees: int) -> tuple[float, float]:
    """CPU seconds of bank and host, and those of them spent in seals."""
    bank, host_table, label = tables(data, rows)
    of, _ = papers(suite_name, False)
    job = TrainingJob(
        model_id="bench",
        party=PARTIES[0],
        table=bank,
        label=label,
        hosts=PARTIES[1:],
        parameters=BoostingParameters(n_estimators=trees, max_depth=5, max_bin=32, min_child_samples=20),
        new_cipher=lambda n: secret_cipher("paillier", 2048, CipherRules(), n),
        arrange=lambda common: Arrangement(common, len(common) - 100, 0),
    )
    spent = [0.0]
    endpoint = Endpoint(TrainingHost(PARTIES[1], host_table, HostPolicy()), PARTIES[0], ALLOWED)

    def serve(address: str) -> None:
        with of[PARTIES[1]].link(address, PARTIES[1]) as link:
            watch(link, spent)
            serve_responder(link, endpoint.answer, PARTIES[0], idle_seconds=600)

    with relay_process(None) as address, ThreadPoolExecutor(1) as pool:
        start = time.process_time()
        served = pool.submit(serve, address)
        with of[PARTIES[0]].link(address, PARTIES[0]) as link:
            watch(link, spent)
            run(train(job), RelayWire(link))
        served.result()
    return time.process_time() - start, spent[0]


def watch(link: Link, spent: list[float]) -> None:
    """Add up the CPU time of the thread that seals or opens."""
    sealed: Any = link._sealed
    if sealed is None:
        return
    for name in ("seal", "take"):
        work = getattr(sealed, name)

        def counted(*arguments: Any, work: Any = work) -> Any:
            start = time.thread_time()
            try:
                return work(*arguments)
            finally:
                spent[0] += time.thread_time() - start

        setattr(sealed, name, counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--exchanges", type=int, default=2000)
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--trees", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="little of everything, no RESULT.md: to see that it runs")
    a = parser.parse_args()
    if a.quick:
        a = argparse.Namespace(**{**vars(a), "exchanges": 20, "megabytes": 2, "rows": 800, "trees": 1})
    lines = ["| connection | p50 ms | p95 ms | MB/s |", "|---|---|---|---|"]
    for secure in (True,) if a.quick else (False, True):
        for name, words in WORDS.items():
            found = passing(name, secure, a.exchanges, a.megabytes)
            way = "TLS" if secure else "in clear"
            lines.append(f"| {way}, {words} | {found['p50']:.2f} | {found['p95']:.2f} | {found['rate']:.0f} |")
    lines += [
        "",
        "| suite | agreement, ms | seal or open, MB/s | training, CPU s | of it in seals |",
        "|---|---|---|---|---|",
    ]
    for name in ("international", "sm"):
        rate, agreement = sealing_rate(name, 4 if a.quick else 256)
        cpu, seals = training(name, a.data, a.rows, a.trees)
        lines.append(f"| {name} | {agreement:.1f} | {rate:.0f} | {cpu:.1f} | {seals:.3f} s, {seals / cpu:.2%} |")
    lines += ["", f"Made on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."]
    print("\n".join(lines))
    if not a.quick:
        put_lines(Path(__file__).parent / "RESULT.md", lines)


if __name__ == "__main__":
    main()
