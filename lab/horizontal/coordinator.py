"""The coordinator's part in a run: leads the protocols over sites, hands the model out, and tells what was learnt."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from federation.disclosure import Transcript
from federation.errors import PartyId, SiteLeft
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.signing import Signing
from federation.horizontal.aggregation.threshold.coordinator import ThresholdAggregation
from federation.horizontal.averaging.coordinator import FederatedAveraging, Mean
from federation.horizontal.binning.coordinator import joint_bins
from federation.horizontal.boosting.coordinator import HorizontalBoosting
from federation.horizontal.closing.coordinator import Closed, close
from federation.horizontal.closing.site import SitesModel
from federation.horizontal.conduct import run_over_sites
from federation.horizontal.scorecard.coordinator import HorizontalScorecard
from federation.script import Script, T, Wire
from lab.forecast import peak_rss_mb
from lab.horizontal.jobs import CoordinatorJob
from lab.horizontal.sums import NotedSums
from lab.progress import Event, Reporter, file_reporter
from models.averaging.model import AveragedModel
from models.binning import FeatureBins
from models.bundle import save
from models.errors import DataError
from models.losses import Floats
from models.validation.banded import banded_quality


@dataclass(frozen=True, slots=True)
class Fitted:
    """Attributes:
    contributors: whose rows the last sum of the fit was over.
    said: of the fit, for ``result.json``.
    """

    model: SitesModel
    contributors: tuple[PartyId, ...]
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Leading:
    """A coordinator at work over one wire."""

    job: CoordinatorJob
    wire: Wire
    aggregation: NotedSums
    report: Reporter
    transcript: Transcript
    _last: float = field(default_factory=time.perf_counter)

    def run(self, script: Script[T]) -> T:
        return run_over_sites(script, self.wire, self.aggregation.presence, self.transcript)

    def stepped(self, done: int) -> None:
        """One more tree, round or step."""
        now = time.perf_counter()
        own = self.transcript.traffic()[self.job.party.party]
        total = self.job.plan.n_steps
        n_bytes = own["sent"] + own["received"]
        self.report(Event(stage="training", done=done, total=total, seconds=now - self._last, n_bytes=n_bytes))
        self._last = now

    def bins(self, max_bin: int) -> tuple[FeatureBins, ...]:
        plan = self.job.plan
        rules = plan.horizontal
        self.report(Event(stage="binning"))
        return self.run(
            joint_bins(self.aggregation, plan.standard.features, max_bin, rules.most_rows, rules.min_rows_per_bin)
        )


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
    fitted = {"trees": _trees, "scorecard": _scorecard, "averaged": _averaged}[plan.kind](leading)
    report(Event(stage="evaluation"))
    closed = leading.run(close(leading.aggregation, plan.kind, fitted.model.to_json()))
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
        "bytes": {name: {"sent": 0, "received": 0} for name in job.sites} | dict(transcript.traffic()),
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


def _trees(leading: Leading) -> Fitted:
    plan, ends = leading.job.plan, [time.perf_counter()]
    bins = leading.bins(plan.parameters.max_bin)

    def progress(done: int) -> None:
        ends.append(time.perf_counter())
        leading.stepped(done)

    ends[0] = time.perf_counter()
    boosting = HorizontalBoosting(
        leading.job.model_id, leading.aggregation, bins, plan.parameters, plan.horizontal.most_rows, progress
    )
    grown = leading.run(boosting.fit())
    model = replace(grown.model, details={"parameters": asdict(plan.parameters)})
    seconds = [after - before for before, after in pairwise(ends)]
    said = {
        "trees": len(model.trees),
        "tree_seconds": seconds,
        "contributors_per_tree": [len(names) for names in grown.contributors],
        "complete": grown.complete,
    }
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
