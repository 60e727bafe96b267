"""One party's part in one session, on its own machine: load the own file, join, lead or follow, keep the own half.

Every party writes into its own folder only: ``model.json`` or ``half.json``, ``outcome.json``, and ``error.json`` if
it failed.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from federation.ciphers.paillier import PaillierPublic
from federation.ciphers.suite import secret_cipher
from federation.disclosure import Transcript
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.flower.client_app import make_client_app
from federation.messages import Message
from federation.script import Wire, run
from federation.transports.dialogue import RelayWire, serve_responder
from federation.transports.link import Link
from federation.vertical.boosting.guest import JointBoosting, Progress
from federation.vertical.guest import Trained, TrainingJob, train
from federation.vertical.host import ALLOWED, TrainingHost
from lab.data.sources import file_digest, read_labelled, read_table
from lab.evaluation import arrange, gain, quality
from lab.forecast import forecast
from lab.jobs import GuestJob, HostJob, Job, load_job, node_directory
from lab.progress import Event, file_reporter
from lab.scorecards import lead_scorecard
from lab.validation.features import feature_shifts
from lab.validation.stored import pack_of_scores
from lab.workers import party_workers
from models.baselines import fit_baseline
from models.bundle import Half, save
from models.errors import LianmoError
from models.losses import Floats
from models.parameters import BoostingParameters
from models.table import Table

log = logging.getLogger("lianmo.node")


def take_part(job: GuestJob | HostJob) -> dict[str, Any]:
    """Join the relay and do this party's part; returns counts only. Raises what went wrong, after noting it."""
    assert job.link
    try:
        with (
            party_workers(job.workers, job.n_jobs),
            Link(job.link.address, job.link.session, job.party.party, job.link.ticket) as link,
        ):
            if isinstance(job, GuestJob):
                wire = RelayWire(link, deadline_seconds=job.answer_seconds, join_seconds=job.party_seconds)
                return lead(job, wire)
            return _follow(job, link)
    except LianmoError as error:
        note_error(job, error)
        raise


def note_error(job: Job, error: LianmoError) -> None:
    """Leave what happened in the party's own folder."""
    save(
        job.directory / "error.json",
        {"code": error.code, "english": error.english, "chinese": error.chinese, "exit_code": error.exit_code},
    )


# -- host ----------------------------------------------------------------------------------------------------------


class _Unable:
    """Stands in for a host whose own data cannot be used: it refuses everything, so that the guest knows at once."""

    def __init__(self, error: LianmoError) -> None:
        self._error = error

    def answer(self, request: Message) -> Message:  # noqa: ARG002
        raise self._error


def _follow(job: HostJob, link: Link) -> dict[str, Any]:
    try:
        host = open_host(job)
    except LianmoError as error:
        note_error(job, error)
        unable = Endpoint(_Unable(error), job.guest, ALLOWED)
        serve_responder(link, lambda frame: (unable.answer(frame)[0], True), job.guest, idle_seconds=job.party_seconds)
        raise
    endpoint = Endpoint(host, job.guest, ALLOWED)
    serve_responder(link, endpoint.answer, job.guest, idle_seconds=job.answer_seconds)
    return keep_half(job, host)


def open_host(job: HostJob) -> TrainingHost:
    """The responder over this party's file. Raises ``DataError``."""
    return TrainingHost(job.party.party, read_table(job.party), job.party.policy, job.party.prebinning)


def keep_half(job: HostJob, host: TrainingHost) -> dict[str, Any]:
    """Store the host's half of the model in its own folder; returns what may leave it."""
    half = host.half
    if half:
        save(job.directory / "half.json", half.to_json())
    if isinstance(half, Half):
        save(job.directory / "stability.json", {"features": _own_shifts(host, half)})
    if host.scorecard and host.scorecard.kept:
        save(job.directory / "bins.json", host.scorecard.kept.to_json())
    outcome = {
        "data_digest": file_digest(job.party.data),
        "n_rows": len(host.table),
        "n_features": len(host.table.columns),
        "n_cuts": len(half.splits) if isinstance(half, Half) else 0,
        "peak_rss_mb": peak_rss_mb(),
    }
    save(job.directory / "outcome.json", outcome)
    return outcome


def _own_shifts(host: TrainingHost, half: Half) -> list[dict[str, Any]]:
    """Rows that fitted the model against the others of the run; stays in the host's own folder."""
    assert host.boosting
    table, n_fit = host.boosting.table, host.boosting.state.n_fit
    rows = np.arange(len(table))
    return [asdict(shift) for shift in feature_shifts(table, half.bins, rows[:n_fit], rows[n_fit:])]


# -- guest ---------------------------------------------------------------------------------------------------------


def lead(job: GuestJob, wire: Wire) -> dict[str, Any]:
    """The bank's part: a scorecard if the job has a section for it, else boosted trees."""
    return lead_scorecard(job, wire) if job.scorecard else lead_boosting(job, wire)


