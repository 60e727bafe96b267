"""Is a run ever lost, or a model ever wrong, whoever is killed and whenever?

    python experiments/0015-chaos/run.py [--runs N] [--minutes N] [--seed N] [--quick]

Small runs over the relay, one process per party. In each, processes drawn at random (bank, one of two hosts, the relay
that leads them) are killed with SIGKILL at moments drawn at random, up to twice; what died is resumed until it is done.
Half of the moments are drawn from the time an undisturbed run takes, half from its trees, since most of the time of so
small a run goes into starting its processes.
Then the model must be that of a run nobody disturbed, and nothing may be left: no process, no listening port, no file
beside the run. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from rich.console import Console

from lab.config import load_config
from lab.result_page import put_lines
from lab.run_list import find_runs, need_unfinished
from lab.run_states import RunState
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import LianmoError

PARTIES = ("bank", "host:tax", "host:court")
TREES = 50
CONFIG = f"""
[run]
name = "chaos"
directory = "runs/chaos"
transport = "relay"
checkpoint_share = 1
[boosting]
n_estimators = {TREES}
max_depth = 4
max_bin = 32
min_child_samples = 5
bagging_fraction = 0.8
feature_fraction = 0.8
early_stopping_rounds = 50
[split]
valid = 0.2
[cipher]
name = "plain"
insecure_allow_plaintext = true
[guest]
party = "bank"
data = "bank.csv"
label = "bad"
[[hosts]]
party = "host:tax"
data = "tax.csv"
insecure_allow_plaintext = true
[[hosts]]
party = "host:court"
data = "court.csv"
insecure_allow_plaintext = true
"""


@dataclass
class Attempt:
    """One process that trains or resumes, and what was killed of it."""

    killed: str = ""
    trees: int = 0
    listening: set[int] = field(default_factory=set)
    family: list[psutil.Process] = field(default_factory=list)


def prepare(folder: Path, n: int = 2000) -> Path:
    """The files of a bank and two hosts, and the run's configuration."""
    rng = np.random.default_rng(5)
    risk = rng.normal(size=n)
    frame = pd.DataFrame({"id": [f"{i:08d}" for i in range(n)], "bad": (risk + rng.normal(size=n) > 0.8).astype(int)})
    for name, columns in (("bank", 3), ("tax", 4), ("court", 4)):
        features = {f"{name}{k}": risk * (k % 2) + rng.normal(size=n) for k in range(columns)}
        own = frame[["id", "bad"] if name == "bank" else ["id"]].assign(**features)
        own.sample(frac=0.95, random_state=columns).to_csv(folder / f"{name}.csv", index=False)
    path = folder / "run.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def model_of(run: Path) -> str:
    """All that must be the same, as text; ids and salts are drawn anew for every model."""
    halves = {p: run / "nodes" / p.replace(":", "-") for p in PARTIES}
    model = JointModel.from_json(load(halves["bank"] / "model.json"))
    own = {p: Half.from_json(load(path / "half.json")) for p, path in halves.items() if p != "bank"}
    assert {p: half.digest() for p, half in own.items()} == model.host_digests, "halves of different models"
    cuts = [(h.bins, h.splits) for h in (model.own, *own.values())]
    scores = (halves["bank"] / "scores.csv").read_text(encoding="utf-8")
    return repr((model.trees, model.base_margin, cuts, scores))


def grown(folder: Path) -> int:
    for path in (folder / "runs").glob(".chaos.*.unfinished/nodes/bank/progress.jsonl"):
        return path.read_text(encoding="utf-8").count('"stage": "training"')
    return 0


