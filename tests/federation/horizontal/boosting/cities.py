"""Sites that share out the rows of one table, and the run over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from federation.codec import decode
from federation.endpoint import Endpoint
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.boosting.coordinator import OWNER, Grown, HorizontalBoosting
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import run
from models.binning import fit_bins
from models.boosting.parameters import BoostingParameters
from models.boosting.trees import margins
from models.losses import Floats
from models.table import Table
from tests.federation.horizontal.sites import COORDINATOR, SESSION, names, signings

DEFAULTS = {
    "n_estimators": 3,
    "max_depth": 4,
    "min_child_samples": 0,
    "max_bin": 16,
    "reg_lambda": 0.0,
    "max_cat_to_onehot": 255,
}
PARAMETERS = BoostingParameters(**DEFAULTS)


def never(party: PartyId, request: Message) -> str:
    return ""


@dataclass
class SiteWire:
    """A memory wire to sites that may lose some; keeps what passes."""

    sites: Mapping[PartyId, HorizontalSite]
    loss: Callable[[PartyId, Message], str] = never
    passed: list[tuple[PartyId, Message, Message | None]] = field(default_factory=list)

    def exchange(self, frames: Mapping[PartyId, bytes]) -> Mapping[PartyId, bytes]:
        replies = {}
        for party, frame in frames.items():
            request = decode(frame, COORDINATOR)
            lost = self.loss(party, request)
            if lost != "before":
                reply, _ = Endpoint(self.sites[party], COORDINATOR, self.sites[party].allowed).answer(frame)
                if not lost:
                    replies[party] = reply
            self.passed.append((party, request, decode(replies[party], party) if party in replies else None))
        return replies


def shares(n_rows: int, n_sites: int, seed: int = 0) -> list[np.ndarray]:
    """Rows of each site: unequal shares."""
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, n_rows), n_sites - 1, replace=False))
    return np.split(np.random.default_rng(seed).permutation(n_rows), cuts)


def unequal(label: Floats, n_sites: int, seed: int = 0) -> list[np.ndarray]:
    """Sizes log-normal, default rates skewed; of the first three sites one has no row, the others one class."""
    rng = np.random.default_rng(seed)
    size = np.exp(1.5 * rng.normal(size=n_sites))
    weight = size / size.sum()
    bad_weight = weight * np.exp(rng.normal(size=n_sites))
    weight[0] = bad_weight[0] = weight[1] = bad_weight[2] = 0.0
    bad_weight[1], weight[2] = 1 / n_sites, 1 / n_sites
    at = np.empty(len(label), dtype=int)
    for value, w in ((0.0, weight), (1.0, bad_weight)):
        mine = np.flatnonzero(label == value)
        at[mine] = rng.choice(n_sites, len(mine), p=w / w.sum())
    return [np.flatnonzero(at == k) for k in range(n_sites)]


class Trial:
    """One table shared out among sites, and a coordinator."""

    def __init__(
        self,
        table: Table,
        label: Floats,
        parts: Sequence[np.ndarray],
        parameters: BoostingParameters = PARAMETERS,
        loss: Callable[[PartyId, Message], str] = never,
    ) -> None:
        self.table, self.label, self.parts = table, label, parts
        self.names = names(len(parts))
        known = signings(len(parts))
        self.sites = {
            party: HorizontalSite(table.take(rows), label[rows], MaskingSite(party, SESSION, known[party]))
            for party, rows in zip(self.names, parts, strict=True)
        }
        self.wire = SiteWire(self.sites, loss)
        self.bins = fit_bins(table, parameters.max_bin)
        self.aggregation = MaskedAggregation(SESSION, Presence(self.names), known[self.names[0]])
        self.boosting = HorizontalBoosting("m-1", self.aggregation, self.bins, parameters, most_rows=2**20)

    def fit(self) -> Grown:
        return run(self.boosting.fit(), self.wire)

    def margin(self, grown: Grown, table: Table | None = None) -> Floats:
        rows = table or self.table
        model = grown.model
        return margins(model.trees, model.base_margin, {OWNER: model.own.routes(rows)}, len(rows))
