"""What do the options that trade accuracy for speed cost? Writes the table in RESULT.md beside this file.

    python experiments/0003-what-speed-costs/run.py --data FOLDER [--quick]

UCI default-credit, 13 + 10 features. Accuracy over several splits with the cipher that does not encrypt (the trees are
the same); CPU seconds of a tree with Paillier 2,048, from counted operations and what experiment 0002 measured for
each; bytes; and what the sampled rows tell a host about labels.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd

from federation.ciphers.interface import SecretCipher
from federation.ciphers.plain import PlainPublic, PlainSecret
from federation.ciphers.suite import CipherRules
from federation.disclosure import Transcript
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import MemoryWire
from federation.vertical.boosting.guest import Fitted, JointBoosting, TrainingRows
from federation.vertical.boosting.host import TRANSITIONS, BoostingHost
from lab.result_page import put_lines
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from models.validation.metrics import auc

BASE = BoostingParameters(n_estimators=20, max_depth=5, max_bin=32, learning_rate=0.3)
#: Of one operation on a ciphertext (experiment 0002); to encrypt includes the host's check on arrival.
MICROSECONDS = {"encrypt": 71.9, "add": 4.08, "shift_by_a_bit": 401.1 / 96, "rerandomise": 1861.5, "decrypt": 2441.4}
OPTIONS = {
    "exact": BASE,
    "bagging_fraction 0.5": replace(BASE, bagging_fraction=0.5),
    "goss 0.2 + 0.1": replace(BASE, data_sample_strategy="goss"),
    "feature_fraction 0.5": replace(BASE, feature_fraction=0.5),
    "quantised, 4 levels": replace(BASE, use_quantized_grad=True),
    "quantised, 16 levels": replace(BASE, use_quantized_grad=True, num_grad_quant_bins=16),
    "bagging 0.5 + quantised 16": replace(BASE, bagging_fraction=0.5, use_quantized_grad=True, num_grad_quant_bins=16),
}


class Problem:
    """Default-credit in a random order; the first seven tenths fit."""

    def __init__(self, data: Path, seed: int, n_rows: int) -> None:
        guest, host = (pd.read_csv(data / f"default_credit_{part}.csv.gz") for part in ("guest", "host"))
        order = np.random.default_rng(seed).permutation(len(guest))[:n_rows]
        self.label: Floats = guest.pop("y").to_numpy(dtype=np.float64)[order]
        self.tables = [
            Table(tuple(map(str, order)), {c: f[c].to_numpy(dtype=np.float64)[order] for c in f.columns[1:]})
            for f in (guest, host)
        ]
        self.n_fit = len(order) * 7 // 10

    def boosting(self, p: BoostingParameters, cipher: SecretCipher) -> tuple[JointBoosting, BoostingHost]:
        rows = TrainingRows(self.tables[0], self.label, self.n_fit)
        policy = HostPolicy(cipher=CipherRules(insecure_allow_plaintext=True))
        guest = JointBoosting("m", "bank", rows, ("host:bureau",), cipher, p)
        return guest, BoostingHost("host:bureau", self.tables[1], policy)

    def train(
        self, p: BoostingParameters, cipher: SecretCipher, transcript: Transcript | None = None
    ) -> tuple[Fitted, BoostingHost]:
        guest, host = self.boosting(p, cipher)
        wire = MemoryWire({host.party: Endpoint(host, "bank", tuple({kind for _, kind in TRANSITIONS})).answer})
        return run(guest.fit(), wire, transcript or Transcript("bank")), host


@contextmanager
def rows_seen() -> Iterator[list[np.ndarray]]:
    """Rows of the run that each tree's gradients were sent for, as the host learns them."""
    seen: list[np.ndarray] = []
    carrying = BoostingHost._carrying

    def watched(self: BoostingHost, message: Any) -> np.ndarray:
        rows = carrying(self, message)
        seen.append(rows)
        return rows

    BoostingHost._carrying = watched  # type: ignore[method-assign, assignment]
    try:
        yield seen
    finally:
        BoostingHost._carrying = carrying  # type: ignore[method-assign]


