"""A bank's part in a scorecard session: develop, test beside a scorecard of the bank alone, store its half."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from federation.ciphers.suite import secret_cipher
from federation.disclosure import Transcript
from federation.script import Wire, run
from federation.vertical.guest import Arrangement
from federation.vertical.scorecard.guest import Developed, ScorecardJob, develop
from lab.bank_only import BankOnly, bank_only, card_alone
from lab.data.sources import data_digest, read_division, read_labelled
from lab.evaluation import arrange
from lab.forecast import peak_rss_mb
from lab.governance.session_record import SessionRecord
from lab.handover import hand_over
from lab.jobs import GuestJob
from lab.outcome import measured, scores_frame, sealed
from lab.progress import Event, file_reporter
from models.bundle import save
from models.losses import Floats
from models.scorecard.wald import Coefficient


def lead_scorecard(job: GuestJob, wire: Wire, record: SessionRecord) -> dict[str, Any]:
    """Develop with all parties, test on the held-out rows, and store all in the bank's own folder."""
    assert job.scorecard
    started = time.perf_counter()
    report = file_reporter(job.directory / "progress.jsonl")
    report(Event(stage="waiting"))
    table, label, when, weight = read_labelled(job.party, job.split.time_column)
    division = read_division(job.party, job.split)
    seed = job.scorecard.random_state
    transcript = Transcript(job.party.party)
    stages: list[tuple[str, float]] = []

    def watch(stage: str) -> None:
        stages.append((stage, time.perf_counter()))
        report(Event(stage="training", done=len(stages) - 1, total=2))

    sj = ScorecardJob(
        model_id=job.model_id,
        party=job.party.party,
        table=table,
        label=label,
        hosts=job.hosts,
        new_cipher=lambda n: secret_cipher(job.cipher.name, job.cipher.key_bits, job.cipher.rules, n),
        arrange=lambda rows: arrange(rows, table.ids, label, job.split, seed, when, division=division),
        prebinning=job.party.prebinning,
        binning=job.scorecard.binning,
        selection=job.scorecard.selection,
        fitting=job.scorecard.fitting,
        points=job.scorecard.points,
        watch=watch,
        weight=weight,
        keeper=(lambda m: record.keeper(lambda: sealed(m))) if record.countersigned else None,
    )
    report(Event(stage="alignment"))
    developed = run(develop(sj), wire, transcript)
    record.end(sealed(developed.fitted.model))
    report(Event(stage="evaluation"))
    a, own_card = developed.arrangement, card_alone(sj)
    if job.task == "trial":
        found = own_card(a)
        alone = found and BankOnly(*found)
    else:
        alone = bank_only(own_card, label, a, seed, division.group)
    margin = _bad_rate(label, a) if alone is None else alone.margin
    scores = scores_frame(table, label, when, a, margin, developed.fitted.margin)
    scores.to_csv(job.directory / "scores.csv", index=False)
    fitted = developed.fitted
    ended = time.perf_counter()
    outcome = {
        "kind": "scorecard",
        "model_id": job.model_id,
        "digest": fitted.model.digest(),
        "data_digest": data_digest(job.party),
        "cipher": job.cipher.name,
        "key_bits": job.cipher.key_bits if job.cipher.name == "paillier" else 0,
        "features": [asdict(v) for v in developed.verdicts],
        "binning": {
            party: [f.table.to_json() for f in found]
            for party, found in {job.party.party: developed.binned.own, **developed.binned.hosts}.items()
        },
        "coefficients": _coefficients(job, developed),
        "correlation": fitted.correlation.tolist(),
        "points": asdict(fitted.model.half.table),
        "rounds": fitted.n_rounds,
        "stage_seconds": {
            name: end - begin for (name, begin), (_, end) in zip(stages, [*stages[1:], ("", ended)], strict=True)
        },
        "bytes": transcript.traffic(),
        "disclosures": transcript.disclosures(),
        "audit": record.said,
        **_tested(job, developed, scores, len(table), alone),
        "seconds": time.perf_counter() - started,
        "peak_rss_mb": peak_rss_mb(),
    }
    save(job.directory / "model.json", fitted.model.to_json())
    save(job.directory / "outcome.json", outcome)
    return {"features": len(outcome["coefficients"]), "seconds": outcome["seconds"]}


def _tested(
    job: GuestJob, developed: Developed, scores: pd.DataFrame, n_bank: int, alone: BankOnly | None
) -> dict[str, Any]:
    """Metrics on held-out rows, and what is to be served; a trial is measured by who asked for it."""
    assert job.scorecard
    if job.task == "trial":
        return {}
    seed = job.scorecard.random_state
    found = measured(scores, seed, developed.arrangement, n_bank, developed.shifts)
    return {
        **found,
        "served": hand_over(job.directory, developed.fitted.model, alone, scores, found["validation"], seed),
    }


def _bad_rate(label: Floats, a: Arrangement) -> Floats:
    """Margins that say the bad rate of everybody."""
    rate = float(label[a.rows[: a.n_fit]].mean())
    return np.full(len(a.rows), np.log(rate / (1.0 - rate)))


def _coefficients(job: GuestJob, developed: Developed) -> list[dict[str, Any]]:
    """Intercept first; features of hosts by the number they had in binning, strongest first, as they were selected."""
    fitted = developed.fitted
    strongest = sorted(developed.verdicts, key=lambda v: (-v.information_value, v.place))
    rows = [_row(job.party.party, "intercept", fitted.intercept)]
    for party, found in {job.party.party: fitted.own, **fitted.of_hosts}.items():
        names = [v.variable for v in strongest if v.party == party and not v.reason]
        rows += [_row(party, name, c) for name, c in zip(names, found, strict=True)]
    return rows


def _row(party: str, name: str, c: Coefficient) -> dict[str, Any]:
    return {**asdict(c), "party": party, "name": name}
