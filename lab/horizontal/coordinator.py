"""The coordinator's part in a run: leads the protocols over sites, hands the model out, and tells what was learnt."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

from federation.disclosure import Transcript
from federation.errors import SiteLeft
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.signing import Signing
from federation.horizontal.aggregation.threshold.coordinator import ThresholdAggregation
from federation.horizontal.averaging.coordinator import FederatedAveraging, Mean
from federation.horizontal.boosting.coordinator import HorizontalBoosting
from federation.horizontal.checkpoint import CoordinatorCheckpoint, Journal
from federation.horizontal.closing.coordinator import Closed, close
from federation.horizontal.disclosure import NotedSums
from federation.horizontal.scorecard.coordinator import HorizontalScorecard
from federation.script import Wire
from lab.checkpoints import Checkpoints, PacedKeeping
from lab.forecast import peak_rss_mb
from lab.horizontal.jobs import CoordinatorJob
from lab.horizontal.leading import Fitted, Leading, TreeClock, trees_said
from lab.hybrid.coordinator import hybrid_trees
from lab.progress import Event, file_reporter
from models.averaging.model import AveragedModel
from models.bundle import save
from models.errors import DataError
from models.losses import Floats
from models.validation.banded import banded_quality


def coordinate(job: CoordinatorJob, wire: Wire, signing: Signing | None = None) -> dict[str, Any]:
    """Lead one session; store model and outcome in the coordinator's folder, and return the outcome.

    Args:
        signing: to name a site whose signature is false; None leaves that to the sites.

    Raises:
        LocalProtocolError: ``too_few_sites``: fewer are left than a sum takes.
        SiteLeft, Refused, RemoteProtocolError, DataError, ModelError: as the protocols.
    """
    started = time.perf_counter()
    report = file_reporter(job.directory / "progress.jsonl")
    report(Event(stage="waiting"))
    transcript = Transcript(job.party.party)
    leading = Leading(job, wire, NotedSums(_aggregation(job, signing)), report, transcript)
    plan = job.plan
    if plan.kind == "trees" and not plan.hybrid and job.checkpoint_share:
        leading.journal = _journal(job, leading.aggregation.presence)
    fit = {"trees": _trees, "scorecard": _scorecard, "averaged": _averaged}[plan.kind]
    fitted = (hybrid_trees if plan.hybrid else fit)(leading)
    report(Event(stage="evaluation"))
    ending = fitted.ending or close(leading.aggregation, plan.kind, fitted.model.to_json(), leading.journal)
    closed = leading.run(ending)
    outcome = {
        "kind": "horizontal",
        "model_kind": plan.kind,
        "model_id": job.model_id,
        "digest": fitted.model.digest(),
        "aggregation": plan.horizontal.aggregation,
        "columns": len(plan.standard.names),
        "contributors": list(fitted.contributors),
        "takers": list(closed.takers),
        "left": sorted({*job.sites} - {*closed.takers}),
        **fitted.said,
        "pooled": _pooled(closed, plan.seed),
        "bytes": {name: {"sent": 0, "received": 0} for name in job.peers} | dict(transcript.traffic()),
        "disclosures": transcript.disclosures(),
        "sums": leading.aggregation.told(),
        "seconds": time.perf_counter() - started,
        "peak_rss_mb": peak_rss_mb(),
    }
    save(job.directory / "model.json", fitted.model.to_json())
    save(job.directory / "outcome.json", outcome)
    return outcome


def _aggregation(job: CoordinatorJob, signing: Signing | None) -> Aggregation:
    plan, presence = job.plan, Presence(tuple(sorted(job.sites)))
    threshold = plan.horizontal.threshold
    if plan.horizontal.aggregation == "shared_key":
        return ThresholdAggregation(job.model_id, presence, plan.rules, threshold)
    return MaskedAggregation(job.model_id, presence, signing, plan.rules, threshold)


def _journal(job: CoordinatorJob, presence: Presence) -> Journal:
    checkpoints = Checkpoints.of(job)
    return Journal(
        presence,
        job.plan.model_dump_json(),
        PacedKeeping(checkpoints, job.checkpoint_share),
        lambda checkpoint: checkpoints.keep(checkpoint.dump()),
        checkpoints.newest(CoordinatorCheckpoint.load),
    )


def _trees(leading: Leading) -> Fitted:
    plan, journal = leading.job.plan, leading.journal
    earlier = journal.last.joint if journal else None
    bins = earlier.own.bins if earlier else leading.bins(plan.parameters.max_bin)
    if earlier:
        leading.report(Event(stage="training", done=len(earlier.trees), total=plan.n_steps))
    clock = TreeClock(leading)
    boosting = HorizontalBoosting(
        leading.job.model_id,
        leading.aggregation,
        bins,
        plan.parameters,
        plan.horizontal.most_rows,
        clock.tree_done,
        journal=journal,
        rules=plan.rules,
        threshold=plan.horizontal.threshold,
    )
    grown = leading.run(boosting.fit())
    model = replace(grown.model, details={"parameters": asdict(plan.parameters)})
    resumed = {"resumed_after": len(earlier.trees)} if earlier else {}
    said = trees_said(model, grown.contributors, grown.complete, clock) | resumed
    return Fitted(model, grown.contributors[-1], said)


def _scorecard(leading: Leading) -> Fitted:
    plan = leading.job.plan
    assert plan.scorecard
    card = HorizontalScorecard(
        leading.job.model_id,
        leading.aggregation,
        plan.standard.columns,
        plan.horizontal.most_rows,
        binning=plan.scorecard.binning,
        selection=plan.scorecard.selection,
        fitting=plan.scorecard.fitting,
        points=plan.scorecard.points,
        watch=lambda stage: leading.report(Event(stage="binning" if stage == "binning" else "training")),
        progress=leading.stepped,
    )
    found = leading.run(card.fit())
    said = {
        "features": [asdict(v) for v in found.verdicts],
        "binning": [f.table.to_json() for f in found.binned],
        "coefficients": [asdict(c) for c in found.coefficients],
        "points": asdict(found.model.half.table),
        "steps": found.n_steps,
        "sums": found.n_sums,
    }
    return Fitted(found.model, found.contributors, said)


def _averaged(leading: Leading) -> Fitted:
    from federation.flower.strategies import averaged, strategy_of  # a CPU second of Flower: only where it is used

    plan, job = leading.job.plan, leading.job
    section = plan.averaging
    assert section
    bins = leading.bins(section.max_bin)
    averaging = FederatedAveraging(
        job.model_id,
        leading.aggregation,
        bins,
        section.model,
        section.settings,
        section.local_epochs,
        plan.horizontal.most_rows,
        section.weights,
    )
    leading.run(averaging.open())
    means: list[Mean] = []
    at: list[Floats] = []

    def mean_of(parameters: Floats) -> Mean:
        at.append(parameters)
        means.append(leading.run(averaging.mean(parameters)))
        leading.stepped(len(means))
        return means[-1]

    strategy = strategy_of(section.strategy, section.strategy_settings)
    try:
        parameters = averaged(strategy, averaging.start(section.random_state), section.rounds, mean_of)
    except SiteLeft:
        if not means:
            raise
        parameters = at[-1]  # what the strategy made of the last round that was whole
    model = AveragedModel(job.model_id, bins, section.model, section.settings, tuple(parameters.tolist()))
    said = {"rounds": len(means), "parameters_averaged": len(parameters), "rows_of_all": means[-1].n_rows or None}
    return Fitted(model, means[-1].contributors, said)


def _pooled(closed: Closed, seed: int) -> dict[str, Any] | None:
    """How well the model does on the held-out rows of all sites that were left, from counts over them."""
    if closed.goods is None or closed.bads is None:
        return None
    n_goods, n_bads = int(closed.goods.sum()), int(closed.bads.sum())
    told = {"sites": len(closed.contributors), "rows": n_goods + n_bads, "defaults": n_bads}
    try:
        auc, ks = banded_quality(closed.goods, closed.bads, seed)
    except DataError:
        return told
    return {**told, "auc": auc.as_dict(), "ks": ks.as_dict()}
