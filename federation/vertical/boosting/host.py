"""Joint boosting, host side: sums ciphertexts over its bins, cuts nodes when told, keeps its thresholds.

It sees ciphertexts, row sets of nodes and which of its cuts won; its answers show no name, no threshold, no count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from federation.ciphers.integers import Integer
from federation.ciphers.suite import public_cipher
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.checkpoint import HostCheckpoint, finished, host_rows, named
from federation.vertical.boosting.messages import (
    Choose,
    Chosen,
    Gradients,
    Grow,
    Keep,
    Kept,
    Open,
    Ready,
    Recall,
    Recalled,
    Seal,
    Sealed,
    Stored,
    Sums,
)
from federation.vertical.boosting.state import BoostingState
from federation.vertical.boosting.ways import check_rows, own_way
from federation.vertical.boosting.work import Work, build, check_terms
from federation.vertical.sums import bin_counts, bin_sums, left_sums, sealed
from models.boosting.cells import shown
from models.boosting.grouping import parts_of
from models.boosting.sampling import draw_columns
from models.boosting.sets import settled
from models.boosting.splits import Mask, Split, default_side, goes_left
from models.bundle import Half
from models.table import Table

Rows = NDArray[np.intp]


#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Recall): "closed",
    ("closed", Open): "open",
    ("open", Keep): "open",
    ("growing", Keep): "growing",
    ("open", Gradients): "growing",
    ("growing", Gradients): "growing",
    ("growing", Grow): "growing",
    ("growing", Choose): "growing",
    ("open", Seal): "sealed",
    ("growing", Seal): "sealed",
}


@dataclass(slots=True)
class BoostingHost:
    """Answers joint boosting over ``table``, whose rows stand in run order.

    Attributes:
        earlier: this party's half of a finished model that the run may add trees to.
        kept: checkpoints of this very run, if it is resumed.
    """

    party: str
    table: Table
    policy: HostPolicy
    state: BoostingState = field(default_factory=BoostingState)
    earlier: Half | None = None
    kept: Sequence[HostCheckpoint] = ()
    _work: Work | None = None
    _digest: str = ""

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        reply: Message
        match request:
            case Recall():
                reply = Recalled(held=tuple(self._kept(digest) is not None for digest in request.digests))
            case Open():
                reply = self._open(request)
            case Gradients():
                reply = self._store(request)
            case Grow():
                reply = self._grow(request)
            case Choose():
                reply = self._choose(request)
            case Keep():
                reply = self._keep(request)
            case Seal():
                reply = self._seal(request)
        self.state.phase = phase
        return reply

    @property
    def n_fit(self) -> int:
        """Rows that carry gradients, the first of the run."""
        return self.state.n_fit

    @property
    def checkpoint(self) -> HostCheckpoint | None:
        """The newest, for this party's own disk."""
        return HostCheckpoint.load(self.state.kept) if self.state.kept else None

    @property
    def half(self) -> Half | None:
        """The host's half of the model, once sealed."""
        return Half.from_json(json.loads(self.state.half)) if self.state.half else None

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, m: Open) -> Message:
        cipher = check_terms(m, len(self.table), self.policy)
        kept = self._kept(m.continues)
        earlier = kept or finished(self.earlier, m.continues)
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
            max_cat_to_onehot=m.max_cat_to_onehot,
            feature_fraction=m.feature_fraction,
            random_state=m.random_state,
            num_leaves=m.num_leaves,
            continues=m.continues,
            tree=m.first_tree - 1,
            splits=tuple(map(astuple, earlier.splits)) if earlier else (),
        )
        work = build(state, cipher, self.table, self.policy, earlier)
        self.state, self._work = state, work
        parts = parts_of(work.grouping, work.codes, np.arange(m.n_fit))
        return Ready(
            n_features=len(work.bins),
            n_bins=work.candidates.n_bins,
            n_candidates=len(work.candidates),
            n_additions=sum(part.n_additions for part in parts),
            left=pack_bits(earlier.routes(self.table)) if earlier and not kept else b"",
        )

    def _kept(self, digest: str) -> Half | None:
        """The half of a checkpoint, if it is held; refused if it was made on other rows or under other rules."""
        if not self.kept:
            return None
        return named(self.kept, digest, self._rows())

    def _rows(self) -> str:
        """Digest of all that this party's bins and cuts follow from, besides what the guest says."""
        self._digest = self._digest or host_rows(self.table, self.policy)
        return self._digest

    def _ready(self) -> Work:
        if self._work is None:
            state = self.state
            cipher = public_cipher(state.cipher, state.key, self.policy.cipher)
            earlier = self._kept(state.continues) or finished(self.earlier, state.continues)
            self._work = build(state, cipher, self.table, self.policy, earlier)
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
            state.tree, state.level, state.last_node, state.n_shown = m.tree, 0, 0, 0
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
        if m.tree != state.tree or state.n_stored != len(state.carrying) or not self._due(len(m.pairs)):
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
        offered = tuple(node for pair in m.pairs for node in pair if node >= 0)
        gone = {node for node, _, _ in m.cuts}
        waiting = tuple(node for node in state.offered if node not in gone) if state.num_leaves else ()
        state.offered = waiting + offered
        state.n_shown += len(offered)
        state.last_node = max(state.last_node, *offered)
        state.masks = tuple((node, pack_bits(mask)) for node, mask in masks.items())
        sums: list[Integer] = []
        grouping = work.grouping.only(self._columns())
        per_bin = bin_sums(work.cipher, state.ciphertexts, summed, codes, grouping)
        for mask, of_node in zip(visible, per_bin, strict=True):
            left = left_sums(work.cipher, work.candidates, of_node, mask)
            sums += [left[j] for j in state.order.tolist() if mask[j]]
        return Sums(
            flags=pack_bits(np.array(flags, dtype=bool)),
            ciphertexts=sealed(work.cipher, work.packing, sums),
            directions=self._directions(visible[0]) if state.level == 1 else b"",
            categories=self._categories(visible[0]) if state.level == 1 else b"",
        )

    def _directions(self, mask: Mask) -> bytes:
        """Which shown cuts must rise and which must fall; nothing if this party has no such wish."""
        directions = self._ready().directions
        if not directions.any():
            return b""
        return pack_bits(np.stack([mask & (directions > 0), mask & (directions < 0)])[:, self.state.order])

    def _categories(self, mask: Mask) -> bytes:
        """Which shown cuts are levels of one category, numbered as they come in the secret order; nothing if none."""
        of_places = np.where(mask, self._ready().categories, 0)[self.state.order]
        if not of_places.any():
            return b""
        number = {0: 0}
        for category in of_places.tolist():
            number.setdefault(category, len(number))
        return np.array([number[category] for category in of_places.tolist()], dtype="<u4").tobytes()

    def _due(self, n_pairs: int) -> bool:
        """Whether so many pairs may be summed now: as many levels as agreed, or as many nodes as the leaves allow."""
        state = self.state
        if not state.num_leaves:
            return state.level < state.max_depth
        # The last cut needs no sums of its children; each cut before it shows two nodes.
        return state.level == 0 or state.n_shown + 2 * n_pairs <= 2 * state.num_leaves - 3

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
        """Whether each candidate may be chosen: by itself, or as a level of a set, which is looked at once chosen."""
        least = np.where(self._ready().categories > 0, 1, max(1, self.state.min_child_samples))
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
        for node, ways in m.choices:
            if node not in offered or not ways:
                raise bad_value("a choice that was not offered", "选择了未提供的切分")
            own = [own_way(way, offered[node], state.order, work.categories) for way in ways]
            # Cuts that tie are alike to the guest: the host's own order decides, not the shuffled one.
            split = settled(own, work.candidates)
            here = state.node_of == node
            bins, codes = work.bins[split.feature], work.codes[split.feature]
            check_rows(split, bins, codes[here & fitted], self.policy.min_rows_per_bin, state.min_child_samples)
            split = default_side(split, bins, codes[here & fitted])
            cuts.append(split)
            left |= here & goes_left(split, bins, codes)
        handles = tuple(range(len(state.splits), len(state.splits) + len(cuts)))
        state.offered = tuple(node for node in state.offered if node not in nodes)
        state.splits += tuple(map(astuple, cuts))
        return Chosen(handles=handles, left=pack_bits(left))

    # -- sealing -------------------------------------------------------------------------------------------------

    def _half_of(self, n_handles: int) -> Half:
        splits = tuple(Split(*s) for s in self.state.splits[:n_handles])
        return Half(self.state.model_id, self.party, self._ready().bins, splits)

    def _keep(self, m: Keep) -> Message:
        if m.n_handles != len(self.state.splits):
            raise bad_value("number of cuts", "切分数量")
        half = self._half_of(m.n_handles)
        self.state.kept = HostCheckpoint.of(half, self._rows()).dump()
        return Kept(digest=half.digest())

    def _seal(self, m: Seal) -> Message:
        state = self.state
        if not 0 <= m.n_handles <= len(state.splits):
            raise bad_value("number of cuts", "切分数量")
        half = self._half_of(m.n_handles)
        state.half = json.dumps(half.to_json()).encode()
        state.ciphertexts = np.empty((0, 0), dtype=np.uint8)
        return Sealed(digest=half.digest(), features=half.numbers())
