"""Learning in both directions, a bank's half towards the coordinator: a site whose features lie partly with hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.alignment.guest import choose_rows, find_common
from federation.ciphers.interface import SecretCipher
from federation.errors import LocalProtocolError
from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.binning.site import ALLOWED as BINNING
from federation.horizontal.binning.site import BinningSite
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import ALLOWED as BOOSTING
from federation.horizontal.boosting.site import BoostingSite
from federation.hybrid.features import HostedCounts, HostedFeatures, Hosts
from federation.hybrid.messages import Join, Joined
from federation.hybrid.veils import MOST_BITS, Veils
from federation.messages import Message
from federation.responder import bad_value
from federation.script import Script
from models.losses import Floats
from models.table import Table


@dataclass(slots=True)
class HybridBank:
    """Answers the coordinator over the applicants that all its hosts know.

    Attributes:
        label: of every row of ``table``: 1 is a default.
        new_cipher: number of encryptions to come → a fresh key.
        rows: of ``table`` that take part, once aligned.
    """

    table: Table
    label: Floats
    hosts: Hosts
    contributor: Contributor
    new_cipher: Callable[[int], SecretCipher]
    rows: NDArray[np.intp] = field(init=False)
    binning: BinningSite | None = None
    boosting: BoostingSite | None = None

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """All that ``answer`` is for."""
        return (Join, *BINNING, *BOOSTING, *self.contributor.allowed)

    def answer(self, request: Message) -> Message:
        if isinstance(request, self.contributor.allowed):
            return self.contributor.answer(request)
        if isinstance(request, Join) and self.boosting is None:
            return self._join(request)
        if self.binning and isinstance(request, BINNING):
            return self.binning.answer(request)
        if self.boosting and isinstance(request, BOOSTING):
            return self.boosting.answer(request)
        raise LocalProtocolError(
            "out_of_turn",
            f"A {request.kind} message is not accepted now: a bank joins once, before anything else.",
            f"当前阶段不接受 {request.kind} 消息：银行须先加入运行，且仅一次。",
        )

    def _join(self, m: Join) -> Message:
        if m.kinds != tuple(self.hosts.parties):
            raise bad_value("kinds of data nodes", "数据方类型")
        if not 1 <= m.veil_bits <= MOST_BITS:
            raise bad_value("bits of veils", "遮蔽位数")
        veils = Veils(m.veil_bits)
        self.rows = self.hosts.ask(self._align())
        table, label = self.table.take(self.rows), self.label[self.rows]
        self.binning = BinningSite(table, HostedCounts(self.contributor, self.hosts, veils))
        features = HostedFeatures(TableFeatures(table), self.hosts, veils, self.new_cipher)
        self.boosting = BoostingSite(features, label, self.contributor)
        return Joined()

    def _align(self) -> Script[NDArray[np.intp]]:
        """Rows that all hosts know, told to them."""
        positions = yield from find_common(self.table.ids, tuple(self.hosts.parties.values()))
        rows = np.flatnonzero(np.logical_and.reduce([p >= 0 for p in positions.values()]))
        yield from choose_rows(positions, rows)
        return rows
