"""Joint boosting, guest side: the algorithm.

Newton boosting with histograms (Chen & Guestrin 2016, alg. 2, missing values as in alg. 3) where features lie at
several parties and gradients travel encrypted (Cheng et al. 2021, "SecureBoost", §4: hosts aggregate by alg. 1, the
guest finds splits by alg. 2). What each party learns: docs/protocols/boosting.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.interface import SecretCipher
from federation.ciphers.packing import PairPacking
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.messages import (
    Choose,
    Chosen,
    Gradients,
    Grow,
    Open,
    Ready,
    Seal,
    Sealed,
    Stored,
    Sums,
)
from federation.vertical.boosting.offers import HostOffers, NodeTotals, Offer, OwnFeatures
from models.binning import encode, fit_bins
from models.bundle import Half, JointModel
from models.errors import DataError
from models.losses import DERIVATIVE_BITS, Floats, Integers, base_margin, log_loss, logistic_derivatives
from models.parameters import BoostingParameters
from models.splits import Mask, best_of, gains, leaf_value
from models.table import Table
from models.trees import Node, Tree

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


@dataclass(frozen=True, slots=True)
class _Choice:
    """The best cut of a node: its owner, the owner's candidates that tie for it, and what each sums to on the left."""

    owner: PartyId
    tied: tuple[int, ...]
    gain: float
    sums: frozenset[tuple[int, int]]


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
        self.packing = PairPacking.for_rows(self.rows.n_fit, DERIVATIVE_BITS, room)
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
            yield from self._send_gradients(t, g, h)
            self.cipher.prepare(len(g) if self.hosts and t + 1 < p.n_estimators else 0)
            tree, leaf = yield from self._grow(t, g, h)
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
            slot=self.packing.slot,
            pairs=self.packing.pairs,
            n_rows=len(self.rows.table),
            n_fit=self.rows.n_fit,
            n_estimators=self.parameters.n_estimators,
            max_depth=self.parameters.max_depth,
            max_bin=self.parameters.max_bin,
            min_child_samples=self.parameters.min_child_samples,
        )
        replies = yield dict.fromkeys(self.hosts, request)
        self.terms = {host: expect(replies, host, Ready) for host in self.hosts}
        for host, terms in self.terms.items():
            if not 0 <= terms.n_candidates <= MAX_CANDIDATES:
                raise RemoteProtocolError(host, "bad_value", "offers too many cuts.", "提供的切分过多。")

    def _send_gradients(self, t: int, g: Integers, h: Integers) -> Script[None]:
        """SecureBoost §4.2: every row's (g, h) encrypted, batch by batch."""
        if not self.hosts:
            return
        for start in range(0, len(g), BATCH):
            numbers = self.packing.join(g[start : start + BATCH].tolist(), h[start : start + BATCH].tolist())
            batch = Gradients(tree=t, start=start, ciphertexts=self.cipher.encrypt(numbers))
            replies = yield dict.fromkeys(self.hosts, batch)
            for host in self.hosts:
                if expect(replies, host, Stored).n_rows != start + len(numbers):
                    raise RemoteProtocolError(host, "bad_value", "lost gradients.", "遗失了梯度。")

    def _grow(self, t: int, g: Integers, h: Integers) -> Script[tuple[Tree, NDArray[np.intp]]]:
        """One tree, level by level, and the leaf each row of the run ends in."""
        p = self.parameters
        tree: Tree = [Node(n_rows=self.rows.n_fit)]
        at = np.zeros(len(self.rows.table), dtype=np.intp)
        readers = {
            host: HostOffers(host, self.terms[host].n_candidates, self.packing, self.cipher) for host in self.hosts
        }
        pairs: tuple[tuple[int, int], ...] = ((0, -1),)
        for _ in range(p.max_depth):
            request = self._level_request(t, tree, at, pairs)
            replies = yield dict.fromkeys(self.hosts, request)
            nodes = [node for pair in pairs for node in pair if node >= 0]
            rows = {node: np.flatnonzero(at[: self.rows.n_fit] == node) for node in nodes}
            totals = {node: NodeTotals.of(g[r], h[r]) for node, r in rows.items()}
            parents = {child: k for k, node in enumerate(tree) if node.owner for child in (node.left, node.right)}
            offers = {
                host: reader.read(expect(replies, host, Sums), pairs, parents, totals)
                for host, reader in readers.items()
            }
            offers = {self.party: {node: self.own.offer(r, g, h) for node, r in rows.items()}, **offers}
            # SecureBoost alg. 2: the best cut of every node over all parties, then its owner parts the rows.
            best = {node: self._best(totals[node], {party: offers[party][node] for party in offers}) for node in nodes}
            chosen = {node: choice for node, choice in best.items() if choice}
            at = yield from self._cut(t, tree, at, chosen, g, h)
            pairs = self._next_pairs(tree, list(chosen))
            if not pairs:
                break
        self._weigh(tree, at[: self.rows.n_fit], g, h)
        return tree, at

    def _level_request(self, t: int, tree: Tree, at: NDArray[np.intp], pairs: tuple[tuple[int, int], ...]) -> Grow:
        """Only cuts whose children need sums are told: a host does not learn the row sets of other leaves."""
        wanted = {node for pair in pairs for node in pair}
        made = [(k, n.left, n.right) for k, n in enumerate(tree) if n.owner and n.left in wanted]
        cuts = tuple(sorted(made, key=lambda cut: cut[1]))
        lefts = [left for _, left, _ in cuts]
        return Grow(tree=t, cuts=cuts, left=pack_bits(np.isin(at, lefts)) if cuts else b"", pairs=pairs)

    def _best(self, totals: NodeTotals, offers: Mapping[PartyId, Offer]) -> _Choice | None:
        gain = [
            np.where(o.usable, gains(o.g_left, o.h_left, totals.g, totals.h, self.parameters.rules), -np.inf)
            for o in offers.values()
        ]
        party, tied = best_of(gain)
        if party < 0:
            return None
        owner = list(offers)[party]
        sums = frozenset((int(offers[owner].g_left[j]), int(offers[owner].h_left[j])) for j in tied)
        return _Choice(owner, tied, float(gain[party][tied[0]]), sums)

    def _cut(
        self, t: int, tree: Tree, at: NDArray[np.intp], chosen: Mapping[int, _Choice], g: Integers, h: Integers
    ) -> Script[NDArray[np.intp]]:
        """Make the chosen cuts at their owners; returns the node each row is in afterwards."""
        asked: dict[PartyId, list[int]] = {}
        lefts: dict[int, Mask] = {}
        handles: dict[int, int] = {}
        for node, choice in chosen.items():
            if choice.owner == self.party:
                handles[node], lefts[node] = self.own.cut(choice.tied, at == node)
            else:
                asked.setdefault(choice.owner, []).append(node)
        if asked:
            replies = yield {
                host: Choose(tree=t, choices=tuple((node, chosen[node].tied) for node in nodes))
                for host, nodes in asked.items()
            }
            for host, nodes in asked.items():
                reply = expect(replies, host, Chosen)
                left = self._left_of(host, reply, len(nodes))
                handles.update(zip(nodes, reply.handles, strict=True))
                for node in nodes:
                    lefts[node] = left & (at == node)
                    self._check_rows(chosen[node], lefts[node][: self.rows.n_fit], g, h)
        after = at.copy()
        for node, choice in chosen.items():
            here, left = at == node, lefts[node]
            k = len(tree)
            n_left, n_all = (int(rows[: self.rows.n_fit].sum()) for rows in (left, here))
            tree += [Node(n_rows=n_left), Node(n_rows=n_all - n_left)]
            tree[node] = Node(choice.owner, handles[node], left=k, right=k + 1, gain=choice.gain, n_rows=n_all)
            after[here] = np.where(left[here], k, k + 1)
        return after

    def _check_rows(self, choice: _Choice, left: Mask, g: Integers, h: Integers) -> None:
        """A host must part the rows it summed."""
        if (int(g[left].sum()), int(h[left].sum())) not in choice.sums:
            raise RemoteProtocolError(
                choice.owner, "bad_value", "parted other rows than it had summed.", "切分的行与其求和的行不一致。"
            )

    def _left_of(self, host: PartyId, reply: Chosen, n_cuts: int) -> Mask:
        first = self.n_handles.get(host, 0)
        try:
            left = unpack_bits(reply.left, len(self.rows.table))
        except ValueError:
            left = None
        if left is None or reply.handles != tuple(range(first, first + n_cuts)):
            raise RemoteProtocolError(host, "bad_value", "answered with rows that do not fit.", "返回的行不符。")
        self.n_handles[host] = first + n_cuts
        return left

    def _next_pairs(self, tree: Tree, cut: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Siblings of which at least one may be cut again, the smaller first: only that one is summed."""
        least = 2 * max(1, self.parameters.min_child_samples)
        pairs = []
        for node in cut:
            children = sorted((tree[node].left, tree[node].right), key=lambda k: tree[k].n_rows)
            if tree[children[1]].n_rows >= least:
                pairs.append((children[0], children[1]))
        return tuple(pairs)

    def _weigh(self, tree: Tree, at: NDArray[np.intp], g: Integers, h: Integers) -> None:
        """Leaf weights (Chen & Guestrin 2016, eq. 5), known to the guest alone."""
        for k, node in enumerate(tree):
            if not node.owner:
                here = at == k
                node.value = leaf_value(
                    int(g[here].sum()), int(h[here].sum()), self.parameters.reg_lambda, self.parameters.learning_rate
                )

    def _seal(self, trees: list[Tree], base: float) -> Script[JointModel]:
        used = {
            party: sum(node.owner == party for tree in trees for node in tree) for party in (self.party, *self.hosts)
        }
        replies = yield {host: Seal(n_handles=used[host]) for host in self.hosts}
        digests = {host: expect(replies, host, Sealed).digest for host in self.hosts}
        own = Half(self.model_id, self.party, self.own.bins, tuple(self.own.splits[: used[self.party]]))
        return JointModel(own, tuple(trees), base, digests)
