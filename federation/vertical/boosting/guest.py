"""Joint boosting, guest side: the algorithm.

Newton boosting with histograms (Chen & Guestrin 2016, alg. 2, missing values as in alg. 3) where features lie at
several parties and gradients travel encrypted (Cheng et al. 2021, "SecureBoost", §4: hosts aggregate by alg. 1, the
guest finds splits by alg. 2). What each party learns: docs/protocols/boosting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import numpy as np

from federation.checkpoint import Keeping, rows_digest
from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.batches import BATCH
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.checkpoint import Course, GuestCheckpoint
from federation.vertical.boosting.growth import TreeGrowth, weigh
from federation.vertical.boosting.messages import Gradients, Keep, Kept, Open, Ready, Seal, Sealed, Stored
from federation.vertical.boosting.offers import OwnFeatures
from federation.vertical.boosting.recall import check_start
from models.binning import encode, fit_bins
from models.boosting.derivatives import Derivatives, Rows
from models.boosting.parameters import BoostingParameters
from models.boosting.sampling import bag, goss
from models.boosting.splits import Mask
from models.boosting.trees import Tree, leaves_of
from models.bundle import Half, JointModel
from models.losses import Floats, check_weight
from models.table import Table

#: More candidate cuts than any honest host has; bounds what a hostile one makes the guest allocate.
MAX_CANDIDATES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The guest's rows in run order: first those that fit the trees, then those that only watch.

    Attributes:
        table: the guest's features, all rows of the run.
        label: what the objective learns, such as 1 = default, 0 = not; only the first ``n_fit + n_valid`` are looked
            at.
        n_fit: rows that carry gradients.
        n_valid: rows after them whose loss decides early stopping; 0 if unused.
        weight: of every row, above 0, or none: all weigh 1; only the first ``n_fit + n_valid`` are looked at.
    """

    table: Table
    label: Floats
    n_fit: int
    n_valid: int = 0
    weight: Floats | None = None

    def seen(self, rows: slice) -> tuple[Floats, Floats | None]:
        """Label and weight of some rows."""
        return self.label[rows], None if self.weight is None else self.weight[rows]

    def digest(self, p: BoostingParameters) -> str:
        """Of all that the guest's part of a run follows from (``rows_digest``)."""
        return rows_digest(self.table, {**asdict(p), "rows": [self.n_fit, self.n_valid]}, self.label, self.weight)


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
    """Fits one model with ``hosts`` (none: an ordinary local run, the pooled twin of tests).

    With a model to ``start`` from, its trees are walked instead of grown, and everything else goes as if they had been
    grown now: 5 trees and then 10 from there are the 10 trees of one run, bit for bit.

    Attributes:
        resumed: checkpoint of this very run, whose model is ``start``: its trees are not even walked.
        keeping: where checkpoints go and when, if they are to be taken.
    """

    model_id: str
    party: PartyId
    rows: TrainingRows
    hosts: Sequence[PartyId]
    cipher: SecretCipher
    parameters: BoostingParameters
    watch: Callable[[Progress], None] = lambda _: None
    opened: Callable[[JointBoosting], None] = lambda _: None
    start: JointModel | None = None
    resumed: GuestCheckpoint | None = None
    keeping: Keeping | None = None
    packing: PairPacking = field(init=False)
    own: OwnFeatures = field(init=False)
    terms: dict[PartyId, Ready] = field(init=False, default_factory=dict)
    n_handles: dict[PartyId, int] = field(init=False, default_factory=dict)
    digest: str = field(init=False, default="")

    def __post_init__(self) -> None:
        label, weight = self.rows.seen(slice(self.rows.n_fit + self.rows.n_valid))
        self.parameters.loss.check(label, self.rows.n_fit)
        if weight is not None:
            check_weight(weight)
        p = self.parameters
        if self.start:
            check_start(self.start, self.party, self.hosts, p)
            self.n_handles = {host: self.start.n_splits(host) for host in self.hosts}
        room = self.cipher.public.plaintext_bits
        self.packing = PairPacking.for_rows(self.rows.n_fit, self.parameters.derivative_bits, room)
        if self.start:
            bins, codes = self.start.own.bins, self.start.own.codes(self.rows.table, self.rows.n_fit)
        else:
            bins = fit_bins(self.rows.table.take(np.arange(self.rows.n_fit)), p.max_bin)
            codes = encode(self.rows.table, bins)
        splits = list(self.start.own.splits) if self.start else []
        self.own = OwnFeatures(
            bins, codes, self.rows.n_fit, p.min_child_samples, p.max_cat_to_onehot, p.monotone_constraints, splits
        )

    def fit(self) -> Script[Fitted]:
        """The whole training. Raises ``RemoteProtocolError`` naming a host whose answers do not fit."""
        p, rows = self.parameters, self.rows
        routes = yield from self._open()
        self.opened(self)
        base = self.start.base_margin if self.start else p.loss.base_margin(*rows.seen(slice(rows.n_fit)))
        earlier = self.start.trees if self.start else ()
        course = self.resumed.course() if self.resumed else Course.fresh(base, len(rows.table))
        for t in range(len(course.trees), p.n_estimators):
            if t < len(earlier):
                tree, leaf = earlier[t], leaves_of(earlier[t], routes, len(rows.table))
            else:
                tree, leaf = yield from self._grow(t, course.margin[: rows.n_fit])
            margin = course.margin + np.array([node.value for node in tree])[leaf]
            course.add(tree, margin, self._valid_loss(margin))
            self.watch(Progress(t + 1, p.n_estimators, course.losses[-1] if course.losses else None))
            if course.stops(p.early_stopping_rounds):
                break
            if self.keeping and len(earlier) <= t < p.n_estimators - 1 and self.keeping.due():
                yield from self._keep(self.keeping, course, base)
        self.cipher.prepare(0)
        trees, margin = course.trees, course.margin
        if course.losses and p.early_stopping_rounds:
            trees, margin = trees[: course.best + 1], course.best_margin
        model = yield from self._seal(trees, base)
        return Fitted(model, margin, tuple(course.losses))

    def _grow(self, t: int, margin: Floats) -> Script[tuple[Tree, Rows]]:
        """Tree ``t`` and the leaf of every row of the run. ``margin``: of the rows to fit."""
        p = self.parameters
        label, weight = self.rows.seen(slice(self.rows.n_fit))
        told, exact = derive(*p.loss.derivatives(label, margin, weight), t, p, p.loss.limit(weight))
        hosts = self.hosts if t >= p.first_trees_guest_only else ()
        yield from self._send_gradients(t, told, hosts)
        more = self.hosts and p.first_trees_guest_only <= t + 1 < p.n_estimators
        self.cipher.prepare(len(told.rows) if more else 0)
        growth = TreeGrowth(t, told, self, hosts)
        tree, leaf = yield from growth.grow()
        weigh(tree, leaf[: self.rows.n_fit], exact, p, growth.bounds, growth.cat_l2)
        return tree, leaf

    def _valid_loss(self, margin: Floats) -> list[float]:
        watching = slice(self.rows.n_fit, self.rows.n_fit + self.rows.n_valid)
        label, weight = self.rows.seen(watching)
        return [self.parameters.loss.loss(label, margin[watching], weight)] if self.rows.n_valid else []

    def _open(self) -> Script[dict[PartyId, Mask]]:
        """Agree on the terms; returns which rows go left at the cuts of the model to start from."""
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
            max_cat_to_onehot=self.parameters.max_cat_to_onehot,
            num_leaves=self.parameters.num_leaves,
            first_tree=first_joint_tree(self.parameters, self.start),
        )
        digests = self.start.host_digests if self.start else {}
        replies = yield {host: replace(request, continues=digests.get(host, "")) for host in self.hosts}
        self.terms = {host: expect(replies, host, Ready) for host in self.hosts}
        walked = self.start if not self.resumed else None
        routes = {self.party: walked.own.routes(self.rows.table)} if walked else {}
        for host, terms in self.terms.items():
            if not 0 <= terms.n_candidates <= MAX_CANDIDATES:
                raise RemoteProtocolError(host, "bad_value", "offers too many cuts.", "提供的切分过多。")
            try:
                routes[host] = unpack_bits(terms.left, walked.n_splits(host) if walked else 0, len(self.rows.table))
            except ValueError:
                raise RemoteProtocolError(
                    host, "bad_value", "answered for other rows or cuts.", "返回的行或切分不符。"
                ) from None
        return routes

    def _send_gradients(self, t: int, told: Derivatives, hosts: Sequence[PartyId]) -> Script[None]:
        """SecureBoost §4.2: (g, h) of every row that takes part, encrypted, batch by batch."""
        if not hosts:
            return
        g, h = told.g[told.rows], told.h[told.rows]
        for start in range(0, len(g), BATCH):
            numbers = self.packing.join(g[start : start + BATCH].tolist(), h[start : start + BATCH].tolist())
            rows = b"" if start or len(g) == len(told.g) else pack_bits(np.isin(np.arange(len(told.g)), told.rows))
            batch = Gradients(tree=t, start=start, rows=rows, ciphertexts=self.cipher.encrypt(numbers))
            replies = yield dict.fromkeys(hosts, batch)
            for host in hosts:
                if expect(replies, host, Stored).n_rows != start + len(numbers):
                    raise RemoteProtocolError(host, "bad_value", "lost gradients.", "遗失了梯度。")

    def _keep(self, keeping: Keeping, course: Course, base: float) -> Script[None]:
        """Every host keeps its half so far, then the guest its own: it never knows of a moment that a host lacks."""
        replies = yield {host: Keep(n_handles=self.n_handles.get(host, 0)) for host in self.hosts}
        digests = {host: expect(replies, host, Kept).digest for host in self.hosts}
        own = self._own_half(len(self.own.splits))
        model = JointModel(own, tuple(course.trees), base, digests, objective=self.parameters.objective)
        self.digest = self.digest or self.rows.digest(self.parameters)
        keeping.keep(GuestCheckpoint.of(model, self.digest, course))

    def _seal(self, trees: list[Tree], base: float) -> Script[JointModel]:
        used = {
            party: sum(node.owner == party for tree in trees for node in tree) for party in (self.party, *self.hosts)
        }
        replies = yield {host: Seal(n_handles=used[host]) for host in self.hosts}
        sealed = {host: expect(replies, host, Sealed) for host in self.hosts}
        for host, reply in sealed.items():
            if len(reply.features) != used[host] or min(reply.features, default=0) < 0:
                raise RemoteProtocolError(host, "bad_value", "numbered other cuts.", "编号的切分不符。")
        return JointModel(
            self._own_half(used[self.party]),
            tuple(trees),
            base,
            {host: reply.digest for host, reply in sealed.items()},
            objective=self.parameters.objective,
            host_features={host: reply.features for host, reply in sealed.items() if reply.features},
        )

    def _own_half(self, n_handles: int) -> Half:
        return Half(self.model_id, self.party, self.own.bins, tuple(self.own.splits[:n_handles]))


