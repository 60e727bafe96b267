"""What do row sets of tree nodes tell hosts about labels, and what do defences cost? Writes the tables in RESULT.md.

    python experiments/0011-label-inference/run.py --data FOLDER [--quick]

credit_data (bank, two hosts) and 5,000 rows of UCI default-credit (bank, one host). The cipher does not encrypt: the
trees, and so the row sets, are the same. Each host is attacked with what it saw of the first split's session; test AUC
of the joint model over several splits.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from federation.ciphers.plain import PlainSecret
from federation.ciphers.suite import CipherRules
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import Fitted, JointBoosting, TrainingRows
from federation.vertical.boosting.host import TRANSITIONS, BoostingHost
from lab.data.demo import write_demo_data
from lab.estimators.frames import as_table
from lab.leakage.label_inference import label_inference
from lab.leakage.rowsets import RowSets, Watching
from lab.result_page import put_lines
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from models.validation.metrics import Interval, auc

N_TREES = 40
DEPTHS = (3, 5)
N_ROWS = 5_000
HEADINGS = [
    *("data", "depth", "defence", "test AUC", "host", "sets seen", "no label: clusters"),
    *("no label: small nodes", "50 labels, row sets and own features", "50 labels, own features", "gain", "verdict"),
]


@dataclass
class Problem:
    """Tables in one random order; the first seven tenths fit."""

    guest: Table
    hosts: dict[str, Table]
    label: Floats

    @property
    def n_fit(self) -> int:
        return len(self.label) * 7 // 10

    def train(self, p: BoostingParameters, epsilon: float | None) -> tuple[Fitted, dict[str, RowSets]]:
        """The model, and what each host saw. ``epsilon``: labels are answered at random, each on its own."""
        policy = HostPolicy(cipher=CipherRules(insecure_allow_plaintext=True))
        curious = {party: Watching(BoostingHost(party, table, policy)) for party, table in self.hosts.items()}
        allowed = tuple({kind for _, kind in TRANSITIONS})
        wire = MemoryWire({party: Endpoint(host, "bank", allowed).answer for party, host in curious.items()})
        rows = TrainingRows(self.guest, self.answered(epsilon), self.n_fit)
        fitted = run(JointBoosting("m", "bank", rows, tuple(self.hosts), PlainSecret(), p).fit(), wire)
        return fitted, {party: host.seen for party, host in curious.items()}

    def answered(self, epsilon: float | None) -> Floats:
        """Randomised response (Warner 1965): a label is told wrong with probability 1 / (1 + e^epsilon)."""
        if epsilon is None:
            return self.label
        wrong = np.random.default_rng(7).random(len(self.label)) < 1 / (1 + np.exp(epsilon))
        return np.where(wrong, 1 - self.label, self.label)

    def test_auc(self, fitted: Fitted) -> float:
        return auc(self.label[self.n_fit :], fitted.margin[self.n_fit :])


def shuffled(bank: pd.DataFrame, label: pd.Series[Any], hosts: Mapping[str, pd.DataFrame], seed: int) -> Problem:
    order = np.random.default_rng(seed).permutation(len(bank))[:N_ROWS]

    def table(frame: pd.DataFrame) -> Table:
        return as_table(frame.iloc[order], [str(name) for name in frame.columns])

    tables = {party: table(frame) for party, frame in hosts.items()}
    return Problem(table(bank), tables, label.to_numpy(dtype=np.float64)[order])


def credit_data(_: Path, seed: int) -> Problem:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_demo_data(Path(folder))
        frames = {party: pd.read_csv(path, dtype={"id": str}).set_index("id") for party, path in paths.items()}
    common = reduce(lambda a, b: a.intersection(b), (f.index for f in frames.values())).sort_values()
    frames = {party: frame.loc[common] for party, frame in frames.items()}
    bank = frames.pop("bank")
    return shuffled(bank, bank.pop("default"), frames, seed)


def default_credit(data: Path, seed: int) -> Problem:
    bank, host = (pd.read_csv(data / f"default_credit_{p}.csv.gz").set_index("id") for p in ("guest", "host"))
    return shuffled(bank, bank.pop("y"), {"host:bureau": host}, seed)


PROBLEMS: dict[str, Callable[[Path, int], Problem]] = {"credit_data": credit_data, "default-credit": default_credit}


def told(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.2f} ({found.low:{sign}.2f} to {found.high:{sign}.2f})"


@dataclass(frozen=True)
class Defence:
    """What the bank does so that hosts guess less."""

    name: str
    parameters: dict[str, Any]
    epsilon: float | None = None


DEFENCES = (
    Defence("none", {}),
    Defence("first 5 trees guest only", {"first_trees_guest_only": 5}),
    Defence("first 20 trees guest only", {"first_trees_guest_only": 20}),
    Defence("labels with noise, ε = 2", {}, 2.0),
    Defence("labels with noise, ε = 1", {}, 1.0),
    Defence("labels with noise, ε = 0.5", {}, 0.5),
    Defence("own cuts only", {"own_cuts_only": True}),
)


def rows_of(name: str, problems: list[Problem], p: BoostingParameters, defence: Defence, n_resamples: int) -> list[str]:
    """One line per host."""
    trained = [problem.train(replace(p, **defence.parameters), defence.epsilon) for problem in problems]
    areas = [problem.test_auc(fitted) for problem, (fitted, _) in zip(problems, trained, strict=True)]
    first, seen = problems[0], trained[0][1]
    fit = np.arange(first.n_fit)
    rows = []
    for party, table in first.hosts.items():
        found = label_inference(party, seen[party], table.take(fit), first.label[fit], n_resamples=n_resamples)
        figures = (found.clusters, found.small_nodes, found.few_labels, found.own_features)
        case = f"{name} | {p.max_depth} | {defence.name} | {np.mean(areas):.4f}"
        cells = [case, party, str(found.n_sets), *map(told, figures), told(found.gain, "+"), found.verdict]
        rows.append(f"| {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few trees, no RESULT.md: to see that it runs")
    arguments = parser.parse_args()
    rows = [f"| {' | '.join(HEADINGS)} |", "|" + "---|" * len(HEADINGS)]
    depths, n_trees, n_splits = ((3,), 3, 1) if arguments.quick else (DEPTHS, N_TREES, 3)
    defences = (DEFENCES[0], DEFENCES[-1]) if arguments.quick else DEFENCES
    for name, load in PROBLEMS.items():
        problems = [load(arguments.data, seed) for seed in range(n_splits)]
        for depth in depths:
            for defence in defences:
                p = BoostingParameters(n_estimators=n_trees, max_depth=depth)
                rows += rows_of(name, problems, p, defence, 20 if arguments.quick else 200)
    if arguments.quick:
        return
    put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
