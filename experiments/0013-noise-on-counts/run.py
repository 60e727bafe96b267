"""What noise on hosts' counts costs a joint scorecard: held-out AUC against epsilon.

    python experiments/0013-noise-on-counts/run.py --data FOLDER [--quick]

Noise is drawn by the library from the operating system, so digits behind the interval change from run to run. The
cipher does not encrypt here: tests show that Paillier gives the same models. Writes the table in RESULT.md and the
figure beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd

from lab.data.demo import write_demo_data
from lab.estimators.scorecard import JointScorecard
from lab.result_page import put_lines
from models.scorecard.selection import ANY_VIF
from models.validation.metrics import auc

mpl.use("svg")
import matplotlib.pyplot as plt

#: Of each feature; None: exact counts.
EPSILONS = (None, 10.0, 3.0, 1.0, 0.3)
SEEDS = 5
#: Of the larger sources, drawn once: noise weighs more among fewer rows, and most of the time goes into alignment.
ROWS = 9_000
OPTIONS = {"min_information_value": 0.0, "max_correlation": 1.0, "max_vif": ANY_VIF, "l2": 1.0}
BANK_SBA = ["GrAppv", "share_guaranteed", "RevLineCr", "LowDoc", "BankState", "DisbursementGross"]
STATE_SBA = ["NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "UrbanRural", "sector", "State"]


@dataclass
class Study:
    """Frames share their index."""

    bank: pd.DataFrame
    hosts: dict[str, pd.DataFrame]
    label: pd.Series[Any]

    def sample(self) -> Study:
        kept = np.sort(np.random.default_rng(0).permutation(len(self.label))[:ROWS])
        ids = self.bank.index[kept]
        return Study(self.bank.loc[ids], {p: frame.loc[ids] for p, frame in self.hosts.items()}, self.label.loc[ids])


def credit_data(_: Path) -> Study:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_demo_data(Path(folder))
        frames = {party: pd.read_csv(path, dtype={"id": str}).set_index("id") for party, path in paths.items()}
    common = reduce(lambda a, b: a.intersection(b), (f.index for f in frames.values())).sort_values()
    bank = frames.pop("bank").loc[common]
    return Study(bank, frames, bank.pop("default"))


def default_credit(data: Path) -> Study:
    guest, host = (pd.read_csv(data / f"default_credit_{p}.csv.gz").set_index("id") for p in ("guest", "host"))
    return Study(guest, {"host:bureau": host}, guest.pop("y")).sample()


def sba(data: Path) -> Study:
    frame = pd.read_csv(data / "sba_loans.csv.gz").set_index("LoanNr_ChkDgt").dropna(subset=["MIS_Status"])
    frame = frame.assign(
        share_guaranteed=frame["SBA_Appv"] / frame["GrAppv"], sector=frame["NAICS"].astype(str).str[:2]
    )
    label = (frame["MIS_Status"] == "CHGOFF").astype(int)
    return Study(frame[BANK_SBA], {"host:state": frame[STATE_SBA]}, label).sample()


STUDIES: dict[str, Callable[[Path], Study]] = {
    "credit_data, 3 parties": credit_data,
    "UCI default-credit": default_credit,
    "SBA": sba,
}


def area(study: Study, hosts: dict[str, pd.DataFrame] | None, epsilon: float | None, seed: int) -> float:
    """Held-out AUC: three tenths of the rows, drawn by the seed, are held out."""
    late = np.random.default_rng(seed).random(len(study.label)) < 0.3
    card = JointScorecard(hosts, cipher="plain", epsilon=epsilon, **OPTIONS).fit(study.bank[~late], study.label[~late])
    return auc(study.label[late].to_numpy(dtype=np.float64), np.asarray(card.decision_function(study.bank[late])))


def areas(study: Study, seeds: int) -> pd.DataFrame:
    """A row per seed, a column per epsilon ("none" first), and the bank alone."""
    rows = []
    for seed in range(seeds):
        of_seed = {name_of(epsilon): area(study, study.hosts, epsilon, seed) for epsilon in EPSILONS}
        rows.append({"bank": area(study, None, None, seed), **of_seed})
    return pd.DataFrame(rows)


def name_of(epsilon: float | None) -> str:
    return "none" if epsilon is None else f"{epsilon:g}"


def twice_error(values: pd.Series[float]) -> float:
    return 2 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0


def lines(name: str, study: Study, found: pd.DataFrame) -> list[str]:
    widest = max(frame.shape[1] for frame in study.hosts.values())
    rows = []
    for epsilon in EPSILONS:
        column = found[name_of(epsilon)]
        cost, gain = column - found["none"], column - found["bank"]
        apart = "" if epsilon is None else f"{cost.mean():+.4f} ± {twice_error(cost):.4f}"
        in_all = "" if epsilon is None else f"{epsilon * widest:g}"
        figures = f"{column.mean():.4f} | {apart} | {gain.mean():+.4f} ± {twice_error(gain):.4f}"
        rows.append(f"| {name} | {len(study.label):,} | {name_of(epsilon)} | {in_all} | {figures} |")
    return rows


def draw(found: dict[str, pd.DataFrame], path: Path) -> None:
    """What noise costs, against epsilon, with twice the standard error; dashed: the bank alone."""
    plt.rcParams["svg.hashsalt"] = path.stem
    figure, axes = plt.subplots(1, len(found), figsize=(3.4 * len(found), 3.0), layout="constrained")
    places = np.arange(len(EPSILONS))
    for one, (name, frame) in zip(np.atleast_1d(axes), found.items(), strict=True):
        columns = [frame[name_of(epsilon)] for epsilon in EPSILONS]
        costs = [twice_error(column - frame["none"]) for column in columns]
        one.errorbar(places, [c.mean() for c in columns], costs, fmt="o-", capsize=3)
        one.axhline(frame["bank"].mean(), linestyle="--", color="grey")
        one.set_xticks(places, [name_of(epsilon) for epsilon in EPSILONS])
        one.set(title=name, xlabel="epsilon per feature", ylabel="AUC, held out")
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="one seed of one source, nothing written")
    arguments = parser.parse_args()
    names = list(STUDIES)[:1] if arguments.quick else list(STUDIES)
    titles = ["data", "rows", "ε per feature", "ε of one applicant and run, at the host with most features"]
    titles += ["AUC", "difference to no noise", "difference to the bank alone"]
    rows, found = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)], {}
    for name in names:
        study = STUDIES[name](arguments.data)
        found[name] = areas(study, 1 if arguments.quick else SEEDS)
        rows += lines(name, study, found[name])
        print("\n".join(rows[-len(EPSILONS) :]), flush=True)
    if arguments.quick:
        return
    folder = Path(__file__).parent
    put_lines(folder / "RESULT.md", rows)
    draw(found, folder / "auc.svg")


if __name__ == "__main__":
    main()