def first_joint_tree(p: BoostingParameters, start: JointModel | None) -> int:
    """Number of the first tree that hosts take part in."""
    return max(p.first_trees_guest_only, len(start.trees) if start else 0)


def derive(
    g: Floats, h: Floats, t: int, p: BoostingParameters, limit: float | None = 1.0
) -> tuple[Derivatives, Derivatives]:
    """What cuts of tree ``t`` are found with, and what its leaves are weighed with; the same unless quantised.

    Args:
        g, h: derivatives of the rows to fit.
        limit: bound on their magnitude; ``None``: what they reach.
    """
    rng = np.random.default_rng([p.random_state, t])
    rows, weight = np.arange(len(g)), np.ones(1)
    if p.goss and t * p.learning_rate >= 1.0:  # as LightGBM: the first trees have no gradients worth ranking
        rows, weight = goss(g, h, p.top_rate, p.other_rate, rng)
    elif p.bagging_fraction < 1.0:
        rows = bag(len(g), p.bagging_fraction, rng)
    g, h = g * weight, h * weight
    exact = Derivatives.exact(g, h, rows, None if limit is None else limit * float(weight.max()))
    told = Derivatives.quantised(g, h, rows, p.num_grad_quant_bins, rng) if p.use_quantized_grad else exact
    return told, exact
