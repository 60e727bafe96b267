"""A bank's part in a session that trains trees: train, test beside a model of the bank alone, store its half."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.paillier import PaillierPublic
from federation.ciphers.suite import secret_cipher
from federation.disclosure import Transcript
from federation.script import Wire, run
from federation.vertical.boosting.checkpoint import GuestCheckpoint
from federation.vertical.boosting.guest import JointBoosting, Progress
from federation.vertical.guest import Trained, TrainingJob, train
from lab.bank_only import bank_only, trees_alone
from lab.checkpoints import Checkpoints, PacedKeeping
from lab.continuation import earlier_model, earlier_parts
from lab.data.sources import data_digest, read_division, read_labelled
from lab.evaluation import arrange
from lab.forecast import forecast, peak_rss_mb
from lab.governance.session_record import SessionRecord
from lab.handover import hand_over
from lab.jobs import GuestJob
from lab.leaks import host_leak, own_leaks
from lab.outcome import measured, row_counts, scores_frame, sealed
from lab.progress import Event, file_reporter
from lab.validation.amounts import measured_amounts
from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.bundle import JointModel, save
from models.losses import Floats
from models.table import Table
from models.validation.features import binned_by_cuts, feature_shifts


def lead_trees(job: GuestJob, wire: Wire, record: SessionRecord) -> dict[str, Any]:
    """Train, test beside a model of the bank alone on the held-out rows, and store all in the bank's own folder."""
    started = time.perf_counter()
    report = file_reporter(job.directory / "progress.jsonl")
    report(Event(stage="waiting"))
    division = read_division(job.party, job.split)
    parameters = BoostingParameters(**job.boosting)
    table, label, when, weight = read_labelled(job.party, job.split.time_column, parameters.objective)
    start, earlier = earlier_model(job), earlier_parts(job)
    checkpoints = Checkpoints.of(job)
    transcript = Transcript(job.party.party)
    tree_ends: list[float] = []
    outcome: dict[str, Any] = {}
    n_earlier = 0

    def opened(boosting: JointBoosting) -> None:
        nonlocal n_earlier
        n_earlier = len(boosting.start.trees) if boosting.start else 0
        if boosting.resumed:
            outcome["resumed_after"] = n_earlier
            report(Event(stage="training", done=n_earlier, total=parameters.n_estimators, note=_resumed(n_earlier)))
        expected = forecast(boosting)
        outcome["forecast"] = {
            "seconds_per_tree": expected.seconds_per_tree,
            "bytes_per_tree": expected.bytes_per_tree,
            "joint_trees": expected.n_trees,
            "memory_mb": dict(expected.memory_mb),
        }
        public = boosting.cipher.public
        outcome["key_bits"] = public.key_bits if isinstance(public, PaillierPublic) else 0
        note = expected.note(parameters.n_estimators - n_earlier)
        report(Event(stage="training", total=parameters.n_estimators, note=note))
        tree_ends.append(time.perf_counter())

    def watch(progress: Progress) -> None:
        if progress.tree <= n_earlier:  # walked, not grown
            tree_ends[-1] = time.perf_counter()
            return
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

    continued = {"continues": start.digest()} if start else {}
    digest_of_rows = data_digest(job.party)

    def with_details(model: JointModel) -> JointModel:
        return replace(
            model,
            details={
                "parameters": asdict(parameters),
                "cipher": job.cipher.name,
                "key_bits": outcome["key_bits"],
                "data_digest": digest_of_rows,
                **continued,
            },
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
            arrange=lambda rows: arrange(
                rows,
                table.ids,
                label,
                job.split,
                parameters.random_state,
                when,
                parameters.objective,
                earlier,
                division,
            ),
            watch=watch,
            opened=opened,
            weight=weight,
            start=start,
            kept=checkpoints.read(GuestCheckpoint.load),
            keeping=PacedKeeping(checkpoints, job.checkpoint_share) if job.checkpoint_share else None,
            keeper=(lambda m: record.keeper(lambda: sealed(with_details(m)))) if record.countersigned else None,
        )
    )
    report(Event(stage="alignment"))
    trained = run(script, wire, transcript)
    report(Event(stage="evaluation"))
    seconds = np.diff(tree_ends).tolist()
    model = with_details(trained.fitted.model)
    record.end(sealed(model))
    outcome |= {
        "model_id": job.model_id,
        "digest": model.digest(),
        "data_digest": digest_of_rows,
        "cipher": job.cipher.name,
        **continued,
        "trees": len(model.trees),
        "tree_seconds": seconds,
        "valid_loss": list(trained.fitted.valid_loss),
        "bytes": transcript.traffic(),
        "disclosures": transcript.disclosures(),
        "audit": record.said,
        **_tested(job, trained, model, table, label, weight, when, parameters, division.group),
        "seconds": time.perf_counter() - started,
        "peak_rss_mb": peak_rss_mb(),
    }
    save(job.directory / "model.json", model.to_json())
    save(job.directory / "outcome.json", outcome)
    return {"trees": len(model.trees), "seconds": outcome["seconds"]}


def _resumed(n_trees: int) -> tuple[str, str]:
    return f"resumed after tree {n_trees}", f"自第 {n_trees} 棵树后恢复"


def _tested(
    job: GuestJob,
    trained: Trained,
    model: JointModel,
    table: Table,
    label: Floats,
    weight: Floats | None,
    when: Floats | None,
    parameters: BoostingParameters,
    group: NDArray[np.intp] | None,
) -> dict[str, Any]:
    """Metrics on held-out rows; the scores themselves go to a file in the bank's own folder."""
    a = trained.arrangement
    fit, held_out = a.rows[: a.n_fit], a.rows[a.n_fit + a.n_valid :]
    fit_weight = None if weight is None else weight[fit]
    alone = fit_baseline(table.take(fit), label[fit], parameters, fit_weight).margin(table.take(a.rows))
    scores = scores_frame(table, label, when, a, alone, trained.fitted.margin, parameters.objective)
    scores.to_csv(job.directory / "scores.csv", index=False)
    if job.task == "trial":
        return {}
    if parameters.objective != "binary":
        return {"rows": row_counts(a, len(table)), **measured_amounts(scores, parameters)}
    own = feature_shifts(binned_by_cuts(table, trained.fitted.model.own.bins), fit, held_out)
    found = measured(scores, parameters.random_state, a, len(table), own + trained.shifts)
    leaks = own_leaks(job.party, table.take(fit), label[fit])
    leaks += host_leak(model, found["auc"]["joint"]["value"])
    seed = parameters.random_state
    own_trees = trees_alone(job.model_id, job.party.party, table, label, weight, parameters)
    stand_in = bank_only(own_trees, label, a, seed, group)
    served = hand_over(job.directory, model, stand_in, scores, found["validation"], seed)
    return {**found, "leaks": [asdict(leak) for leak in leaks], "served": served}
