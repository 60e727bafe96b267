"""Joint binning, host side: sums encrypted labels over its prebins, and keeps the bins and WOE it is told.

It sees ciphertexts and the WOE of its own bins; its answers show no name, no cut point, no level, and no number of rows
under its floor. Where the policy asks for noise, counts are shown with it, and it is added before anything is shown.
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
from federation.ciphers.suite import public_cipher
from federation.ciphers.workers import cut, spread
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.vertical.binning.cells import Cells
from federation.vertical.binning.kept import KeptBins, KeptFeature
from federation.vertical.binning.messages import FinalBins, Kept, Labels, Open, PrebinSums, Ready, Stored, SumsWanted
from federation.vertical.binning.noise import noisy_cells, per_cell
from federation.vertical.binning.packing import CountPacking
from federation.vertical.binning.prebinning import Prebinning
from federation.vertical.binning.state import BinningState
from federation.vertical.sums import bin_sums
from models.binning import Codes
from models.boosting.grouping import Grouping, group_features
from models.losses import Integers
from models.noise import bounded
from models.table import Table
from models.woe.prebins import Prebins
from models.woe.tables import WoeBins

#: (phase, request) → next phase; what is absent is refused.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "open",
    ("open", Labels): "filling",
    ("filling", Labels): "filling",
    ("filling", SumsWanted): "shown",
    ("shown", FinalBins): "sealed",
}

#: No rules of ``models.woe.fitting`` lead further from 0.
MAX_WOE: Final = 100.0
#: Features that are looked at together for joint cells: looking at pairs of hundreds costs more than it saves.
_BLOCK: Final = 12


@dataclass(frozen=True, slots=True)
class _Work:
    """What follows from the state and the table, rebuilt whenever it is absent.

    ``codes``: cell of each fitted row, shape ``(n_features, n_fit)``; ``noise``: per feature, of the goods and of the
    bads of each cell, shape ``(2, n_cells)``.
    """

    cipher: PublicCipher
    packing: CountPacking
    prebins: tuple[Prebins, ...]
    cells: tuple[Cells, ...]
    codes: Codes
    noise: tuple[Integers, ...]


@dataclass(slots=True)
class BinningHost:
    """Answers joint binning over ``table``, whose rows stand in run order."""

    party: str
    table: Table
    policy: HostPolicy
    prebinning: Prebinning = field(default_factory=Prebinning)
    state: BinningState = field(default_factory=BinningState)
    _work: _Work | None = None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case Labels():
                reply = self._store(request)
            case SumsWanted():
                reply = self._show()
            case FinalBins():
                reply = self._keep(request)
        self.state.phase = phase
        return reply

    @property
    def kept(self) -> KeptBins | None:
        """The host's own bins and WOE, once sealed."""
        return KeptBins.from_json(json.loads(self.state.kept)) if self.state.kept else None

    def dump(self) -> bytes:
        """Everything remembered, for this party's own disk only."""
        return self.state.dump()

    def load(self, data: bytes) -> None:
        """Take up what ``dump`` wrote, over the same table, policy and prebinning."""
        self.state, self._work = BinningState.load(data), None

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, m: Open) -> Message:
        if m.n_rows != len(self.table) or not 0 < m.n_fit <= m.n_rows:
            raise bad_value("row counts", "行数")
        self.policy.check_rows(m.n_fit)
        if m.n_fit < self.policy.min_rows_per_bin:
            raise LocalProtocolError(
                "too_few_rows",
                f"The run would use {m.n_fit} rows; a single bin needs {self.policy.min_rows_per_bin} here.",
                f"本次运行仅使用 {m.n_fit} 行，而本方单个分箱至少需要 {self.policy.min_rows_per_bin} 行。",
            )
        cipher = public_cipher(m.cipher, m.key, self.policy.cipher)
        proven = CountPacking.for_rows(m.n_fit, cipher.plaintext_bits)
        if CountPacking(m.slot, m.per_ciphertext, m.offset) != proven:
            raise bad_value("layout of packed sums", "打包布局")
        state = BinningState(
            cipher=m.cipher,
            key=m.key,
            slot=m.slot,
            per_ciphertext=m.per_ciphertext,
            offset=m.offset,
            n_fit=m.n_fit,
            ciphertexts=np.empty((m.n_fit, cipher.ciphertext_bytes), dtype=np.uint8),
            order=_drawn_order(len(self.table.columns)),
        )
        prebins = self._prebins(m.n_fit)
        self._add_noise(state, prebins)
        work = self._build(state, cipher, prebins)
        self.state, self._work = state, work
        return Ready(n_features=len(work.cells), n_prebins=sum(len(cells.counts) for cells in work.cells))

    def _prebins(self, n_fit: int) -> tuple[Prebins, ...]:
        return self.prebinning.fit(self.table.take(np.arange(n_fit)), self.policy.min_rows_per_bin)

    def _add_noise(self, state: BinningState, prebins: tuple[Prebins, ...]) -> None:
        """Once per run, paid for before it is drawn: how many cells there are tells of noisy counts already."""
        n_prebins = sum(p.n_codes for p in prebins)
        state.noise = np.zeros((2, n_prebins), dtype=np.int64)
        if asked := self.policy.noise:
            asked.spend(len(prebins))
            state.epsilon = asked.epsilon
            state.noise = bounded(asked.draw, asked.epsilon, 2 * n_prebins).reshape(2, n_prebins)

    def _build(self, state: BinningState, cipher: PublicCipher, prebins: tuple[Prebins, ...]) -> _Work:
        floor = self.policy.min_rows_per_bin
        fit_rows = self.table.take(np.arange(state.n_fit))
        codes = np.empty((len(prebins), state.n_fit), dtype=np.uint8)
        shown: list[Cells] = []
        noise: list[Integers] = []
        starts = np.cumsum([0, *(p.n_codes for p in prebins)])
        for f, p in enumerate(prebins):
            own = p.encode(fit_rows.columns[p.name])
            of_prebins = state.noise[:, starts[f] : starts[f + 1]]
            counts = np.bincount(own, minlength=p.n_codes).tolist()
            cells = noisy_cells(counts, p.n_regular, floor, state.epsilon, of_prebins)
            codes[f] = np.array(cells.cell_of, dtype=np.uint8)[own]
            shown.append(cells)
            noise.append(np.stack([per_cell(cells, of_class) for of_class in of_prebins]))
        packing = CountPacking(state.slot, state.per_ciphertext, state.offset)
        return _Work(cipher, packing, prebins, tuple(shown), codes, tuple(noise))

    def _ready(self) -> _Work:
        state = self.state
        if self._work is None:
            cipher = public_cipher(state.cipher, state.key, self.policy.cipher)
            self._work = self._build(state, cipher, self._prebins(state.n_fit))
        return self._work

    # -- labels and their sums -----------------------------------------------------------------------------------

    def _store(self, m: Labels) -> Message:
        state, cipher = self.state, self._ready().cipher
        size = cipher.ciphertext_bytes
        n_new = len(m.ciphertexts) // size
        if m.start != state.n_stored or n_new == 0 or m.start + n_new > state.n_fit:
            raise bad_value("labels out of order, or another number of them", "标签次序或数量")
        cipher.load(m.ciphertexts)  # raises for anything outside the group
        state.n_stored = m.start + n_new
        batch = np.frombuffer(m.ciphertexts, dtype=np.uint8).reshape(n_new, size)
        state.ciphertexts[m.start : state.n_stored] = batch
        return Stored(n_rows=state.n_stored)

    def _show(self) -> Message:
        state, work = self.state, self._ready()
        if state.n_stored != state.n_fit:
            raise bad_value("labels of some rows have not arrived", "部分行的标签尚未到达")
        grouping = group_in_blocks(work.codes, tuple(len(cells.counts) for cells in work.cells))
        [sums] = bin_sums(work.cipher, state.ciphertexts, [np.arange(state.n_fit)], work.codes, grouping)
        zero = work.cipher.zero
        order = state.order.tolist()
        shown, names, noise = ([of[f] for f in order] for of in (work.cells, work.prebins, work.noise))
        return PrebinSums(
            n_regular=tuple(cells.n_regular for cells in shown),
            ordered=tuple(not p.bins.category for p in names),
            trends=tuple(self.prebinning.trend(p.name) for p in names),
            counts=tuple(
                tuple((cells.counts + of_cells.sum(axis=0)).tolist())
                for cells, of_cells in zip(shown, noise, strict=True)
            ),
            ciphertexts=sealed(
                work.cipher,
                work.packing,
                [zero if c is None else c for f in order for c in sums[f]],
                [n for _, of_bads in noise for n in of_bads.tolist()],
            ),
            epsilon=state.epsilon,
        )

    # -- sealing -------------------------------------------------------------------------------------------------

    def _keep(self, m: FinalBins) -> Message:
        state, work = self.state, self._ready()
        if not len(m.bin_of) == len(m.woe) == len(work.cells):
            raise bad_value("number of features", "特征数量")
        if not _is_woe(m.unseen_woe):
            raise bad_value("a WOE that is none", "证据权重无效")
        features: dict[int, KeptFeature] = {}
        for place, f in enumerate(state.order.tolist()):
            cells, prebins = work.cells[f], work.prebins[f]
            counts = self._checked_counts(cells, m.bin_of[place], m.woe[place])
            bin_of = tuple(m.bin_of[place][cell] for cell in cells.cell_of)
            bins = WoeBins(prebins.name, bin_of, m.woe[place], m.unseen_woe)
            features[f] = KeptFeature(place + 1, prebins, bins, counts)
        kept = KeptBins(tuple(features[f] for f in sorted(features)))
        state.kept = json.dumps(kept.to_json()).encode()
        state.ciphertexts = np.empty((0, 0), dtype=np.uint8)
        return Kept(n_features=len(features))

    def _checked_counts(self, cells: Cells, bin_of: Sequence[int], woe: Sequence[float]) -> tuple[int, ...]:
        """Rows of each final bin of a feature. Raises ``LocalProtocolError`` for bins that do not fit."""
        if len(bin_of) != len(cells.counts) or sorted(set(bin_of)) != list(range(len(woe))):
            raise bad_value("bins that are not made of the prebins shown", "分箱与所示预分箱不符")
        if not all(map(_is_woe, woe)):
            raise bad_value("a WOE that is none", "证据权重无效")
        counts = [0] * len(woe)
        for cell, final in enumerate(bin_of):
            counts[final] += cells.counts[cell]
        # With noise a refusal would tell the exact count.
        floor = 0 if self.state.epsilon else self.policy.min_rows_per_bin
        if any(count < floor and (count or value) for count, value in zip(counts, woe, strict=True)):
            raise bad_value("a WOE of a bin under the floor", "低于行数下限的分箱不应有证据权重")
        return tuple(counts)