def attempt(folder: Path, state: RunState, rng: random.Random, seconds: float) -> Attempt:
    """Train or resume; kill one of its processes at a random moment of so many seconds or of its trees (0: none)."""
    done = Attempt()
    leader = multiprocessing.get_context("fork").Process(target=_lead, args=(state, folder / "said.txt"))
    leader.start()
    process = psutil.Process(leader.pid)
    victim, by_tree = rng.choice(("relay", *PARTIES)), rng.random() < 0.5
    tree, at = rng.randrange(1, TREES), time.monotonic() + rng.uniform(0.0, seconds) * (not by_tree)
    while leader.is_alive():
        with suppress(psutil.Error):
            done.family = list({process, *done.family, *process.children(recursive=True)})
            found = {**parties(process), "relay": process}
            if not done.listening and len(found) > len(PARTIES):
                done.listening = {c.laddr.port for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
            due = time.monotonic() >= at and (not by_tree or grown(folder) > tree)
            if seconds and not done.killed and due and victim in found:
                done.trees = grown(folder)
                found[victim].kill()
                done.killed = victim
        time.sleep(0.1)
    return done


def _lead(state: RunState, said: Path) -> None:
    """What `lianmo train` and `lianmo runs resume` do, without measures and report, which take most of the time."""
    with said.open("a") as file, suppress(LianmoError):
        train_run(state.parsed, Console(file=file), task="trial", state=state)


def parties(process: psutil.Process) -> dict[str, psutil.Process]:
    found = {}
    for child in process.children():
        line = child.cmdline()
        if "lab.node" in line:
            found[Path(line[3]).parent.name.replace("-", ":")] = child
    return found


def left(attempts: list[Attempt], folder: Path) -> dict[str, int]:
    """What is left of a run that is done."""
    family = [p for a in attempts for p in a.family]
    alive = psutil.wait_procs(family, timeout=10)[1]
    ours = {port for a in attempts for port in a.listening}
    ports = {c.laddr.port for c in psutil.net_connections() if c.status == psutil.CONN_LISTEN}
    files = [p for p in (folder / "runs").iterdir() if p.name != "chaos"]
    return {"processes": len(alive), "ports": len(ours & ports), "files": len(files)}


def one(folder: Path, path: Path, rng: random.Random, seconds: float) -> list[Attempt]:
    """One run, killed up to twice, until it is done."""
    state = RunState.new(load_config(path), record=False)
    attempts = [attempt(folder, state, rng, seconds)]
    while not (folder / "runs" / "chaos" / "result.json").exists():
        assert len(attempts) < 5, "it does not end"
        kills = sum(bool(a.killed) for a in attempts)
        again = [need_unfinished(run) for run in find_runs(folder / "runs") if run.phase != "finished"]
        state = again[0] if again else RunState.new(load_config(path), record=False)
        attempts.append(attempt(folder, state, rng, seconds if kills < 2 and rng.random() < 0.3 else 0.0))
    return attempts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=10.0, help="no further run is begun after so many")
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="one run, no RESULT.md: to see that it works")
    parser.add_argument("--data", type=Path, help="not used: rows are drawn")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    totals: Counter[str] = Counter()
    killed: Counter[str] = Counter()
    resumed_after: list[int] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = prepare(folder)
        start = time.monotonic()
        one(folder, path, rng, 0.0)
        seconds = time.monotonic() - start
        expected = model_of(folder / "runs" / "chaos")
        for k in range(1 if arguments.quick else arguments.runs):
            if time.monotonic() - began > 60 * arguments.minutes:
                break
            (folder / "runs" / "chaos").rename(folder / f"run-{k}")
            attempts = one(folder, path, rng, seconds)  # raises if it does not end: then a run is lost
            result = load(folder / "runs" / "chaos" / "result.json")
            totals["runs"] += 1
            totals["lost runs"] += "model_id" not in result
            totals["runs killed at least once"] += any(a.killed for a in attempts)
            totals["kills"] += sum(bool(a.killed) for a in attempts)
            totals["kills while trees were grown"] += sum(a.trees > 0 for a in attempts)
            totals["runs that went on from a checkpoint"] += "resumed_after" in result
            totals["wrong models"] += model_of(folder / "runs" / "chaos") != expected
            for what, n in left(attempts, folder).items():
                totals[f"{what} left"] += n
            killed.update(a.killed for a in attempts if a.killed)
            resumed_after += [result["resumed_after"]] if "resumed_after" in result else []
            print(k, [(a.killed, a.trees) for a in attempts], dict(totals), flush=True)
    rows = ["| | |", "|---|---|", *(f"| {what} | {n} |" for what, n in totals.items())]
    rows += [f"| killed | {', '.join(f'{who} {n}' for who, n in sorted(killed.items()))} |"]
    rows += [f"| resumed after tree | {', '.join(map(str, sorted(resumed_after)))} of {TREES} |"]
    rows += [f"| seconds of an undisturbed run, of all | {seconds:.0f}, {time.monotonic() - began:.0f} |"]
    print("\n".join(rows))
    bad = {what: totals[what] for what in ("wrong models", "lost runs", "processes left", "ports left", "files left")}
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)
    assert not any(bad.values()), bad


if __name__ == "__main__":
    main()
