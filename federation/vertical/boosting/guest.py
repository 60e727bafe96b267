"""Joint boosting, guest side: the algorithm.

Newton boosting with histograms (Chen & Guestrin 2016, alg. 2, missing values as in alg. 3) where features lie at
several parties and gradients travel encrypted (Cheng et al. 2021, "SecureBoost", §4: hosts aggregate by alg. 1, the
guest finds splits by alg. 2). What each party learns: docs/protocols/boosting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.bits import pack_bits
from federation.vertical.boosting.growth import TreeGrowth, weigh
from federation.vertical.boosting.messages import Gradients, Open, Ready, Seal, Sealed, Stored
from federation.vertical.boosting.offers import OwnFeatures
from models.binning import encode, fit_bins
from models.bundle import Half, JointModel
from models.derivatives import Derivatives
from models.errors import DataError
from models.losses import Floats, base_margin, log_loss, logistic_derivatives
from models.parameters import BoostingParameters
from models.sampling import bag, goss
from models.table import Table
from models.trees import Tree

#: Rows of gradients per message: at 2,048 bits 8 MiB.
BATCH: Final = 16384
#: More candidate cuts than any honest host has; bounds what a hostile one makes the guest allocate.
MAX_CANDIDATES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The guest's rows in run order: first those that fit the trees, then those that only watch.

    Attributes:
        table: the guest's features, all rows of the run.
        label: 0/1 per row, 1 = default; only the first ``n_fit + n_valid`` are looked at.
        n_fit: rows that carry gradients.
        n_valid: rows after them whose loss decides early stopping; 0 if unused.
    """

    table: Table
    label: Floats
    n_fit: int
    n_valid: int = 0


@dataclass(frozen=True, slots=True)
class Fitted:
    """Outcome: the guest's half and the margins of all rows of the run, as the trees left them."""

    model: JointModel
    margin: Floats
    valid_loss: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """Told after each tree: how many are done, and the loss on the watching rows if there are any."""

    tree: int
    n_trees: int
    valid_loss: float | None


