"""A scorecard over eight banks against each bank alone and against all rows pooled: what each bank gains.

    python experiments/0021-horizontal-scorecard/run.py --data FOLDER [--quick]

SBA loans split by ``Bank``: the eight banks with most loans, seven tenths of each fitted. Pooled and alone are this
project's bins on those rows and scikit-learn's logistic regression. Sums are masked and pass through the real codec, in
one process. Writes the table in RESULT.md beside this file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from federation.ciphers.suites.choice import suite
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.prebinning.columns import AgreedColumn
from federation.horizontal.scorecard.coordinator import Developed, HorizontalScorecard
from federation.horizontal.site import HorizontalSite
from federation.script import run
from federation.transports.agreement import Seals
from lab.estimators.frames import as_table
from lab.result_page import put_lines
from models.losses import Floats
from models.scorecard.card import ScorecardHalf, WoeFeature, woe_of
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import ANY_VIF, SelectionRules
from models.table import Table, is_category
from models.validation.discrimination import auc_gain, auc_interval
from models.woe.fitting import count_prebins, fit_woe
from models.woe.prebins import fit_prebins

COLUMNS = ["GrAppv", "share_guaranteed", "RevLineCr", "LowDoc", "NoEmp", "NewExist", "CreateJob", "RetainedJob"]
COLUMNS += ["UrbanRural", "sector", "State"]
N_SITES = 8
Rows = NDArray[np.intp]


@dataclass
class CountingWire:
    """A memory wire that counts exchanges and bytes."""

    sites: Mapping[PartyId, HorizontalSite]
    rounds: int = 0
    n_bytes: int = 0

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        allowed = {party: self.sites[party].allowed for party in frames}
        replies = {p: Endpoint(self.sites[p], "coordinator", allowed[p]).answer(f)[0] for p, f in frames.items()}
        self.rounds += 1
        self.n_bytes += sum(map(len, frames.values())) + sum(map(len, replies.values()))
        return replies


def loans(data: Path) -> tuple[Table, Floats, list[tuple[str, Rows]]]:
    """All rows, their labels, and the rows of each bank."""
    frame = pd.read_csv(data / "sba_loans.csv.gz").dropna(subset=["MIS_Status"]).reset_index(drop=True)
    frame = frame.assign(share_guaranteed=frame.SBA_Appv / frame.GrAppv, sector=frame.NAICS.astype(str).str[:2])
    banks = frame.Bank.value_counts().index[:N_SITES]
    label = (frame.MIS_Status == "CHGOFF").to_numpy(dtype=np.float64)
    table = as_table(frame[COLUMNS], COLUMNS)
    return table, label, [(str(bank).title(), np.flatnonzero(frame.Bank == bank)) for bank in banks]


def together(table: Table, label: Floats, parts: list[Rows]) -> tuple[Developed, CountingWire]:
    names = tuple(f"bank:{k}" for k in range(len(parts)))
    keys = {name: suite("international").new_signing_key() for name in names}
    known = {name: ("international", suite("international").verifying_key(key)) for name, key in keys.items()}
    seals = {name: Seals.with_key("international", key, known) for name, key in keys.items()}
    sites = {
        name: HorizontalSite(table.take(rows), label[rows], MaskingSite(name, "s", seals[name]), seed=k)
        for k, (name, rows) in enumerate(zip(names, parts, strict=True))
    }
    columns = tuple(
        AgreedColumn(name, True, tuple(sorted({v for v in column if v is not None})))
        if is_category(column)
        else AgreedColumn(name)
        for name, column in table.columns.items()
    )
    scorecard = HorizontalScorecard(
        "m",
        MaskedAggregation("s", Presence(names), seals[names[0]]),
        columns,
        most_rows=2**20,
        selection=SelectionRules(min_information_value=0.0, max_single_auc=1.0, max_correlation=1.0, max_vif=ANY_VIF),
        fitting=LogisticRules(l2=1.0),
    )
    wire = CountingWire(sites)
    return run(scorecard.fit(), wire), wire


def local(table: Table, label: Floats, rows: Rows, late: Table, joint: ScorecardHalf | None = None) -> Floats:
    """Margins of ``late``: bins and WOE of these rows, and of ``joint`` the margin, in scikit-learn's regression."""
    fitted = table.take(rows)
    features = [
        WoeFeature(p, f.bins)
        for p in fit_prebins(fitted)
        for f in [fit_woe(count_prebins(p, p.encode(fitted.columns[p.name]), label[rows]))]
        if not set(f.table.flags) - {"separates"}
    ]

    def design(of: Table) -> Floats:
        return np.column_stack([woe_of(features, of), *([joint.margin(of)] if joint else [])])

    model = LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(design(fitted), label[rows])
    margin: Floats = model.decision_function(design(late))
    return margin


def gained(label: Floats, score: Floats, reference: Floats) -> str:
    """Difference of AUCs with DeLong's interval."""
    gain = auc_gain(label, score, reference).gain
    return f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="a quarter of the rows, nothing written")
    arguments = parser.parse_args()
    table, label, banks = loans(arguments.data)
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(rows)[: len(rows) // 4 if arguments.quick else None] for _, rows in banks]
    early, late = ([r[: len(r) * 7 // 10] for r in shuffled], [r[len(r) * 7 // 10 :] for r in shuffled])
    started = time.process_time()
    developed, wire = together(table, label, early)
    seconds = time.process_time() - started
    everyone = np.concatenate(early)
    titles = [
        "bank",
        "rows fitted",
        "default rate",
        "alone",
        "eight banks",
        "pooled",
        "eight − pooled",
        "eight − alone",
    ]
    titles.append("own columns and the margin of eight − alone")
    rows = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for k, (bank, where) in enumerate([*((bank, late[k]) for k, (bank, _) in enumerate(banks)), ("all", None)]):
        held = np.concatenate(late) if where is None else where
        known = everyone if where is None else early[k]
        y, held_out = label[held], table.take(held)
        joint, pooled = developed.model.half.margin(held_out), local(table, label, everyone, held_out)
        cells = [bank, f"{len(known):,}", f"{label[known].mean():.3f}"]
        if where is None:
            cells += ["–", f"{auc_interval(y, joint).value:.4f}", f"{auc_interval(y, pooled).value:.4f}"]
        else:
            alone = local(table, label, known, held_out)
            cells += [f"{auc_interval(y, margin).value:.4f}" for margin in (alone, joint, pooled)]
        cells.append(gained(y, joint, pooled))
        if where is not None:
            both = local(table, label, known, held_out, developed.model.half)
            cells += [gained(y, joint, alone), gained(y, both, alone)]
        rows.append("| " + " | ".join(cells) + " |")
    rows += [
        "",
        f"{wire.rounds} exchanges, of them 4 sums of counts and {developed.n_sums} of the regression "
        f"({developed.n_steps} steps), {seconds:.1f} CPU s for all nine parties, "
        f"{wire.n_bytes / N_SITES / 1e6:.2f} MB to and from a bank.",
    ]
    print("\n".join(rows))
    if not arguments.quick:
        put_lines(Path(__file__).parent / "RESULT.md", rows)


if __name__ == "__main__":
    main()