def lead_boosting(job: GuestJob, wire: Wire) -> dict[str, Any]:
    """Train, test beside a model of the bank alone on the held-out rows, and store all in the bank's own folder."""
    started = time.perf_counter()
    report = file_reporter(job.directory / "progress.jsonl")
    report(Event(stage="waiting"))
    table, label, when, weight = read_labelled(job.party, job.split.time_column)
    parameters = BoostingParameters(**job.boosting)
    transcript = Transcript(job.party.party)
    tree_ends: list[float] = []
    outcome: dict[str, Any] = {}

    def opened(boosting: JointBoosting) -> None:
        expected = forecast(boosting)
        outcome["forecast"] = {
            "seconds_per_tree": expected.seconds_per_tree,
            "bytes_per_tree": expected.bytes_per_tree,
            "memory_mb": dict(expected.memory_mb),
        }
        public = boosting.cipher.public
        outcome["key_bits"] = public.key_bits if isinstance(public, PaillierPublic) else 0
        report(Event(stage="training", total=parameters.n_estimators, note=expected.note(parameters.n_estimators)))
        tree_ends.append(time.perf_counter())

    def watch(progress: Progress) -> None:
        tree_ends.append(time.perf_counter())
        own = transcript.traffic()[job.party.party]
        report(
            Event(
                stage="training",
                done=progress.tree,
                total=progress.n_trees,
                seconds=tree_ends[-1] - tree_ends[-2],
                n_bytes=own["sent"] + own["received"],
            )
        )

    script = train(
        TrainingJob(
            model_id=job.model_id,
            party=job.party.party,
            table=table,
            label=label,
            hosts=job.hosts,
            parameters=parameters,
            new_cipher=lambda n: secret_cipher(job.cipher.name, job.cipher.key_bits, job.cipher.rules, n),
            arrange=lambda rows: arrange(rows, table.ids, label, job.split, parameters.random_state, when),
            watch=watch,
            opened=opened,
            weight=weight,
        )
    )
    report(Event(stage="alignment"))
    trained = run(script, wire, transcript)
    report(Event(stage="evaluation"))
    seconds = np.diff(tree_ends).tolist()
    model = replace(
        trained.fitted.model,
        details={
            "parameters": asdict(parameters),
            "cipher": job.cipher.name,
            "key_bits": outcome["key_bits"],
            "data_digest": file_digest(job.party.data),
        },
    )
    outcome |= {
        "model_id": job.model_id,
        "digest": model.digest(),
        "data_digest": file_digest(job.party.data),
        "cipher": job.cipher.name,
        "trees": len(model.trees),
        "tree_seconds": seconds,
        "valid_loss": list(trained.fitted.valid_loss),
        "bytes": transcript.traffic(),
        "disclosures": transcript.disclosures(),
        **_tested(job, trained, table, label, weight, when, parameters),
        "seconds": time.perf_counter() - started,
        "peak_rss_mb": peak_rss_mb(),
    }
    save(job.directory / "model.json", model.to_json())
    save(job.directory / "outcome.json", outcome)
    return {"trees": len(model.trees), "seconds": outcome["seconds"]}


def _tested(
    job: GuestJob,
    trained: Trained,
    table: Table,
    label: Floats,
    weight: Floats | None,
    when: Floats | None,
    parameters: BoostingParameters,
) -> dict[str, Any]:
    """Metrics on held-out rows; the scores themselves go to a file in the bank's own folder."""
    a = trained.arrangement
    n_seen = a.n_fit + a.n_valid
    fit, held_out = a.rows[: a.n_fit], a.rows[n_seen:]
    fit_weight = None if weight is None else weight[fit]
    alone = fit_baseline(table.take(fit), label[fit], parameters, fit_weight).margin(table.take(a.rows))
    joint = trained.fitted.margin
    part = np.repeat(["fit", "valid", "holdout"], [a.n_fit, a.n_valid, len(held_out)])
    scores = pd.DataFrame(
        {
            "id": [table.ids[r] for r in a.rows],
            "part": part,
            "label": label[a.rows].astype(int),
            "bank_only": alone,
            "joint": joint,
        }
    )
    if when is not None:
        scores["period"] = when[a.rows]
    scores.to_csv(job.directory / "scores.csv", index=False)
    shifts = feature_shifts(table, trained.fitted.model.own.bins, fit, held_out)
    seed, y = parameters.random_state, label[held_out]
    qualities = {"bank_only": quality(y, alone[n_seen:], seed), "joint": quality(y, joint[n_seen:], seed)}
    better = gain(y, joint[n_seen:], alone[n_seen:], seed)
    return {
        "rows": {
            "bank": len(table),
            "common": len(a.rows),
            "fit": a.n_fit,
            "valid": a.n_valid,
            "holdout": len(held_out),
        },
        "bad_rate": {"fit": float(label[fit].mean()), "holdout": float(y.mean())},
        "auc": {name: q.auc.as_dict() for name, q in qualities.items()},
        "ks": {name: q.ks.as_dict() for name, q in qualities.items()},
        "gain": {"auc": better.auc.as_dict(), "ks": better.ks.as_dict()},
        "validation": pack_of_scores(scores, seed, shifts).to_json(),
    }


def peak_rss_mb() -> float:
    """Most resident memory of this process so far, in megabytes; workers not counted."""
    status = Path("/proc/self/status")  # unlike getrusage's figure, this one does not count the process we came from
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# -- entry points --------------------------------------------------------------------------------------------------


def _run_session(party: PartyId, settings: Mapping[str, object]) -> Mapping[str, str | int | float | bytes]:
    """Flower's entry: this node's job lies in its own folder below ``settings["jobs"]``."""
    job = load_job(node_directory(Path(str(settings["jobs"])), party) / "job.json")
    return take_part(job)


app = make_client_app(_run_session)


def main() -> int:
    """``python -m lab.node JOB.json``: the same part without Flower. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        print(json.dumps(take_part(load_job(Path(sys.argv[1])))))
    except LianmoError as error:
        log.error("%s: %s", error.code, error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
