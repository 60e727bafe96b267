"""How long after a repair do the scores of the affected stand anew?

    python experiments/0017-repair-refresh/run.py [--enterprises N] [--trees N] [--quick]

The synthetic city through its nodes. Applicants whose penalties are in force at the credit centre are scored; then 1,
10 and all of them have their penalties repaired, and each time the path from the event to new scores is timed: noting
it, listing who is affected, scoring them jointly anew. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from rich.console import Console

from lab.config import load_config
from lab.data.sources import applicants_table, read_frame, read_table
from lab.data.synthetic.nodes import PENALTIES, write_nodes
from lab.data.synthetic.state import Settings
from lab.data.synthetic.writing import write_population
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.gate import Gate
from lab.governance.protection import PASSPHRASE
from lab.governance.records import RecordBook, RecordChange, feature_names
from lab.governance.settings import store_of
from lab.jobs import node_directory
from lab.result_page import put_lines
from lab.runs import train_run
from lab.serving.batch import score_frame
from lab.serving.hosts import Hosts
from lab.serving.loaded import Calibrated
from lab.serving.nodes import joint_model, scoring_wire

T = TypeVar("T")


def timed(act: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    found = act()
    return time.perf_counter() - started, found


def consent(node: Path, subjects: list[str], scopes: list[str]) -> None:
    """Everybody lets the bank score them from yesterday on."""
    began = datetime.now(UTC) - timedelta(days=1)
    ConsentLedger(store_of(node)).add(
        [
            Consent(
                consent=f"SCORE-{subject}",
                subject=subject,
                purpose="loan_score",
                parties=["bank"],
                scopes=scopes,
                starts=began,
                ends=began + timedelta(days=365),
                evidence=hashlib.sha256(subject.encode()).hexdigest(),
            )
            for subject in subjects
        ]
    )


def in_force(city: Path, book: RecordBook, subjects: set[str], today: date) -> dict[str, list[str]]:
    """subject → its penalties that count today."""
    records = pd.read_parquet(city / "host-credit/synthetic-records.parquet")
    found: dict[str, list[str]] = {}
    for number, subject, kind in zip(records["record_id"], records["subject"], records["kind"], strict=True):
        record = f"SYN-{number}"
        if subject in subjects and kind != "honour" and book.state(record, today) == "active":
            found.setdefault(subject, []).append(record)
    return dict(sorted(found.items()))


def repaired(book: RecordBook, records: list[str], today: date) -> None:
    steps = ("repair_requested", "repaired")
    book.change_all([RecordChange(record=r, change=step, on=today) for r in records for step in steps])


def prepare(city: Path, n_enterprises: int, n_trees: int) -> Path:
    """A trained run through the nodes, and consents to be scored; returns the bank's folder."""
    write_population(city, Settings(n_enterprises=n_enterprises, seed=1, default_rate=0.045))
    path = write_nodes(city, passphrase=os.environ[PASSPHRASE])
    text = path.read_text("utf-8").replace("n_estimators = 80", f"n_estimators = {n_trees}")
    rising = ", ".join(f'"{name}" = 1' for name in feature_names(PENALTIES)[::2])
    credit = 'party = "host:credit"\n'
    text = text.replace(credit, f"{credit}monotone_constraints = {{ {rising} }}\n")
    path.write_text(text.replace("[run]\n", '[run]\ntransport = "memory"\n', 1), "utf-8")
    config = load_config(path)
    train_run(config, Console(quiet=True))
    for host in config.hosts:
        assert host.node
        table = read_table(host, varied=False)
        consent(host.node, list(table.ids), sorted(Gate.at(host.node).cite(table).scopes))
    return node_directory(config.run.directory, "bank")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=24000)
    parser.add_argument("--trees", type=int, default=40)
    parser.add_argument("--quick", action="store_true", help="a small city, no RESULT.md: to see that it runs")
    parser.add_argument("--data", type=Path, help="not used: the city is drawn")
    a = parser.parse_args()
    os.environ.setdefault(PASSPHRASE, "correct horse battery staple")
    today = date.today()
    columns = ("subjects repaired", "noted, ms", "listed, ms", "scored anew, ms", "in all, ms", "mean probability")
    rows = [f"| {' | '.join(columns)} |"]
    rows += ["|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        city = Path(folder) / "city"
        bank = prepare(city, *((4000, 2) if a.quick else (a.enterprises, a.trees)))
        model, _ = joint_model(bank)
        book = RecordBook(store_of(city / "host-credit/node"))
        frame = read_frame(city / "bank/synthetic-applications.parquet", "subject")
        applicants = applicants_table(frame, "subject", model.inputs)
        with scoring_wire(bank, model, Hosts(), local=True) as wire:

            def scored(subjects: set[str]) -> pd.Series:
                chosen = applicants.take(np.flatnonzero([i in subjects for i in applicants.ids]))
                return score_frame(Calibrated(model=model), chosen, wire).set_index("id")["default_probability"]

            every = scored(set(applicants.ids)).dropna()
            waiting = list(in_force(city, book, set(every.index), today).items())
            print(f"{len(every):,} applicants scored, {len(waiting):,} of them with a penalty in force", flush=True)
            for n in (1, 10, len(waiting)):
                chosen, waiting = waiting[:n], waiting[n:]
                known = set(book.changed(today, today))
                records = [record for _, own in chosen for record in own]
                noting, _ = timed(lambda r=records: repaired(book, r, today))
                listing, found = timed(lambda: book.changed(today, today))
                subjects = set(found) - known
                assert subjects == {subject for subject, _ in chosen}
                scoring, after = timed(lambda s=subjects: scored(s))
                before = every[after.index]
                ms = [1000 * s for s in (noting, listing, scoring, noting + listing + scoring)]
                told = " | ".join(f"{value:,.0f}" for value in ms)
                rows += [f"| {len(subjects)} | {told} | {before.mean():.4f} → {after.mean():.4f} |"]
                print(rows[-1], flush=True)
                left = book.features(list(after.index), [today] * len(after), today, [PENALTIES])
                assert not left[feature_names(PENALTIES)[0]].any()
    if not a.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
