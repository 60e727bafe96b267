"""Sums over banks whose parts of hosts' features are veiled: an aggregation that orders and unveils them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.hybrid.layout import Layout
from federation.hybrid.veils import Use, Veils, turn_of
from federation.messages import Message
from federation.script import Script


@dataclass(slots=True)
class UnveilingAggregation:
    """``Aggregation`` over another one.

    Attributes:
        seeds: bank → kind of host → seed of its veils.
        sizes: numbers per feature, of the requests that follow (``Layout.owners_of``).
    """

    inner: Aggregation
    layout: Layout
    veils: Veils
    seeds: Mapping[PartyId, Mapping[str, bytes]]
    sizes: tuple[int, ...] = ()
    presence: Presence = field(init=False)

    def __post_init__(self) -> None:
        self.presence = self.inner.presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        request = next(iter(requests.values()), None)
        if not isinstance(request, binning.CellsWanted | boosting.Grow):
            return (yield from self.inner.total(requests, n_values, bound, only))
        total = yield from self.inner.total(requests, n_values, self.veils.bound, only)
        owners = self.layout.owners_of(request, self.sizes)
        # A bank's numbers come owner by owner, and of each owner in order.
        values = np.empty(n_values, dtype=np.int64)
        values[np.argsort(owners, kind="stable")] = total.values
        for k, kind in enumerate(self.layout.kinds, start=1):
            own = owners == k
            veil = np.zeros(int(own.sum()), dtype=np.uint64)
            for bank in total.contributors:
                veil += self._veil(self.seeds[bank][kind], request, len(veil))
            values[own] = self.veils.opened(values[own], veil)
        return Total(values, total.contributors)

    def _veil(self, seed: bytes, request: binning.CellsWanted | boosting.Grow, n: int) -> NDArray[np.uint64]:
        """What a host added to its part of a bank's answer."""
        if isinstance(request, binning.CellsWanted):
            return self.veils.draw(seed, Use.COUNTS, request.round, n)
        turns = [turn_of(request.tree, node) for node in request.nodes]
        return np.concatenate([self.veils.draw(seed, Use.SUMS, turn, n // len(turns)) for turn in turns])
