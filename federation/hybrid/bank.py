"""Learning in both directions, a bank's half towards the coordinator: a site whose features lie partly with hosts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from federation.alignment.guest import Positions, choose_rows, find_common
from federation.alignment.tokens import BATCH
from federation.ciphers.interface import SecretCipher
from federation.errors import LocalProtocolError, PartyId, RemoteProtocolError
from federation.expect import expect
from federation.horizontal.aggregation.interface import Contributor
from federation.horizontal.binning.site import ALLOWED as BINNING
from federation.horizontal.binning.site import BinningSite
from federation.horizontal.boosting.rows import TableFeatures
from federation.horizontal.boosting.site import ALLOWED as BOOSTING
from federation.horizontal.boosting.site import BoostingSite
from federation.horizontal.closing.site import ALLOWED as CLOSING
from federation.horizontal.closing.site import ClosingSite, SitesModel
from federation.hybrid.features import HostedCounts, HostedFeatures, Hosts
from federation.hybrid.messages import Join, Joined, Routes, RoutesWanted
from federation.hybrid.told import ToldModel
from federation.hybrid.veils import MOST_BITS, Veils
from federation.messages import Message
from federation.responder import bad_value
from federation.script import Script
from federation.vertical.bits import unpack_bits
from models.boosting.splits import Mask
from models.boosting.trees import margins
from models.bundle import JointModel
from models.losses import Floats
from models.table import Table

Rows = NDArray[np.intp]


def all_fit(common: Rows) -> tuple[Rows, Rows]:
    """Nothing is held out."""
    return common, common[:0]


@dataclass(slots=True)
class HybridBank:
    """Answers the coordinator over the applicants that all its hosts know.

    Attributes:
        label: of every row of ``table``: 1 is a default.
        new_cipher: number of encryptions to come → a fresh key.
        divide: rows that all hosts know → rows to fit, and rows to test the finished model on.
        rows, held_out: of ``table``, once aligned.
    """

    party: PartyId
    table: Table
    label: Floats
    hosts: Hosts
    contributor: Contributor
    new_cipher: Callable[[int], SecretCipher]
    divide: Callable[[Rows], tuple[Rows, Rows]] = all_fit
    rows: Rows = field(init=False, default_factory=lambda: np.empty(0, dtype=np.intp))
    held_out: Rows = field(init=False, default_factory=lambda: np.empty(0, dtype=np.intp))
    binning: BinningSite | None = None
    boosting: BoostingSite | None = None
    closing: ClosingSite | None = None
    told: ToldModel = field(init=False)
    _positions: Positions = field(init=False)

    @property
    def allowed(self) -> tuple[type[Message], ...]:
        """All that ``answer`` is for."""
        return (Join, *BINNING, *BOOSTING, *CLOSING, *self.contributor.allowed)

    def answer(self, request: Message) -> Message:
        if isinstance(request, self.contributor.allowed):
            return self.contributor.answer(request)
        if isinstance(request, Join) and self.boosting is None:
            return self._join(request)
        if self.binning and isinstance(request, BINNING):
            return self.binning.answer(request)
        if self.boosting and isinstance(request, BOOSTING):
            reply = self.boosting.answer(request)
            self.told.note(request)
            return reply
        if self.closing and isinstance(request, CLOSING):
            return self.closing.answer(request)
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
        self.hosts.ask(self._align())
        table, label = self.table.take(self.rows), self.label[self.rows]
        tested = self.table.take(self.held_out), self.label[self.held_out]
        self.binning = BinningSite(table, HostedCounts(self.contributor, self.hosts, veils))
        self.told = ToldModel((self.party, *self.hosts.parties.values()))
        features = HostedFeatures(TableFeatures(table), self.hosts, veils, self.new_cipher)
        self.boosting = BoostingSite(features, label, self.contributor)
        self.closing = ClosingSite(tested, self.contributor, self._is_ours, self._margin)
        return Joined()

    def _align(self) -> Script[None]:
        """Rows that all hosts know; those to fit are told to them."""
        parties = tuple(self.hosts.parties.values())
        self._positions = yield from find_common(self.table.ids, parties)
        common = np.flatnonzero(np.logical_and.reduce([p >= 0 for p in self._positions.values()]))
        self.rows, self.held_out = self.divide(common)
        yield from choose_rows(self._positions, self.rows)

    def _is_ours(self, model: SitesModel) -> bool:
        return isinstance(model, JointModel) and self.told.agrees(model)

    def _margin(self, model: SitesModel, rows: Table) -> Floats:
        """Log-odds of default of the held-out ``rows``."""
        assert isinstance(model, JointModel)
        routes = {model.party: model.own.routes(rows), **self.hosts.ask(self._routes(model))}
        return margins(model.trees, model.base_margin, routes, len(rows))

    def _routes(self, model: JointModel) -> Script[dict[PartyId, Mask]]:
        """On which side of its cuts each host has the held-out rows."""
        found: dict[PartyId, list[Mask]] = {host: [] for host in model.needed_hosts}
        for start in range(0, len(self.held_out) if found else 0, BATCH):
            rows = self.held_out[start : start + BATCH]
            replies = yield {
                host: RoutesWanted(
                    digest=model.host_digests[host], positions=self._positions[host][rows].astype("<u4").tobytes()
                )
                for host in found
            }
            for host, masks in found.items():
                try:
                    masks.append(unpack_bits(expect(replies, host, Routes).left, model.n_splits(host), len(rows)))
                except ValueError:
                    raise RemoteProtocolError(
                        host, "bad_value", "answered for other rows or another half.", "返回的行或模型部分不符。"
                    ) from None
        return {host: np.hstack(masks) for host, masks in found.items()}