@dataclass(slots=True)
class JointBoosting:
    """Fits one model with ``hosts`` (none: an ordinary local run, the pooled twin of tests)."""

    model_id: str
    party: PartyId
    rows: TrainingRows
    hosts: Sequence[PartyId]
    cipher: SecretCipher
    parameters: BoostingParameters
    watch: Callable[[Progress], None] = lambda _: None
    opened: Callable[[JointBoosting], None] = lambda _: None
    packing: PairPacking = field(init=False)
    own: OwnFeatures = field(init=False)
    terms: dict[PartyId, Ready] = field(init=False, default_factory=dict)
    n_handles: dict[PartyId, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if len(np.unique(self.rows.label[: self.rows.n_fit])) < 2:
            raise DataError(
                "one_class",
                "The rows to fit have only one class: a model needs defaults and non-defaults.",
                "用于拟合的行只有一个类别，建模需要同时有违约与未违约样本。",
            )
        room = self.cipher.public.plaintext_bits
        self.packing = PairPacking.for_rows(self.rows.n_fit, self.parameters.derivative_bits, room)
        fit_rows = self.rows.table.take(np.arange(self.rows.n_fit))
        bins = fit_bins(fit_rows, self.parameters.max_bin)
        self.own = OwnFeatures(bins, encode(self.rows.table, bins), self.rows.n_fit, self.parameters.min_child_samples)

    def fit(self) -> Script[Fitted]:
        """The whole training. Raises ``RemoteProtocolError`` naming a host whose answers do not fit."""
        p, rows = self.parameters, self.rows
        yield from self._open()
        self.opened(self)
        label = rows.label[: rows.n_fit]
        base = base_margin(label)
        margin = np.full(len(rows.table), base)
        trees: list[Tree] = []
        losses: list[float] = []
        best, best_margin = 0, margin
        for t in range(p.n_estimators):
            g, h = logistic_derivatives(label, margin[: rows.n_fit])
            told, exact = derive(g, h, t, p)
            yield from self._send_gradients(t, told)
            self.cipher.prepare(len(told.rows) if self.hosts and t + 1 < p.n_estimators else 0)
            growth = TreeGrowth(t, told, self)
            tree, leaf = yield from growth.grow()
            weigh(tree, leaf[: rows.n_fit], exact, p)
            trees.append(tree)
            margin = margin + np.array([node.value for node in tree])[leaf]
            losses += self._valid_loss(margin)
            if not losses or losses[-1] < min(losses[:-1], default=np.inf):
                best, best_margin = t, margin
            self.watch(Progress(t + 1, p.n_estimators, losses[-1] if losses else None))
            if losses and p.early_stopping_rounds and t - best >= p.early_stopping_rounds:
                break
        self.cipher.prepare(0)
        if losses and p.early_stopping_rounds:
            trees, margin = trees[: best + 1], best_margin
        model = yield from self._seal(trees, base)
        return Fitted(model, margin, tuple(losses))

    def _valid_loss(self, margin: Floats) -> list[float]:
        watching = slice(self.rows.n_fit, self.rows.n_fit + self.rows.n_valid)
        return [log_loss(self.rows.label[watching], margin[watching])] if self.rows.n_valid else []

    def _open(self) -> Script[None]:
        public = self.cipher.public
        request = Open(
            model_id=self.model_id,
            cipher=public.name,
            key=public.key,
            value_bits=self.parameters.derivative_bits,
            slot=self.packing.slot,
            pairs=self.packing.pairs,
            n_rows=len(self.rows.table),
            n_fit=self.rows.n_fit,
            n_estimators=self.parameters.n_estimators,
            max_depth=self.parameters.max_depth,
            max_bin=self.parameters.max_bin,
            min_child_samples=self.parameters.min_child_samples,
            feature_fraction=self.parameters.feature_fraction,
            random_state=self.parameters.random_state,
        )
        replies = yield dict.fromkeys(self.hosts, request)
        self.terms = {host: expect(replies, host, Ready) for host in self.hosts}
        for host, terms in self.terms.items():
            if not 0 <= terms.n_candidates <= MAX_CANDIDATES:
                raise RemoteProtocolError(host, "bad_value", "offers too many cuts.", "提供的切分过多。")

    def _send_gradients(self, t: int, told: Derivatives) -> Script[None]:
        """SecureBoost §4.2: (g, h) of every row that takes part, encrypted, batch by batch."""
        if not self.hosts:
            return
        g, h = told.g[told.rows], told.h[told.rows]
        for start in range(0, len(g), BATCH):
            numbers = self.packing.join(g[start : start + BATCH].tolist(), h[start : start + BATCH].tolist())
            rows = b"" if start or len(g) == len(told.g) else pack_bits(np.isin(np.arange(len(told.g)), told.rows))
            batch = Gradients(tree=t, start=start, rows=rows, ciphertexts=self.cipher.encrypt(numbers))
            replies = yield dict.fromkeys(self.hosts, batch)
            for host in self.hosts:
                if expect(replies, host, Stored).n_rows != start + len(numbers):
                    raise RemoteProtocolError(host, "bad_value", "lost gradients.", "遗失了梯度。")

    def _seal(self, trees: list[Tree], base: float) -> Script[JointModel]:
        used = {
            party: sum(node.owner == party for tree in trees for node in tree) for party in (self.party, *self.hosts)
        }
        replies = yield {host: Seal(n_handles=used[host]) for host in self.hosts}
        digests = {host: expect(replies, host, Sealed).digest for host in self.hosts}
        own = Half(self.model_id, self.party, self.own.bins, tuple(self.own.splits[: used[self.party]]))
        return JointModel(own, tuple(trees), base, digests)


def derive(g: Floats, h: Floats, t: int, p: BoostingParameters) -> tuple[Derivatives, Derivatives]:
    """What cuts of tree ``t`` are found with, and what its leaves are weighed with; the same unless quantised.

    Args:
        g, h: derivatives of the rows to fit, magnitude at most 1.
    """
    rng = np.random.default_rng([p.random_state, t])
    rows, weight = np.arange(len(g)), np.ones(1)
    if p.goss and t * p.learning_rate >= 1.0:  # as LightGBM: the first trees have no gradients worth ranking
        rows, weight = goss(g, h, p.top_rate, p.other_rate, rng)
    elif p.bagging_fraction < 1.0:
        rows = bag(len(g), p.bagging_fraction, rng)
    g, h = g * weight, h * weight
    exact = Derivatives.exact(g, h, rows, limit=float(weight.max()))
    told = Derivatives.quantised(g, h, rows, p.num_grad_quant_bins, rng) if p.use_quantized_grad else exact
    return told, exact
