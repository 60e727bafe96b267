"""A coordinator at work: what every kind of run over sites does alike."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from federation.disclosure import Transcript
from federation.errors import PartyId
from federation.horizontal.binning.coordinator import joint_bins
from federation.horizontal.checkpoint import Journal
from federation.horizontal.closing.coordinator import Closed
from federation.horizontal.closing.site import SitesModel
from federation.horizontal.conduct import run_over_sites
from federation.horizontal.disclosure import NotedSums
from federation.script import Script, T, Wire
from lab.horizontal.jobs import CoordinatorJob
from lab.progress import Event, Reporter
from models.binning import FeatureBins
from models.bundle import JointModel


@dataclass(frozen=True, slots=True)
class Fitted:
    """Attributes:
    contributors: whose rows the last sum of the fit was over.
    said: of the fit, for ``result.json``.
    ending: hands the model out and tests it; None: as for sites that all have the same.
    """

    model: SitesModel
    contributors: tuple[PartyId, ...]
    said: dict[str, Any]
    ending: Script[Closed] | None = None


@dataclass(slots=True)
class Leading:
    """A coordinator at work over one wire.

    Attributes:
        journal: of a run that can be resumed.
    """

    job: CoordinatorJob
    wire: Wire
    aggregation: NotedSums
    report: Reporter
    transcript: Transcript
    journal: Journal | None = None
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


@dataclass(slots=True)
class TreeClock:
    """When each tree was done, from now on."""

    leading: Leading
    ends: list[float] = field(default_factory=lambda: [time.perf_counter()])

    def tree_done(self, n_trees: int) -> None:
        self.ends.append(time.perf_counter())
        self.leading.stepped(n_trees)

    @property
    def seconds(self) -> list[float]:
        """Of each tree."""
        return [after - before for before, after in pairwise(self.ends)]


def trees_said(
    model: JointModel, contributors: Sequence[Sequence[PartyId]], complete: bool, clock: TreeClock
) -> dict[str, Any]:
    """Of trees, for ``result.json``."""
    return {
        "trees": len(model.trees),
        "tree_seconds": clock.seconds,
        "contributors_per_tree": [len(names) for names in contributors],
        "complete": complete,
    }
