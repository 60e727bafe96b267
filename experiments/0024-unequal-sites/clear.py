"""Sums in clear, in one process, for figures that masks do not change: tests hold masked sums equal to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from worlds import Rows

from federation.errors import PartyId
from federation.horizontal.aggregation.groups import GroupedAggregation, draw_groups
from federation.horizontal.aggregation.interface import Aggregation, Numbers, Total
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting.coordinator import OWNER, Grown, HorizontalBoosting
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.screening import HistogramScreen
from federation.horizontal.boosting.site import BoostingSite
from federation.messages import Message
from federation.script import Script
from models.binning import FeatureBins
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import margins
from models.losses import Floats
from models.table import Table

MOST_ROWS = 2**17
Change = Callable[[Numbers], Numbers]


@dataclass
class ClearAggregation:
    """Adds what sites give."""

    presence: Presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        del n_values, bound, only
        asked = self.presence.sites
        vectors = self.presence.arrived((yield {party: requests[party] for party in asked}), asked, Contribution)
        values: Numbers = np.sum([np.frombuffer(v.data, dtype=np.int64) for v in vectors.values()], axis=0)
        return Total(values, tuple(vectors))


@dataclass
class ClearContributor:
    """Tells its numbers, or what ``change`` makes of histograms."""

    fewest_sites: int
    change: Change | None = None
    allowed: tuple[type[Message], ...] = ()
    n_opened: int = 0

    def answer(self, request: Message) -> Message:
        raise NotImplementedError

    def contribute(self, values: Numbers, bound: int) -> Message:
        changed = self.change(values) if self.change and len(values) > 2 else values
        return Contribution(turn=0, data=np.clip(changed, -bound, bound).tobytes(), proof=b"", signature=b"")

    def dump(self) -> bytes:
        raise NotImplementedError

    def load(self, data: bytes) -> None:
        raise NotImplementedError


@dataclass
class Together:
    """A run of horizontal boosting over sites in this process."""

    table: Table
    bins: tuple[FeatureBins, ...]
    parameters: BoostingParameters
    sites: dict[PartyId, BoostingSite]
    noise: float = 0.0
    grouped: bool = False
    n_out: int = 0
    n_groups: int = 0

    def fit(self) -> Grown:
        presence = Presence(tuple(self.sites))
        aggregation: Aggregation = ClearAggregation(presence)
        if self.grouped:
            groups = [ClearAggregation(Presence(group)) for group in draw_groups("s", presence.sites)]
            most = max(len(group.presence.sites) for group in groups) * MOST_ROWS
            aggregation = GroupedAggregation(presence, groups, HistogramScreen(self.bins, most))
        boosting = HorizontalBoosting("m", aggregation, self.bins, self.parameters, MOST_ROWS, noise=self.noise)
        script = boosting.fit()
        replies: dict[PartyId, Message] | None = None
        while True:
            try:
                requests = script.send(replies)
            except StopIteration as done:
                grown: Grown = done.value
                break
            replies = {party: self.sites[party].answer(request) for party, request in requests.items()}
        if isinstance(aggregation, GroupedAggregation):
            self.n_out, self.n_groups = len(aggregation.out), len(aggregation.groups)
        return grown

    def margin(self, grown: Grown, rows: Rows) -> Floats:
        of = self.table.take(rows)
        model = grown.model
        return margins(model.trees, model.base_margin, {OWNER: model.own.routes(of)}, len(of))


def sites_of(
    table: Table, label: Floats, parts: Sequence[Rows], fewest: int, poison: Mapping[int, Change] | None = None
) -> dict[PartyId, BoostingSite]:
    return {
        f"site:{k:02d}": BoostingSite(
            TableFeatures(table.take(rows)), label[rows], ClearContributor(fewest, (poison or {}).get(k))
        )
        for k, rows in enumerate(parts)
    }