def _is_woe(value: float) -> bool:
    return abs(value) <= MAX_WOE  # NaN is not


def _drawn_order(n_features: int) -> NDArray[np.int64]:
    keys = np.frombuffer(os.urandom(8 * n_features), dtype=np.uint64)
    return np.argsort(keys).astype(np.int64)


def group_in_blocks(codes: Codes, n_bins: tuple[int, ...]) -> Grouping:
    """Joint cells among neighbouring features of the table only.

    Args:
        codes: shape ``(n_features, n_rows)``; ``codes[f] < n_bins[f]``.
    """
    n_features = len(n_bins)
    merges: list[tuple[int, int]] = []
    for start in range(0, n_features, _BLOCK):
        size = len(n_bins[start : start + _BLOCK])
        block = group_features(codes[start : start + size], n_bins[start : start + size])
        into = [*range(start, start + size), *range(n_features + len(merges), n_features + len(merges) + size)]
        merges += [(into[a], into[b]) for a, b in block.merges]
    return Grouping(n_bins, tuple(merges))


def sealed(cipher: PublicCipher, packing: CountPacking, sums: list[Integer], noise: list[int]) -> bytes:
    """Sums as they travel: noise added under encryption, many to a ciphertext, re-randomised."""
    pieces = cut(list(zip(sums, noise, strict=True)), packing.per_ciphertext, least=4 * packing.per_ciphertext)
    return b"".join(spread(_sealed_piece, [(cipher, packing, piece) for piece in pieces]))


def _sealed_piece(cipher: PublicCipher, packing: CountPacking, noisy: list[tuple[Integer, int]]) -> bytes:
    packed = packing.pack(cipher, [c for c, _ in noisy], [n for _, n in noisy])
    return cipher.dump(cipher.rerandomise(packed))
