"""Joint boosting, host side: sums ciphertexts over its bins, cuts nodes when told, keeps its thresholds.

It sees ciphertexts, row sets of nodes and which of its cuts won; its answers show no name, no threshold, no count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.ciphers.packing import PairPacking
from federation.ciphers.suite import public_cipher
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
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
from federation.vertical.boosting.state import BoostingState
from federation.vertical.boosting.sums import bin_counts, bin_sums, left_sums, sealed
from models.binning import MAX_BINS, Codes, FeatureBins, encode, fit_bins
from models.bundle import Half
from models.cells import shown
from models.derivatives import DERIVATIVE_BITS
from models.grouping import Grouping, group_features, parts_of
from models.sampling import draw_columns
from models.splits import Candidates, Mask, Split, default_side, goes_left
from models.table import Table

Rows = NDArray[np.intp]


#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "open",
    ("open", Gradients): "growing",
    ("growing", Gradients): "growing",
    ("growing", Grow): "growing",
    ("growing", Choose): "growing",
    ("open", Seal): "sealed",
    ("growing", Seal): "sealed",
}


@dataclass(frozen=True, slots=True)
class _Work:
    """What follows from the state and the table, rebuilt whenever it is absent."""

    cipher: PublicCipher
    packing: PairPacking
    bins: tuple[FeatureBins, ...]
    codes: Codes
    candidates: Candidates
    grouping: Grouping


@dataclass(slots=True)
class BoostingHost:
    """Answers joint boosting over ``table``, whose rows stand in run order."""

    party: str
    table: Table
    policy: HostPolicy
    state: BoostingState = field(default_factory=BoostingState)
    _work: _Work | None = None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case Gradients():
                reply = self._store(request)
            case Grow():
                reply = self._grow(request)
            case Choose():
                reply = self._choose(request)
            case Seal():
                reply = self._seal(request)
        self.state.phase = phase
        return reply

    @property
    def half(self) -> Half | None:
        """The host's half of the model, once sealed."""
        return Half.from_json(json.loads(self.state.half)) if self.state.half else None

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, m: Open) -> Message:
        if m.n_rows != len(self.table) or not 0 < m.n_fit <= m.n_rows:
            raise bad_value("row counts", "行数")
        self.policy.check_rows(m.n_fit)
        cipher = public_cipher(m.cipher, m.key, self.policy.cipher)
        if not 1 <= m.value_bits <= DERIVATIVE_BITS:
            raise bad_value("bits of a derivative", "导数位数")
        proven = PairPacking.for_rows(m.n_fit, m.value_bits, cipher.plaintext_bits)
        if (m.slot, m.pairs) != (proven.slot, proven.pairs):
            raise bad_value("layout of packed sums", "打包布局")
        if not 2 <= m.max_bin <= MAX_BINS or min(m.min_child_samples, m.n_estimators - 1, m.max_depth - 1) < 0:
            raise bad_value("parameters", "参数")
        if not 0.0 < m.feature_fraction <= 1.0 or m.random_state < 0:
            raise bad_value("parameters", "参数")
        state = BoostingState(
            model_id=m.model_id,
            cipher=m.cipher,
            key=m.key,
            slot=m.slot,
            pairs=m.pairs,
            n_fit=m.n_fit,
            n_estimators=m.n_estimators,
            max_depth=m.max_depth,
            max_bin=m.max_bin,
            min_child_samples=m.min_child_samples,
            feature_fraction=m.feature_fraction,
            random_state=m.random_state,
        )
        work = self._build(state, cipher)
        self.state, self._work = state, work
        parts = parts_of(work.grouping, work.codes, np.arange(m.n_fit))
        return Ready(
            n_features=len(work.bins),
            n_bins=work.candidates.n_bins,
            n_candidates=len(work.candidates),
            n_additions=sum(part.n_additions for part in parts),
        )

    def _build(self, state: BoostingState, cipher: PublicCipher) -> _Work:
        fit_rows = self.table.take(np.arange(state.n_fit))
        bins = fit_bins(fit_rows, state.max_bin, self.policy.min_rows_per_bin)
        codes = encode(self.table, bins)
        candidates = Candidates(bins)
        grouping = group_features(codes[:, : state.n_fit], tuple(b.n_bins for b in bins))
        return _Work(cipher, PairPacking(state.slot, state.pairs), bins, codes, candidates, grouping)

    def _ready(self) -> _Work:
        if self._work is None:
            self._work = self._build(self.state, public_cipher(self.state.cipher, self.state.key, self.policy.cipher))
        return self._work

    # -- one tree ------------------------------------------------------------------------------------------------

    def _store(self, m: Gradients) -> Message:
        state, work = self.state, self._ready()
        new_tree = m.start == 0
        if (m.tree != state.tree + 1) if new_tree else (m.tree != state.tree or m.start != state.n_stored):
            raise bad_value("gradients out of order", "梯度次序")
        carrying = self._carrying(m) if new_tree else state.carrying
        size = work.cipher.ciphertext_bytes
        n_new = len(m.ciphertexts) // size
        if n_new == 0 or m.tree >= state.n_estimators or m.start + n_new > len(carrying):
            raise bad_value("number of gradients", "梯度数量")
        work.cipher.load(m.ciphertexts)  # raises for anything outside the group
        if new_tree:
            state.tree, state.level, state.last_node = m.tree, 0, 0
            state.carrying = carrying
            state.ciphertexts = np.empty((len(carrying), size), dtype=np.uint8)
            state.offered = ()
            n_candidates = len(work.candidates)
            keys = np.frombuffer(os.urandom(8 * n_candidates), dtype=np.uint64)
            state.order = np.argsort(keys).astype(np.int64)
            state.node_of = np.zeros(len(self.table), dtype=np.int64)
            state.masks = ((0, pack_bits(work.candidates.of(self._columns()))),)
        state.n_stored = m.start + n_new
        batch = np.frombuffer(m.ciphertexts, dtype=np.uint8).reshape(n_new, size)
        state.ciphertexts[m.start : state.n_stored] = batch
        return Stored(n_rows=state.n_stored)

    def _carrying(self, m: Gradients) -> NDArray[np.int64]:
        """Rows that take part in the tree that begins."""
        if not m.rows:
            return np.arange(self.state.n_fit)
        try:
            rows = np.flatnonzero(unpack_bits(m.rows, self.state.n_fit)).astype(np.int64)
        except ValueError:
            raise bad_value("length of a bit array", "位数组长度") from None
        self.policy.check_rows(len(rows))
        return rows

    def _columns(self) -> Sequence[int]:
        """Features that this tree may use."""
        state = self.state
        n_features = len(self._ready().bins)
        return draw_columns(n_features, state.feature_fraction, state.random_state, state.tree, self.party)

    def _grow(self, m: Grow) -> Message:
        state, work = self.state, self._ready()
        if m.tree != state.tree or state.n_stored != len(state.carrying) or state.level >= state.max_depth:
            raise bad_value("a level that is not due", "层次不符")
        node_of, masks = self._routed(m)
        node_of_sums = node_of[state.carrying]
        codes = work.codes[:, : state.n_fit]
        if len(state.carrying) < state.n_fit:
            codes = codes[:, state.carrying]
        summed: list[Rows] = []
        visible: list[Mask] = []
        flags: list[Mask] = []  # per pair: shown, may cut the node, may cut its sibling
        for node, sibling in m.pairs:
            rows = [np.flatnonzero(node_of_sums == k) for k in (node, sibling) if k >= 0]
            if any(len(r) == 0 for r in rows):
                raise bad_value("a node without rows", "节点无数据行")
            counts = np.stack([bin_counts(codes, r, work.candidates) for r in rows])
            mask = shown(work.candidates, counts, self.policy.min_rows_per_bin, masks[node])
            usable = [mask & self._enough(work.candidates.left(c), len(r)) for c, r in zip(counts, rows, strict=True)]
            mask = np.logical_or.reduce(usable)
            masks[node] = mask
            if sibling >= 0:
                masks[sibling] = mask
            summed.append(rows[0])
            visible.append(mask)
            flags.append(np.stack([mask, usable[0], usable[-1]])[:, state.order])
        state.node_of = node_of
        state.level += 1
        state.offered = tuple(node for pair in m.pairs for node in pair if node >= 0)
        state.last_node = max(state.last_node, *state.offered)
        state.masks = tuple((node, pack_bits(mask)) for node, mask in masks.items())
        sums: list[Integer] = []
        grouping = work.grouping.only(self._columns())
        per_bin = bin_sums(work.cipher, state.ciphertexts, summed, codes, grouping)
        for mask, of_node in zip(visible, per_bin, strict=True):
            left = left_sums(work.cipher, work.candidates, of_node, mask)
            sums += [left[j] for j in state.order.tolist() if mask[j]]
        return Sums(flags=pack_bits(np.array(flags, dtype=bool)), ciphertexts=sealed(work.cipher, work.packing, sums))

    def _routed(self, m: Grow) -> tuple[NDArray[np.int64], dict[int, Mask]]:
        """Rows moved to the children, and for every live node what was shown for its parent."""
        state, n_candidates = self.state, len(self._ready().candidates)
        masks = {node: unpack_bits(bits, n_candidates) for node, bits in state.masks}
        if state.level == 0:
            if m.cuts or m.pairs != ((0, -1),):
                raise bad_value("nodes that do not exist", "节点不存在")
            return state.node_of, masks
        children = [child for _, *both in m.cuts for child in both]
        if not children or children != sorted(set(children)) or children[0] <= state.last_node:
            raise bad_value("numbers of children", "子节点编号")
        # Without its sibling a node's sums could be subtracted from its parent's unchecked.
        if sorted(tuple(sorted(pair)) for pair in m.pairs) != [(left, right) for _, left, right in m.cuts]:
            raise bad_value("a node without its sibling", "节点缺少其兄弟节点")
        try:
            left = unpack_bits(m.left, len(self.table))
        except ValueError:
            raise bad_value("length of a bit array", "位数组长度") from None
        node_of = state.node_of.copy()
        for node, left_child, right_child in m.cuts:
            here = state.node_of == node
            if node not in masks or not here.any():
                raise bad_value("nodes that do not exist", "节点不存在")
            node_of[here] = np.where(left[here], left_child, right_child)
            masks[left_child] = masks[right_child] = masks.pop(node)
        return node_of, masks

    def _enough(self, n_left: NDArray[np.int64], n_all: int) -> Mask:
        least = max(1, self.state.min_child_samples)
        enough: Mask = (n_left >= least) & (n_all - n_left >= least)
        return enough

    def _choose(self, m: Choose) -> Message:
        state, work = self.state, self._ready()
        if m.tree != state.tree:
            raise bad_value("another tree", "非当前树")
        offered = {
            node: unpack_bits(bits, len(state.order))[state.order]
            for node, bits in state.masks
            if node in state.offered
        }
        nodes = [node for node, _ in m.choices]
        if len(set(nodes)) != len(nodes):
            raise bad_value("a node cut twice", "节点被重复切分")
        fitted = np.zeros(len(self.table), dtype=bool)
        fitted[state.carrying] = True
        cuts: list[Split] = []
        left = np.zeros(len(self.table), dtype=bool)
        for node, tied in m.choices:
            places = list(tied)
            if node not in offered or not places or not all(0 <= i < len(state.order) for i in places):
                raise bad_value("a choice that was not offered", "选择了未提供的切分")
            if not offered[node][places].all():
                raise bad_value("a choice that was not offered", "选择了未提供的切分")
            # Candidates that tie part the fitted rows alike: the host's own order decides, not the shuffled one.
            split = work.candidates.splits[int(state.order[places].min())]
            here = state.node_of == node
            bins, codes = work.bins[split.feature], work.codes[split.feature]
            split = default_side(split, bins, codes[here & fitted])
            cuts.append(split)
            left |= here & goes_left(split, bins, codes)
        handles = tuple(range(len(state.splits), len(state.splits) + len(cuts)))
        state.offered = tuple(node for node in state.offered if node not in nodes)
        state.splits += tuple((s.feature, s.code, s.missing_left) for s in cuts)
        return Chosen(handles=handles, left=pack_bits(left))

    # -- sealing -------------------------------------------------------------------------------------------------

    def _seal(self, m: Seal) -> Message:
        state, work = self.state, self._ready()
        if not 0 <= m.n_handles <= len(state.splits):
            raise bad_value("number of cuts", "切分数量")
        splits = tuple(Split(*s) for s in state.splits[: m.n_handles])
        half = Half(state.model_id, self.party, work.bins, splits)
        state.half = json.dumps(half.to_json()).encode()
        state.ciphertexts = np.empty((0, 0), dtype=np.uint8)
        return Sealed(digest=half.digest())
