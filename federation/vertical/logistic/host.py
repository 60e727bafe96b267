"""Joint scorecard, host side: sums ciphertexts times its WOE, shows masked margins, keeps its coefficients and points.

It sees ciphertexts and the coefficients of its own features; its answers show no name, no bin, no number of one row but
its part of the margin.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from federation.ciphers import pairwise
from federation.ciphers.interface import PublicCipher
from federation.ciphers.suite import public_cipher
from federation.errors import LocalProtocolError
from federation.messages import Message
from federation.policy import HostPolicy
from federation.responder import Transitions, bad_value, next_phase
from federation.vertical.logistic import masks
from federation.vertical.logistic.layout import MARGIN_FRACTION, MOST_PART, SlotLayout, check_woe, fixed
from federation.vertical.logistic.messages import (
    MAX_MARGINS,
    Blocks,
    Collect,
    Derivatives,
    Introduce,
    Introduced,
    Keep,
    Kept,
    Margins,
    Open,
    Pair,
    Ready,
    Seal,
    Sealed,
    Stored,
    Veil,
    Weigh,
)
from federation.vertical.logistic.pairing import Pairing
from federation.vertical.logistic.products import exponent_of
from federation.vertical.logistic.state import LogisticState
from federation.vertical.logistic.sums import FactorColumns, blocks, pairs_of
from models.errors import LianmoError
from models.losses import Floats
from models.scorecard.card import ScorecardHalf, ScorecardRules, WoeFeature, margin_of, woe_of
from models.table import Table

#: More features than any honest guest has; bounds what a hostile one makes the host allocate.
_MOST_VALUES: Final = 10_000

#: (phase, request) → next phase; what is absent is refused. So no round is answered twice, and no margin shown twice.
TRANSITIONS: Final[Transitions] = {
    ("closed", Open): "open",
    ("open", Introduce): "awaiting",
    ("awaiting", Derivatives): "receiving",
    ("receiving", Derivatives): "receiving",
    ("receiving", Collect): "answered",
    ("answered", Veil): "veiled",
    ("veiled", Pair): "answered",
    ("answered", Keep): "answered",
    ("answered", Weigh): "awaiting",
    ("answered", Seal): "sealed",
}


@dataclass(frozen=True, slots=True)
class _Work:
    """What follows from the state and the table, rebuilt whenever it is absent."""

    cipher: PublicCipher
    layout: SlotLayout
    n_kinds: int
    woe: Floats
    single: FactorColumns
    pairs: FactorColumns


@dataclass(slots=True)
class LogisticHost:
    """Answers a joint scorecard over ``table``, whose rows stand in run order.

    Attributes:
        features: with their final bins.
        max_margins: most partial margins of the fitted rows that are shown.
    """

    party: str
    table: Table
    features: tuple[WoeFeature, ...]
    policy: HostPolicy
    max_margins: int = MAX_MARGINS
    state: LogisticState = field(default_factory=LogisticState)
    _work: _Work | None = None

    def answer(self, request: Message) -> Message:
        phase = next_phase(TRANSITIONS, self.state.phase, request)
        match request:
            case Open():
                reply = self._open(request)
            case Introduce():
                reply = self._meet(request)
            case Derivatives():
                reply = self._store(request)
            case Collect():
                reply = self._collect(request)
            case Veil():
                reply = self._pairing.veil(request)
            case Pair():
                reply = self._pairing.pair(request)
            case Keep():
                reply = self._keep(request)
            case Weigh():
                reply = self._weigh(request)
            case Seal():
                reply = self._seal(request)
        self.state.phase = phase
        return reply

    @property
    def half(self) -> ScorecardHalf | None:
        """The host's half of the scorecard, once sealed."""
        return ScorecardHalf.from_json(json.loads(self.state.half)) if self.state.half else None

    # -- opening -------------------------------------------------------------------------------------------------

    def _open(self, m: Open) -> Message:
        if m.n_rows != len(self.table) or not 0 < m.n_fit <= m.n_rows:
            raise bad_value("row counts", "行数")
        self.policy.check_rows(m.n_fit)
        if not 1 <= m.n_values <= _MOST_VALUES or m.max_margins < 0:
            raise bad_value("parameters", "参数")
        self._check_equations(m.n_fit, m.max_margins, m.n_values)
        if m.max_margins > self.max_margins:
            raise LocalProtocolError(
                "policy",
                f"The guest asks for up to {m.max_margins} partial margins; this party shows {self.max_margins}.",
                f"银行要求最多 {m.max_margins} 轮部分对数几率，本方至多提供 {self.max_margins} 轮。",
            )
        cipher = public_cipher(m.cipher, m.key, self.policy.cipher)
        state = LogisticState(
            model_id=m.model_id,
            cipher=m.cipher,
            key=m.key,
            n_fit=m.n_fit,
            n_values=m.n_values,
            max_margins=m.max_margins,
            mask_key=pairwise.generate_key(),
            places=tuple(range(len(self.features))),
        )
        work = self._build(state, cipher)
        self._check_floor(work.single)
        state.exponent = exponent_of(work.woe)
        self.state, self._work = state, work
        mask_key = pairwise.public_key(state.mask_key)
        return Ready(n_features=len(self.features), mask_key=mask_key, exponent=state.exponent)

    def _used(self, state: LogisticState) -> tuple[WoeFeature, ...]:
        """Features that the fit still uses."""
        return tuple(self.features[k] for k in state.places)

    def _build(self, state: LogisticState, cipher: PublicCipher) -> _Work:
        layout = SlotLayout.for_rows(state.n_fit, cipher.plaintext_bits)
        used = self._used(state)
        woe = woe_of(used, self.table)
        fit = woe[: state.n_fit]
        check_woe(fit, [f.name for f in used])
        single, pairs = FactorColumns.of(list(fit.T)), FactorColumns.of(pairs_of(fit))
        return _Work(cipher, layout, layout.n_ciphertexts(state.n_values) + 1, woe, single, pairs)

    def _check_equations(self, n_fit: int, max_margins: int, n_values: int, n_others: int = 0) -> None:
        """Each round shows so many sums over rows of each feature: with more of them than rows they could be solved."""
        n_sums = (max_margins + 1) * (n_values + 1 + len(self.features) + n_others)
        if n_fit <= n_sums:
            raise LocalProtocolError(
                "too_few_rows",
                f"The run would show up to {n_sums} sums per feature over {n_fit} rows. Use more rows, fewer rounds "
                "or fewer features.",
                f"本次运行将对 {n_fit} 行的每个特征透露至多 {n_sums} 个合计。请增加行数，或减少轮数与特征数。",
            )

    def _check_floor(self, single: FactorColumns) -> None:
        """A WOE that few rows have would make a sum over all rows one over those few."""
        floor = self.policy.min_rows_per_bin
        small = [
            f.name
            for f, counts in zip(self.features, single.counts(), strict=True)
            if ((counts > 0) & (counts < floor)).any()
        ]
        if small:
            raise LocalProtocolError(
                "policy",
                f"Fewer than {floor} fitted rows share a WOE in {', '.join(small)}. Merge their smallest bins.",
                f"以下特征中存在少于 {floor} 行共有的 WOE：{'、'.join(small)}。请合并其最小的分箱。",
            )

    def _ready(self) -> _Work:
        if self._work is None:
            self._work = self._build(self.state, public_cipher(self.state.cipher, self.state.key, self.policy.cipher))
        return self._work

    def _meet(self, m: Introduce) -> Message:
        mine = pairwise.public_key(self.state.mask_key)
        others = [key for key in m.mask_keys if key != mine]
        if len(others) != len(m.mask_keys) - 1 or len(set(others)) != len(others):
            raise bad_value("keys of hosts", "数据方公钥")
        if len(m.n_features) != len(m.mask_keys) or min(m.n_features) < 0:
            raise bad_value("numbers of features", "特征数量")
        n_others = sum(n for key, n in zip(m.mask_keys, m.n_features, strict=True) if key != mine)
        self._check_equations(self.state.n_fit, self.state.max_margins, self.state.n_values, n_others)
        try:
            self.state.shared = pairwise.agree(self.state.mask_key, others, masks.PURPOSE)
        except ValueError:
            raise bad_value("keys of hosts", "数据方公钥") from None
        self.state.adds = tuple(mine < other for other in others)
        return Introduced()

    # -- one round -----------------------------------------------------------------------------------------------

    def _store(self, m: Derivatives) -> Message:
        state, work = self.state, self._ready()
        first = state.phase == "awaiting"
        n_stored = 0 if first else state.n_stored
        size = work.cipher.ciphertext_bytes
        n_new, rest = divmod(len(m.ciphertexts), size * work.n_kinds)
        if m.round != state.round or m.start != n_stored:
            raise bad_value("derivatives out of order", "导数次序")
        if rest or not 0 < n_new <= state.n_fit - n_stored:
            raise bad_value("number of derivatives", "导数数量")
        work.cipher.load(m.ciphertexts)  # raises for anything outside the group
        if first:
            state.ciphertexts = np.empty((work.n_kinds, state.n_fit, size), dtype=np.uint8)
        batch = np.frombuffer(m.ciphertexts, dtype=np.uint8).reshape(work.n_kinds, n_new, size)
        state.n_stored = n_stored + n_new
        state.ciphertexts[:, m.start : state.n_stored] = batch
        return Stored(n_rows=state.n_stored)

    def _collect(self, m: Collect) -> Message:
        state, work = self.state, self._ready()
        if m.round != state.round or state.n_stored != state.n_fit:
            raise bad_value("a round that is not due", "轮次不符")
        if len(m.ciphertexts) != work.cipher.ciphertext_bytes * work.n_kinds:
            raise bad_value("number of sums", "合计数量")
        negated = work.cipher.load(m.ciphertexts)
        answer = blocks(work.cipher, work.layout, work.single, work.pairs, state.ciphertexts, negated)
        state.ciphertexts = np.empty((0, 0, 0), dtype=np.uint8)
        return Blocks(ciphertexts=answer)

    @property
    def _pairing(self) -> Pairing:
        return Pairing(self.state, self._ready().woe[: self.state.n_fit])

    def _keep(self, m: Keep) -> Message:
        state = self.state
        if list(m.places) != sorted(set(m.places)) or not set(m.places) <= set(range(len(state.places))):
            raise bad_value("features to keep", "保留的特征")
        if not 1 <= m.n_values <= state.n_values:
            raise bad_value("number of the guest's features", "银行的特征数量")
        state.n_values = m.n_values
        state.places = tuple(state.places[k] for k in m.places)
        self._work = None
        return Kept(n_features=len(state.places))

    def _weigh(self, m: Weigh) -> Message:
        state = self.state
        if m.round != state.round + 1 or m.round > state.max_margins:
            raise bad_value("a round that is not due", "轮次不符")
        values = self._masked(slice(0, state.n_fit), m.coefficients, m.round)
        state.round, state.n_paired = m.round, 0
        return Margins(values=values)

    def _masked(self, rows: slice, coefficients: tuple[float, ...], turn: int) -> bytes:
        """Margins of these rows as they travel."""
        woe = self._ready().woe[rows]
        if len(coefficients) != woe.shape[1]:
            raise bad_value("number of coefficients", "系数数量")
        margin = margin_of(woe, coefficients)
        if not (np.abs(margin) <= MOST_PART).all():
            raise bad_value("coefficients that are too large", "系数过大")
        total = fixed(margin, MARGIN_FRACTION).astype(np.uint64)
        total = total + masks.masks(self.state.shared, self.state.adds, turn, len(margin))
        return total.astype("<u8").tobytes()

    # -- sealing -------------------------------------------------------------------------------------------------

    def _seal(self, m: Seal) -> Message:
        state = self.state
        values = self._masked(slice(None), m.coefficients, state.round + 1)
        try:
            rules = ScorecardRules(points_to_double=m.points_to_double, rounding=m.rounding)
        except LianmoError:
            raise bad_value("points", "分数参数") from None
        means = tuple(self._ready().woe[: state.n_fit].mean(axis=0).tolist())
        half = ScorecardHalf(state.model_id, self.party, self._used(state), m.coefficients, None, rules, means)
        state.half = json.dumps(half.to_json()).encode()
        return Sealed(digest=half.digest(), values=values)
