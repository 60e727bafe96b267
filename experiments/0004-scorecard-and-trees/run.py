"""Joint scorecard and joint trees against the bank alone and against everything pooled, on four sources of loans.

    python experiments/0004-scorecard-and-trees/run.py --data FOLDER [--quick]

Pooled trees are LightGBM, the pooled scorecard is WOE of all columns and scikit-learn's logistic regression; both know
no floor, so joint models are fitted with hosts' floor of 10 rows and without one. The cipher does not encrypt here:
tests show that Paillier gives the same models. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from lab.data.demo import write_demo_data
from lab.estimators.binner import WoeBinner
from lab.estimators.frames import as_table
from lab.estimators.gbdt import JointGBDTClassifier
from lab.estimators.scorecard import JointScorecard
from lab.result_page import put_lines
from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.scorecard.selection import ANY_VIF
from models.validation.metrics import auc

BANK_SBA = ["GrAppv", "share_guaranteed", "RevLineCr", "LowDoc", "BankState", "DisbursementGross"]
STATE_SBA = ["NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "UrbanRural", "sector", "State"]
FLOOR = 10
TREES = BoostingParameters(n_estimators=60, learning_rate=0.1, max_depth=4, max_bin=32, min_child_samples=20)


@dataclass
class Study:
    """Frames share their index; ``late`` marks the rows that test, ``early`` those that fit."""

    bank: pd.DataFrame
    hosts: dict[str, pd.DataFrame]
    label: pd.Series[Any]
    late: np.ndarray
    early: np.ndarray

    def some(self, n: int) -> Study:
        """``n`` of the rows."""
        kept = np.random.default_rng(0).permutation(len(self.label))[:n]
        hosts = {party: frame.loc[self.bank.index].iloc[kept] for party, frame in self.hosts.items()}
        return Study(self.bank.iloc[kept], hosts, self.label.iloc[kept], self.late[kept], self.early[kept])

    @property
    def pooled(self) -> pd.DataFrame:
        hosts = [frame.loc[self.bank.index].add_prefix(f"{party}.") for party, frame in self.hosts.items()]
        return pd.concat([self.bank, *hosts], axis=1)


def at_random(n: int, seed: int, share: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).random(n) < share


def study(bank: pd.DataFrame, hosts: dict[str, pd.DataFrame], label: pd.Series[Any], late: np.ndarray) -> Study:
    """All rows that do not test fit."""
    return Study(bank, hosts, label, late, ~late)


def credit_data(_: Path, seed: int) -> Study:
    with tempfile.TemporaryDirectory() as folder:
        paths = write_demo_data(Path(folder))
        frames = {party: pd.read_csv(path, dtype={"id": str}).set_index("id") for party, path in paths.items()}
    common = reduce(lambda a, b: a.intersection(b), (f.index for f in frames.values())).sort_values()
    bank = frames.pop("bank").loc[common]
    return study(bank, frames, bank.pop("default"), at_random(len(common), seed))


def default_credit(data: Path, seed: int) -> Study:
    guest, host = (pd.read_csv(data / f"default_credit_{p}.csv.gz").set_index("id") for p in ("guest", "host"))
    return study(guest, {"host:bureau": host}, guest.pop("y"), at_random(len(guest), seed))


def sba(data: Path, seed: int, *, out_of_time: bool) -> Study:
    frame = pd.read_csv(data / "sba_loans.csv.gz").set_index("LoanNr_ChkDgt")
    year = pd.to_numeric(frame["ApprovalFY"], errors="coerce")
    frame = frame.assign(
        share_guaranteed=frame["SBA_Appv"] / frame["GrAppv"], sector=frame["NAICS"].astype(str).str[:2], year=year
    ).dropna(subset=["year", "MIS_Status"])
    label = (frame["MIS_Status"] == "CHGOFF").astype(int)
    hosts = {"host:state": frame[STATE_SBA]}
    if not out_of_time:
        return study(frame[BANK_SBA], hosts, label, at_random(len(frame), seed))
    late = (frame["year"] >= 2005).to_numpy()
    # Time makes one split only: what chance does shows when each fit leaves out another fifth of the earlier rows.
    return Study(frame[BANK_SBA], hosts, label, late, ~late & ~at_random(len(frame), seed, 0.2))


def polish(data: Path, seed: int) -> Study:
    frame = pd.read_csv(data / "polish_bankruptcy_5year.csv.gz")
    label = frame.pop("class")
    return study(frame.iloc[:, :32], {"host:registry": frame.iloc[:, 32:]}, label, at_random(len(frame), seed))


#: By seed: another split, or other rows that fit where time makes the split.
STUDIES: dict[str, Callable[[Path, int], Study]] = {
    "credit_data, 3 parties": credit_data,
    "UCI default-credit": default_credit,
    "SBA, random": partial(sba, out_of_time=False),
    "SBA, out of time from 2005": partial(sba, out_of_time=True),
    "Polish bankruptcy, 32 + 32": polish,
}


def scores(study: Study, trees: BoostingParameters) -> dict[str, dict[str, np.ndarray]]:
    """Model → who → log-odds or probability of the rows that test."""
    early, late = study.early, study.late
    y = study.label[early]

    def card(x: pd.DataFrame, hosts: dict[str, pd.DataFrame] | None, floor: int = FLOOR) -> np.ndarray:
        options = {"min_information_value": 0.0, "max_correlation": 1.0, "max_vif": ANY_VIF, "min_rows_per_bin": floor}
        fitted = JointScorecard(hosts, cipher="plain", l2=1.0, **options).fit(x[early], y)
        return np.asarray(fitted.decision_function(x[late]))

    def forest(x: pd.DataFrame, hosts: dict[str, pd.DataFrame] | None, floor: int = FLOOR) -> np.ndarray:
        size = {"n_estimators": trees.n_estimators, "max_depth": trees.max_depth, "max_bin": trees.max_bin}
        fitted = JointGBDTClassifier(hosts, cipher="plain", min_rows_per_bin=floor, **size).fit(x[early], y)
        return np.asarray(fitted.decision_function(x[late]))

    pooled = study.pooled
    columns = [str(name) for name in pooled.columns]
    outside = make_pipeline(WoeBinner(), LogisticRegression(C=1.0, max_iter=1000)).fit(pooled[early], y)
    lightgbm = fit_baseline(as_table(pooled[early], columns), y.to_numpy(dtype=np.float64), trees)
    return {
        "scorecard": {
            "bank": card(study.bank, None),
            "joint": card(study.bank, study.hosts),
            "no floor": card(study.bank, study.hosts, 0),
            "pooled": outside.decision_function(pooled[late]),
        },
        "trees": {
            "bank": forest(study.bank, None),
            "joint": forest(study.bank, study.hosts),
            "no floor": forest(study.bank, study.hosts, 0),
            "pooled": lightgbm.margin(as_table(pooled[late], columns)),
        },
    }


def rows_of(name: str, data: Path, trees: BoostingParameters, splits: int, most: int | None = None) -> list[str]:
    """One line per model: means over splits, differences with twice their standard error; at most ``most`` rows."""
    areas: dict[str, list[dict[str, float]]] = {"scorecard": [], "trees": []}
    for seed in range(splits):
        study = STUDIES[name](data, seed)
        study = study if most is None else study.some(most)
        y = study.label[study.late].to_numpy(dtype=np.float64)
        for model, found in scores(study, trees).items():
            areas[model].append({who: auc(y, values) for who, values in found.items()})
    rows = []
    for model, of_splits in areas.items():
        frame = pd.DataFrame(of_splits)
        means = [f"{frame[who].mean():.4f}" for who in ("bank", "joint", "no floor", "pooled")]
        pairs = (("joint", "bank"), ("no floor", "pooled"), ("joint", "no floor"))
        apart = [spread(frame[a] - frame[b]) for a, b in pairs]
        rows.append(f"| {name} | {model} | {len(frame)} | " + " | ".join(means + apart) + " |")
        print(rows[-1], flush=True)
    return rows


def spread(values: pd.Series[float]) -> str:
    error = f" ± {2 * values.std(ddof=1) / np.sqrt(len(values)):.4f}" if len(values) > 1 else ""
    return f"{values.mean():+.4f}{error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few rows, two trees, no RESULT.md: to see that it runs")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    trees = BoostingParameters(n_estimators=2, max_depth=2) if arguments.quick else TREES
    names = ["credit_data, 3 parties", "SBA, out of time from 2005"] if arguments.quick else list(STUDIES)
    titles = ["data", "model", "fits", "bank alone", "joint, floor 10", "joint, no floor", "pooled"]
    titles += ["joint − bank", "joint − pooled, neither with a floor", "what the floor does"]
    rows = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name in names:
        rows += rows_of(name, arguments.data, trees, *((1, 2000) if arguments.quick else (5,)))
    if arguments.quick:
        return
    put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
