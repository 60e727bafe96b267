"""What does a bank learn of a host's bins from its part of a scorecard's score, and what does rounding the part cost?

    python experiments/0018-rounding-of-parts/run.py [--applicants N] [--quick]

Synthetic data: a bank with two features, two hosts with five each; the scorecard is trained without encryption (the
model is the same). The bank knows each host's coefficients and the weight of evidence of its unnamed bins, as it does
from training. It looks at points and margin that a host tells for an applicant, and asks which combinations of bins fit
both. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from sklearn.metrics import roc_auc_score

from federation.codec import decode
from federation.endpoint import Endpoint
from federation.policy import HostPolicy
from federation.script import run
from federation.transports.memory import Answer, MemoryWire
from federation.vertical.scoring.guest import Scored, score
from federation.vertical.scoring.host import ALLOWED, ScoringHost
from federation.vertical.scoring.messages import Parts
from lab.config import Config, load_config
from lab.data.sources import read_table
from lab.result_page import put_lines
from lab.runs import train_run
from lab.serving.nodes import joint_model
from models.bundle import load
from models.joint import half_from_json
from models.losses import Floats, default_probability
from models.scale import band
from models.scorecard.card import ScorecardHalf
from models.table import Table

#: Points; 0: parts are told as they are.
STEPS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
HOSTS = ("tax", "court")

CONFIG = """
[run]
directory = "run"
transport = "memory"
[scorecard]
max_bins = 6
min_information_value = 0.0
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


def prepare(folder: Path, n: int) -> Config:
    """A finished run."""
    rng = np.random.default_rng(18)
    risk = rng.normal(size=n)
    ids = [f"{k:08d}" for k in range(n)]
    bad = (risk + rng.normal(size=n) > 1.6).astype(int)

    def columns(names: list[str], strength: float) -> dict[str, Floats]:
        return {name: strength * risk + rng.normal(size=n) for name in names}

    tables = {"bank": {"bad": bad, **columns(["amount", "term"], 0.3)}}
    tables |= {host: columns([f"{host}{k}" for k in range(5)], 0.5) for host in HOSTS}
    for name, table in tables.items():
        pd.DataFrame({"id": ids, **table}).to_csv(folder / f"{name}.csv", index=False)
    path = folder / "run.toml"
    path.write_text(CONFIG, "utf-8")
    config = load_config(path)
    train_run(config, Console(quiet=True))
    return config


def told(config: Config, table: Table, halves: Mapping[str, ScorecardHalf], step: float) -> tuple[Scored, list[Parts]]:
    """What the bank makes of the rows, and what each host told it."""
    parts: dict[str, Parts] = {}

    def noting(party: str, answer: Answer) -> Answer:
        def noted(frame: bytes) -> tuple[bytes, bool]:
            reply, over = answer(frame)
            if isinstance(message := decode(reply, party), Parts):
                parts[party] = message
            return reply, over

        return noted

    answers = {}
    for host in config.hosts:
        half = halves[host.party]
        scoring = ScoringHost(read_table(host), {half.model_id: half}, HostPolicy(round_parts=step))
        answers[host.party] = noting(host.party, Endpoint(scoring, "bank", ALLOWED).answer)
    model = joint_model(config.run.directory / "nodes" / "bank")[0]
    return run(score(model, table), MemoryWire(answers)), [parts[party] for party in halves]


Pair = tuple[int, int]


def pairs(points: Floats, margin: Floats, factor: float, step: float) -> list[Pair]:
    """What a host would tell, so that it can be compared."""
    fine = 2.0**-30
    in_points, in_margin = (step, step / factor) if step else (fine, fine)
    both = (np.rint(points / in_points), np.rint(margin / in_margin))
    return list(zip(*(values.astype(np.int64).tolist() for values in both), strict=True))


def fitting(n_fit: Mapping[Pair, int], pair: Pair) -> int:
    """How many combinations give what was told; its neighbours count if the last bit of a sum moved it over an edge."""
    found = n_fit.get(pair, 0)
    return found or max(n_fit.get((pair[0] + a, pair[1] + b), 0) for a in (-1, 0, 1) for b in (-1, 0, 1))


def every_combination(half: ScorecardHalf) -> tuple[Floats, Floats]:
    """Points and margin of each combination of bins that an applicant could be in."""
    entries = [
        [(points, coefficient * woe) for points, woe in zip(of.points, feature.bins.woe, strict=True)]
        for feature, of, coefficient in zip(half.features, half.table.features, half.coefficients, strict=True)
    ]
    sums: NDArray[np.float64] = np.array([np.sum(chosen, axis=0) for chosen in product(*entries)])
    return sums[:, 0], sums[:, 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--applicants", type=int, default=12_000)
    parser.add_argument("--quick", action="store_true", help="fewer applicants, no RESULT.md: to see that it runs")
    parser.add_argument("--data", type=Path, help="not used: applicants are drawn")
    arguments = parser.parse_args()
    rows = ["| parts told in | AUC held out | points off, mean | other band | bins that fit, median | told for sure |"]
    rows += ["|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(Path(folder), 1500 if arguments.quick else arguments.applicants)
        nodes = config.run.directory / "nodes"
        scores = pd.read_csv(nodes / "bank" / "scores.csv", dtype={"id": str})
        held = scores[scores["part"] != "fit"]
        everyone = read_table(config.guest)
        table = everyone.take(np.flatnonzero(np.isin(everyone.ids, held["id"])))
        label = held.set_index("id").loc[list(table.ids), "label"].to_numpy()
        halves = {}
        for host in config.hosts:
            half = half_from_json(load(nodes / host.party.replace(":", "-") / "half.json"))
            assert isinstance(half, ScorecardHalf)
            if half.features:
                halves[host.party] = half
        combinations = {party: every_combination(half) for party, half in halves.items()}
        exact: Scored | None = None
        for step in STEPS:
            scored, parts = told(config, table, halves, step)
            exact = exact or scored
            fits: list[int] = []
            for half, part, (points, margin) in zip(halves.values(), parts, combinations.values(), strict=True):
                n_fit = Counter(pairs(points, margin, half.rules.factor, step))
                of_rows = np.frombuffer(part.points, "<f8"), np.frombuffer(part.margins, "<i8") / 2.0**40
                fits += [fitting(n_fit, pair) for pair in pairs(*of_rows, half.rules.factor, step)]
            assert min(fits) > 0, "a host told what no combination of its bins gives"
            rows.append(row(step, scored, exact, label, np.array(fits)))
    n_features = " and ".join(str(len(half.features)) for half in halves.values())
    n_combinations = " and ".join(f"{len(points):,}" for points, _ in combinations.values())
    rows += [
        "",
        f"{len(table):,} applicants held out; hosts with {n_features} features, {n_combinations} combinations.",
    ]
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


def row(step: float, scored: Scored, exact: Scored, label: NDArray[np.int64], fits: NDArray[np.int64]) -> str:
    assert scored.points is not None
    assert exact.points is not None
    off = np.abs(scored.points - exact.points).mean()
    bands = [[band(p) for p in default_probability(s.margin).tolist()] for s in (scored, exact)]
    other = np.mean([a != b for a, b in zip(*bands, strict=True)])
    name = f"{step:g} points" if step else "as they are"
    auc = roc_auc_score(label, scored.margin)
    return f"| {name} | {auc:.4f} | {off:.2f} | {other:.1%} | {np.median(fits):,.0f} | {np.mean(fits == 1):.1%} |"


if __name__ == "__main__":
    main()
