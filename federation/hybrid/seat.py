"""Learning in both directions, a host's half towards one bank: sums and sides of that bank's applicants.

Every number it gives the bank has a veil on, every side is of rows in a node that the coordinator cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgpack
import numpy as np
from numpy.typing import NDArray

from federation.alignment.host import TRANSITIONS as ALIGNMENT
from federation.alignment.host import AlignmentHost, AlignmentState
from federation.ciphers.integers import Integer
from federation.ciphers.interface import PublicCipher
from federation.ciphers.packing import PairPacking
from federation.ciphers.suite import public_cipher
from federation.errors import LocalProtocolError
from federation.horizontal.aggregation.interface import Numbers
from federation.horizontal.binning.messages import CellsWanted
from federation.horizontal.binning.messages import Open as OpenBinning
from federation.horizontal.binning.site import BinningSite, BinningState
from federation.horizontal.boosting.messages import FeatureFields
from federation.horizontal.boosting.rows import TableFeatures
from federation.hybrid.messages import (
    Agreed,
    CountsWanted,
    CutFields,
    Held,
    Routes,
    RoutesWanted,
    Sides,
    SidesWanted,
    SumsWanted,
    Terms,
    Veiled,
    VeiledSums,
)
from federation.hybrid.state import SeatState
from federation.hybrid.veils import HIDING_BITS, Use, Veils, hiding, turn_of
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.vertical.bits import pack_bits, unpack_bits
from federation.vertical.boosting.messages import Gradients, Stored
from federation.vertical.sums import Sum, bin_sums, sealed
from models.boosting.grouping import Grouping, group_features
from models.bundle import Half
from models.table import Table

#: (phase, request) → next phase, once rows are chosen; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("aligned", CountsWanted): "aligned",
    ("aligned", Terms): "agreed",
    ("agreed", Gradients): "growing",
    ("growing", Gradients): "growing",
    ("growing", SumsWanted): "growing",
    ("growing", SidesWanted): "growing",
    ("growing", RoutesWanted): "growing",
}
_ALIGNMENT: Final = tuple(dict.fromkeys(kind for _, kind in ALIGNMENT))
ALLOWED: Final[tuple[type[Message], ...]] = (*_ALIGNMENT, *dict.fromkeys(kind for _, kind in TRANSITIONS))


@dataclass(frozen=True, slots=True)
class _Work:
    """What follows from the state and the table, rebuilt whenever it is absent."""

    cipher: PublicCipher
    packing: PairPacking
    features: TableFeatures
    grouping: Grouping


@dataclass(slots=True)
class Seat:
    """Answers one bank over ``table``; what the coordinator wants of that bank's applicants comes by method.

    Attributes:
        half: this party's half of the model, once sealed.
    """

    table: Table
    policy: HostPolicy
    half: Half | None = None
    alignment: AlignmentHost = field(init=False)
    state: SeatState = field(default_factory=SeatState)
    _binning: BinningSite | None = None
    _rows: Table | None = None
    _work: _Work | None = None

    def __post_init__(self) -> None:
        self.alignment = AlignmentHost(self.table.ids, self.policy)

    def answer(self, request: Message) -> Message:
        """The bank's door."""
        if isinstance(request, _ALIGNMENT):
            return self.alignment.answer(request)
        if not self.taken:
            raise LocalProtocolError("out_of_turn", "Rows are chosen first.", "须先选定数据行。")
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case CountsWanted():
                reply = self._counts()
            case Terms():
                reply = self._agree(request)
            case Gradients():
                reply = self._store(request)
            case SumsWanted():
                reply = self._sums(request)
            case SidesWanted():
                reply = self._sides(request)
            case RoutesWanted():
                reply = self._routes(request)
        self.state.phase = phase
        return reply

    # -- what the coordinator wants ------------------------------------------------------------------------------------

    @property
    def taken(self) -> bool:
        """Whether the bank has chosen its rows."""
        return self.alignment.state.phase == "chosen"

    def begin(self, seed: bytes, veil_bits: int) -> None:
        """The run begins, if this party still may use the rows. Raises ``LocalProtocolError`` as ``HostPolicy``."""
        self.policy.check_algorithm("boosting")
        self.policy.check_subjects(self.rows.ids)
        self.state.seed, self.state.veil_bits = seed, veil_bits

    def open_binning(self, m: OpenBinning) -> None:
        self.binning.answer(m)

    def count(self, m: CellsWanted) -> None:
        """Make counts ready for the bank."""
        self.binning.answer(m)

    def contribute(self, values: Numbers, bound: int) -> Message:  # noqa: ARG002 - a share may have any magnitude
        """Counts of ``binning``, with their veil on."""
        s = self.state
        veil = self.veils.draw(s.seed, Use.COUNTS, self.binning.state.round, len(values))
        s.held, s.counted = self.veils.shared(values.astype(np.int64), veil), True
        return Held()

    def open(self, features: tuple[FeatureFields, ...]) -> None:
        """Bin rows. Raises ``DataError`` as ``Features.open``."""
        TableFeatures(self.rows).open(features)
        self.state.features = features

    def cut(self, tree: int, cuts: tuple[CutFields, ...]) -> None:
        """The bank may ask about the sides of these."""
        self.state.pending_tree, self.state.pending = tree, cuts

    # -- what the bank wants -------------------------------------------------------------------------------------------

    def _counts(self) -> Message:
        s = self.state
        if not s.counted:
            raise bad_value("counts that the coordinator did not ask for", "协调方未请求的计数")
        s.counted = False
        return Veiled(numbers=s.held.astype("<i8").tobytes())

    def _agree(self, m: Terms) -> Message:
        s = self.state
        if not s.features:
            raise bad_value("terms before bins", "尚未分箱")
        public_cipher(m.cipher, m.key, self.policy.cipher)
        s.cipher, s.key = m.cipher, m.key
        return Agreed(n_bins=self._ready.features.candidates.n_bins)

    def _store(self, m: Gradients) -> Message:
        s, cipher, n_rows = self.state, self._ready.cipher, len(self.rows)
        new_tree = m.start == 0
        if (m.tree <= s.tree) if new_tree else (m.tree != s.tree or m.start != s.n_stored):
            raise bad_value("gradients out of order", "梯度次序")
        size = cipher.ciphertext_bytes
        n_new = len(m.ciphertexts) // size
        if not n_new or m.start + n_new > n_rows or m.rows:
            raise bad_value("number of gradients", "梯度数量")
        cipher.load(m.ciphertexts)  # raises for anything outside the group
        if new_tree:
            s.tree, s.last_node = m.tree, -1
            s.ciphertexts = np.empty((n_rows, size), dtype=np.uint8)
            s.node_of = np.zeros(n_rows, dtype=np.int64)
        s.n_stored = m.start + n_new
        s.ciphertexts[m.start : s.n_stored] = np.frombuffer(m.ciphertexts, dtype=np.uint8).reshape(n_new, size)
        return Stored(n_rows=s.n_stored)

    def _sums(self, m: SumsWanted) -> Message:
        s, w = self.state, self._ready
        if m.tree != s.tree or s.n_stored != len(self.rows):
            raise bad_value("sums of a tree whose gradients are not here", "缺少该树的梯度")
        node_of = self._routed(m)
        per_node = self._per_bin(m.nodes, node_of)
        n, numbers = w.features.candidates.n_bins, list[Integer]()
        for node, sums in zip(m.nodes, per_node, strict=True):
            drawn = self.veils.draw(s.seed, Use.SUMS, turn_of(m.tree, node), 2 * n)
            veil = [low + (high << s.veil_bits) for low, high in zip(drawn.tolist(), hiding(2 * n), strict=True)]
            for of_bin, constant in zip(sums, w.packing.join(veil[:n], veil[n:]), strict=True):
                numbers.append(w.cipher.add(w.cipher.zero if of_bin is None else of_bin, w.cipher.constant(constant)))
        reply = VeiledSums(ciphertexts=sealed(w.cipher, w.packing, numbers))
        # Only now: a node has its veil once, and a request that was refused changes nothing.
        s.node_of, s.last_node = node_of, max(s.last_node, 0, *(right for _, _, right in m.cuts))
        return reply

    def _routed(self, m: SumsWanted) -> NDArray[np.int64]:
        """Rows moved to the children."""
        s = self.state
        if s.last_node < 0:
            if m.cuts or m.nodes != (0,):
                raise bad_value("nodes that do not exist", "节点不存在")
            return s.node_of
        children = [child for _, *both in m.cuts for child in both]
        if not children or children != sorted(set(children)) or children[0] <= s.last_node:
            raise bad_value("numbers of children", "子节点编号")
        if not m.nodes or list(m.nodes) != sorted(set(m.nodes)) or not set(m.nodes) <= set(children):
            raise bad_value("nodes", "节点")
        try:
            left = unpack_bits(m.left, len(self.rows))
        except ValueError:
            raise bad_value("length of a bit array", "位数组长度") from None
        node_of = s.node_of.copy()
        for node, left_child, right_child in m.cuts:
            here = s.node_of == node
            node_of[here] = np.where(left[here], left_child, right_child)
        return node_of

    def _per_bin(self, nodes: tuple[int, ...], node_of: NDArray[np.int64]) -> list[list[Sum]]:
        """Of each node sums per bin of all features, end to end; ``None`` where no row is."""
        w = self._ready
        rows = [np.flatnonzero(node_of == node) for node in nodes]
        held = [k for k, r in enumerate(rows) if len(r)]
        empty: list[Sum] = [None] * w.features.candidates.n_bins
        found = [list(empty) for _ in nodes]
        of_held = bin_sums(w.cipher, self.state.ciphertexts, [rows[k] for k in held], w.features.codes, w.grouping)
        for k, sums in zip(held, of_held, strict=True):
            found[k] = [of_bin for f in range(len(w.features.candidates.bins)) for of_bin in sums[f]]
        return found

    def _sides(self, m: SidesWanted) -> Message:
        s = self.state
        if not m.tree == s.tree == s.pending_tree or not s.pending:
            raise bad_value("sides of cuts that the coordinator did not tell", "协调方未告知的切分")
        here = np.stack([s.node_of == node for node, *_ in s.pending])
        left = self._ready.features.left(m.tree, s.pending) & here
        s.pending = ()
        return Sides(left=pack_bits(left))

    def _routes(self, m: RoutesWanted) -> Message:
        if self.half is None or self.half.digest() != m.digest:
            raise bad_value("routes through another half than was sealed", "并非本次封存的模型部分")
        rows = self.alignment.rows_at(m.positions)
        told = np.concatenate([self.state.tested, rows])
        both = np.concatenate([self.alignment.state.rows, told])
        if len(np.unique(both)) < len(both):
            raise bad_value("rows that were fitted on, or tested before", "行曾用于拟合或已检验")
        tested = self.table.take(rows)
        self.policy.check_subjects(tested.ids)
        reply = Routes(left=pack_bits(self.half.routes(tested)))
        self.state.tested = told
        return reply

    # -- what follows from the state -----------------------------------------------------------------------------------

    @property
    def rows(self) -> Table:
        """The rows the bank has chosen, in its order."""
        if self._rows is None:
            self._rows = self.table.take(self.alignment.state.rows)
        return self._rows

    @property
    def binning(self) -> BinningSite:
        """Counts over these rows."""
        if self._binning is None:
            self._binning = BinningSite(self.rows, self)
        return self._binning

    @property
    def veils(self) -> Veils:
        return Veils(self.state.veil_bits)

    @property
    def _ready(self) -> _Work:
        if self._work is None:
            s = self.state
            cipher = public_cipher(s.cipher, s.key, self.policy.cipher)
            features = TableFeatures(self.rows)
            features.open(s.features)
            grouping = group_features(features.codes, tuple(b.n_bins for b in features.candidates.bins))
            packing = PairPacking.for_rows(1, s.veil_bits + HIDING_BITS, cipher.plaintext_bits)
            self._work = _Work(cipher, packing, features, grouping)
        return self._work

    def dump(self) -> bytes:
        """All that is remembered, for this party's own disk."""
        parts = (self.alignment.state.dump(), self.binning.state.dump() if self.taken else b"", self.state.dump())
        return bytes(msgpack.packb(parts))

    def load(self, data: bytes) -> None:
        """What ``dump`` gave."""
        alignment, binning, own = msgpack.unpackb(data)
        self.alignment.state, self.state = AlignmentState.load(alignment), SeatState.load(own)
        self._rows = self._binning = self._work = None
        if binning:
            self.binning.state = BinningState.load(binning)