def accuracy(data: Path, seeds: int, n_rows: int, trees: int) -> dict[str, dict[str, float]]:
    """Test AUC against exact on the same splits, and the AUC with which a host guesses labels from sampled rows."""
    found: dict[str, list[float]] = {name: [] for name in OPTIONS}
    guessed: dict[str, list[float]] = {name: [] for name in OPTIONS}
    for seed in range(seeds):
        problem = Problem(data, seed, n_rows)
        for name, p in OPTIONS.items():
            with rows_seen() as seen:
                fitted, _ = problem.train(replace(p, n_estimators=trees, random_state=seed), PlainSecret())
            found[name].append(auc(problem.label[problem.n_fit :], fitted.margin[problem.n_fit :]))
            times = np.bincount(np.concatenate(seen), minlength=problem.n_fit).astype(np.float64)
            guessed[name].append(auc(problem.label[: problem.n_fit], times))
    exact = np.array(found["exact"])
    return {
        name: {
            "auc": float(np.mean(values)),
            "loss": float(np.mean(exact - values)),
            "loss_sd": float(np.std(exact - values, ddof=1)) if seeds > 1 else 0.0,
            "label_auc": float(np.mean(guessed[name])),
        }
        for name, values in found.items()
    }


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Operations on ciphertexts, by what ``MICROSECONDS`` calls them."""
    done: Counter[str] = Counter()
    add, shift, rerandomise = PlainPublic.add, PlainPublic.shift, PlainPublic.rerandomise
    encrypt, decrypt = PlainSecret.encrypt, PlainSecret.decrypt

    def tell(name: str, count: Callable[..., int], work: Callable[..., Any]) -> Callable[..., Any]:
        def told(*arguments: Any) -> Any:
            done[name] += count(*arguments)
            return work(*arguments)

        return told

    patches = {
        (PlainPublic, "add"): tell("add", lambda *_: 1, add),
        (PlainPublic, "shift"): tell("shift_by_a_bit", lambda _, __, bits: bits, shift),
        (PlainPublic, "rerandomise"): tell("rerandomise", lambda _, sums: len(sums), rerandomise),
        (PlainSecret, "encrypt"): tell("encrypt", lambda _, numbers: len(numbers), encrypt),
        (PlainSecret, "decrypt"): tell("decrypt", lambda _, data: len(data) // PlainPublic.ciphertext_bytes, decrypt),
    }
    with ExitStack() as stack:
        for (owner, name), told in patches.items():
            stack.enter_context(patch.object(owner, name, told))
        yield done


def cost(data: Path, n_rows: int, trees: int) -> dict[str, dict[str, float]]:
    """CPU seconds with Paillier 2,048, from counted operations, and megabytes, of a late tree."""
    problem = Problem(data, 0, n_rows)
    found = {}
    for name, p in OPTIONS.items():
        spent = []
        for count in (trees, 2 * trees):
            transcript = Transcript("bank")
            with counted() as done:
                problem.train(replace(p, n_estimators=count), PlainSecret(), transcript)
            seconds = sum(MICROSECONDS[operation] * n for operation, n in done.items()) / 1e6
            # Plain numbers are half as long on the wire as Paillier's.
            spent.append((seconds, 2 * sum(transcript.traffic()["bank"].values()) / 1e6))
        found[name] = {key: (spent[1][k] - spent[0][k]) / trees for k, key in enumerate(("cpu", "mb"))}
        print(name, found[name], flush=True)
    return found


def put_table(page: Path, gained: dict[str, dict[str, float]], spent: dict[str, dict[str, float]]) -> None:
    """Replace what stands between the two marks; the words around it are written by hand."""
    whole = spent["exact"]
    lines = ["| option | test AUC | below exact (sd) | CPU / exact | MB / exact | labels guessed by the host, AUC |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [
        f"| {name} | {a['auc']:.4f} | {a['loss']:+.4f} ({a['loss_sd']:.4f}) | {spent[name]['cpu'] / whole['cpu']:.2f} "
        f"| {spent[name]['mb'] / whole['mb']:.2f} | {a['label_auc']:.2f} |"
        for name, a in gained.items()
    ]
    put_lines(page, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few rows and trees, no RESULT.md: to see that it runs")
    arguments = parser.parse_args()
    n_rows = 1_000 if arguments.quick else 30_000
    gained = accuracy(arguments.data, 1 if arguments.quick else 5, n_rows, 5 if arguments.quick else 20)
    print(gained, flush=True)
    spent = cost(arguments.data, n_rows, 1 if arguments.quick else 10)
    if not arguments.quick:
        put_table(Path(__file__).parent / "RESULT.md", gained, spent)


if __name__ == "__main__":
    main()
