"""Joint binning, guest side: bins, WOE and information value of all parties' features.

WOE and information value: Siddiqi, Credit Risk Scorecards, 2006, ch. 6; ``models.woe``. Labels travel encrypted and
hosts add them up per prebin, as gradients are in SecureBoost (Cheng et al. 2021, alg. 1). What each party learns:
docs/protocols/binning.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.errors import InvalidCiphertext, PartyId, PlaintextOverflow, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.batches import BATCH
from federation.vertical.binning.messages import FinalBins, Kept, Labels, Open, PrebinSums, Ready, Stored, SumsWanted
from federation.vertical.binning.packing import CountPacking
from federation.vertical.binning.prebinning import Prebinning
from models.errors import DataError, ModelError
from models.losses import Floats
from models.noise import LEAST_EPSILON, MOST_EPSILON, likely
from models.samples import checked_label
from models.table import Table
from models.woe.consistency import consistent
from models.woe.fitting import METHODS, FittedWoe, Method, PrebinCounts, WoeRules, count_prebins, fit_woe
from models.woe.prebins import Prebins

#: Fewest goods and fewest bads of a bin whose WOE a host is told.
MIN_CELL: Final = 10


@dataclass(frozen=True, slots=True)
class Binned:
    """Outcome at the guest.

    Attributes:
        prebins: the guest's own, in the order of its table.
        own: its features, same order.
        hosts: host → its features in the order it showed them. The third of ``host:tax`` is named "host:tax feature 3",
            and its bins by the numbers of their prebins; the host knows which of its columns that is.
    """

    prebins: tuple[Prebins, ...]
    own: tuple[FittedWoe, ...]
    hosts: Mapping[PartyId, tuple[FittedWoe, ...]]


@dataclass(slots=True)
class JointBinning:
    """Bins the features of ``party`` and of ``hosts`` (none: an ordinary local run).

    Attributes:
        table: the guest's features, all rows of the run.
        label: 0/1 per row, 1 = default; only the first ``n_fit`` are looked at.
        n_fit: rows that are counted.
        rules: how prebins become bins, unless a party wishes another trend for a feature.
        prebinning: how the guest cuts its own features.
        min_cell: fewest goods and fewest bads of a bin whose WOE a host is told, at least 1. A host can work out goods
            and bads of its bins from their WOE (``KeptFeature.table``).

    Raises:
        DataError: ``bad_label``; ``one_class``; ``too_few_outcomes`` if the rows to fit have fewer than ``min_cell``
            goods or bads, and there are hosts.
        ModelError: ``bad_parameter`` for ``min_cell`` under 1.
    """

    party: PartyId
    table: Table
    label: Floats
    n_fit: int
    hosts: Sequence[PartyId]
    cipher: SecretCipher
    rules: WoeRules = field(default_factory=WoeRules)
    prebinning: Prebinning = field(default_factory=Prebinning)
    min_cell: int = MIN_CELL
    n_bads: int = field(init=False)
    packing: CountPacking = field(init=False)
    prebins: tuple[Prebins, ...] = field(init=False)
    own: tuple[FittedWoe, ...] = field(init=False)
    terms: dict[PartyId, Ready] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.min_cell < 1:
            raise ModelError(
                "bad_parameter",
                f"min_cell is {self.min_cell}; it must be at least 1.",
                f"min_cell 为 {self.min_cell}，应不小于 1。",
            )
        fit_rows, label = self.table.take(np.arange(self.n_fit)), checked_label(self.label[: self.n_fit])
        self.packing = CountPacking.for_rows(self.n_fit, self.cipher.public.plaintext_bits)
        self.prebins = self.prebinning.fit(fit_rows)
        self.own = tuple(self._fit_own(p, fit_rows, label) for p in self.prebins)
        self.n_bads = int(label.sum())
        if self.hosts and min(self.n_bads, self.n_fit - self.n_bads) < self.min_cell:
            raise DataError(
                "too_few_outcomes",
                f"The {self.n_fit} rows to fit have fewer than {self.min_cell} goods or bads: any WOE would tell hosts "
                "too small a number. Use more rows.",
                f"用于拟合的 {self.n_fit} 行中好样本或坏样本不足 {self.min_cell} 个，"
                "任何证据权重都会向数据方透露过小的计数。请使用更多数据行。",
            )

    def fit(self) -> Script[Binned]:
        """The whole protocol. Raises ``RemoteProtocolError`` naming a host whose answers do not fit."""
        yield from self._open()
        yield from self._send_labels()
        replies = yield {host: SumsWanted() for host in self.hosts}
        hosts = {host: self._fit_host(host, expect(replies, host, PrebinSums)) for host in self.hosts}
        yield from self._tell(hosts)
        return Binned(self.prebins, self.own, hosts)

    def _fit_own(self, prebins: Prebins, rows: Table, label: Floats) -> FittedWoe:
        counts = count_prebins(prebins, prebins.encode(rows.columns[prebins.name]), label)
        return fit_woe(counts, wished(self.rules, self.prebinning.trend(prebins.name)), prebins.describe)

    def _open(self) -> Script[None]:
        public = self.cipher.public
        request = Open(
            cipher=public.name,
            key=public.key,
            slot=self.packing.slot,
            per_ciphertext=self.packing.per_ciphertext,
            offset=self.packing.offset,
            n_rows=len(self.table),
            n_fit=self.n_fit,
        )
        replies = yield dict.fromkeys(self.hosts, request)
        self.terms = {host: expect(replies, host, Ready) for host in self.hosts}

    def _send_labels(self) -> Script[None]:
        """SecureBoost §4.2 with labels instead of gradients: one ciphertext per row, batch by batch, once."""
        if not self.hosts:
            return
        label = self.label[: self.n_fit].astype(np.int64).tolist()
        for start in range(0, self.n_fit, BATCH):
            batch = label[start : start + BATCH]
            request = Labels(start=start, ciphertexts=self.cipher.encrypt(batch))
            replies = yield dict.fromkeys(self.hosts, request)
            for host in self.hosts:
                if expect(replies, host, Stored).n_rows != start + len(batch):
                    raise RemoteProtocolError(host, "bad_value", "lost labels.", "遗失了标签。")

    def _fit_host(self, host: PartyId, reply: PrebinSums) -> tuple[FittedWoe, ...]:
        counts = self._read(host, reply)
        # The host knows its noise, and sees through it to the labels: bins must be as large without it.
        min_cell = self.min_cell + (likely(reply.epsilon) if reply.epsilon else 0)
        least = replace(
            self.rules,
            small_bins="merge",  # a bin left out could be had as the rest
            min_goods=max(self.rules.min_goods, min_cell),
            min_bads=max(self.rules.min_bads, min_cell),
        )
        return tuple(
            fit_told(of_feature, wished(least, trend)) for of_feature, trend in zip(counts, reply.trends, strict=True)
        )

    def _read(self, host: PartyId, reply: PrebinSums) -> list[PrebinCounts]:
        """Counts of each feature. Raises ``RemoteProtocolError`` for counts that these rows cannot have."""
        n_features, n_prebins = len(reply.counts), sum(map(len, reply.counts))
        terms, lengths = self.terms[host], {len(reply.n_regular), len(reply.ordered), len(reply.trends), n_features}
        if reply.epsilon and not LEAST_EPSILON <= reply.epsilon <= MOST_EPSILON:
            raise _misfit(host)
        if lengths != {terms.n_features} or n_prebins != terms.n_prebins or not {*reply.trends} <= {"", *METHODS}:
            raise _misfit(host)
        try:
            bads = self.packing.split(self.cipher.decrypt(reply.ciphertexts), n_prebins)
        except (PlaintextOverflow, InvalidCiphertext):
            raise _misfit(host) from None
        found: list[PrebinCounts] = []
        for k, count in enumerate(reply.counts):
            bad, bads = tuple(bads[: len(count)]), bads[len(count) :]
            good = tuple(n - b for n, b in zip(count, bad, strict=True))
            if reply.epsilon:
                if not good or max(map(abs, (*good, *bad))) > self.n_fit + self.packing.offset:
                    raise _misfit(host)
                good, bad = consistent(good, self.n_fit - self.n_bads), consistent(bad, self.n_bads)
            if min((*good, *bad), default=0) < 0 or (sum(good), sum(bad)) != (self.n_fit - self.n_bads, self.n_bads):
                raise _misfit(host)
            if not 0 <= reply.n_regular[k] <= len(count):
                raise _misfit(host)
            name = f"{host} feature {k + 1}"
            found.append(PrebinCounts(name, reply.n_regular[k], reply.ordered[k], good, bad))
        return found

    def _tell(self, fitted: Mapping[PartyId, tuple[FittedWoe, ...]]) -> Script[None]:
        requests = {
            host: FinalBins(
                bin_of=tuple(f.bins.bin_of for f in features),
                woe=tuple(f.bins.woe for f in features),
                unseen_woe=float(self.rules.unseen_woe),
            )
            for host, features in fitted.items()
        }
        replies = yield requests
        for host, features in fitted.items():
            if expect(replies, host, Kept).n_features != len(features):
                raise RemoteProtocolError(host, "bad_value", "lost bins.", "遗失了分箱。")


def wished(rules: WoeRules, trend: str) -> WoeRules:
    """The rules with the method a party wishes for a feature; "": as they are."""
    return replace(rules, method=cast(Method, trend)) if trend else rules


def fit_told(counts: PrebinCounts, rules: WoeRules) -> FittedWoe:
    """Bins whose WOE may be told: each has no row, or at least ``min_goods`` goods and ``min_bads`` bads of the rules.

    Where ``as_is`` leads to smaller bins, ``auto`` is used; where limits cannot be kept in regular bins, all prebins
    become one bin, which tells nothing.
    """
    fitted = fit_woe(counts, rules)
    if rules.method == "as_is" and not _may_be_told(fitted, rules):
        fitted = fit_woe(counts, replace(rules, method="auto"))
    if not _may_be_told(fitted, rules):
        together = replace(counts, n_regular=len(counts.goods), ordered=False)
        fitted = fit_woe(together, replace(rules, method="auto", max_bins=1))
    return fitted


def _may_be_told(fitted: FittedWoe, rules: WoeRules) -> bool:
    return all(
        not row.count or (row.good >= rules.min_goods and row.bad >= rules.min_bads) for row in fitted.table.rows
    )


def _misfit(host: PartyId) -> RemoteProtocolError:
    return RemoteProtocolError(
        host,
        "bad_value",
        "answered with counts that these rows cannot have. The run stops.",
        "返回的计数不可能来自这些数据行。运行已停止。",
    )
