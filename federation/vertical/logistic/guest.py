"""Joint scorecard, guest side: Newton's method over features of all parties.

Each round the guest encrypts residuals and weights of its rows, hosts add them up times their WOE, and the guest takes
a Newton step (models.scorecard.logistic, the same code as a local fit) from the exact gradient. Vertical logistic
regression with Paillier goes back to Hardy et al. 2017 (arXiv:1711.10677), who need a coordinator that holds the key
and a quadratic loss; here the guest holds the key, the loss is exact, and hosts show their part of the margins. What
each party learns: docs/protocols/logistic.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Final

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.errors import CipherError, PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.logistic.directions import KnownDirections
from federation.vertical.logistic.layout import (
    FACTOR_FRACTION,
    MARGIN_FRACTION,
    MOST_PART,
    VALUE_FRACTION,
    SlotLayout,
    check_woe,
    fixed,
)
from federation.vertical.logistic.masks import KEY_BYTES
from federation.vertical.logistic.messages import (
    MAX_MARGINS,
    Blocks,
    Collect,
    Derivatives,
    Introduce,
    Introduced,
    Margins,
    Open,
    Ready,
    Seal,
    Sealed,
    Stored,
    Weigh,
)
from federation.vertical.logistic.moments import HostBlocks, assembled
from models.losses import Floats
from models.scorecard.card import JointScorecard, ScorecardHalf, ScorecardRules, WoeFeature, margin_of, woe_of
from models.scorecard.logistic import LogisticRules, Moments, Newton, moments_of, run_newton, with_intercept
from models.scorecard.wald import Coefficient
from models.table import Table

#: Bytes of derivatives per message.
_BATCH_BYTES: Final = 8 * 1024 * 1024
#: More features than any honest host has; bounds what a hostile one makes the guest allocate.
_MOST_FEATURES: Final = 2_000


@dataclass(frozen=True, slots=True)
class ScorecardRows:
    """The guest's rows in run order: first those that are fitted.

    Attributes:
        table: all rows of the run.
        label: 0/1 per row, 1 = default; only the first ``n_fit`` are looked at.
        weight: per fitted row, at least 0; None: all alike.
    """

    table: Table
    label: Floats
    n_fit: int
    weight: Floats | None = None


@dataclass(frozen=True, slots=True)
class FittedScorecard:
    """Outcome.

    Attributes:
        intercept, own: the guest's coefficients with their statistics.
        of_hosts: host → coefficients of its unnamed features, in its own order. With two or more hosts no one knows the
            whole information, so that no coefficient has a standard error.
        margin: of all rows of the run.
        n_rounds: how often margins were shown.
    """

    model: JointScorecard
    intercept: Coefficient
    own: tuple[Coefficient, ...]
    of_hosts: Mapping[PartyId, tuple[Coefficient, ...]]
    margin: Floats
    n_rounds: int


@dataclass(slots=True)
class JointLogistic:
    """Fits one scorecard with ``hosts`` (none: an ordinary local run, the pooled twin of tests).

    Attributes:
        features: the guest's, with their final bins.
        rules: of the fit; ``max_iterations`` beyond ``max_margins`` are not used.
        max_margins: most partial margins asked of hosts.
    """

    model_id: str
    party: PartyId
    rows: ScorecardRows
    features: tuple[WoeFeature, ...]
    hosts: Sequence[PartyId]
    cipher: SecretCipher
    rules: LogisticRules = field(default_factory=LogisticRules)
    points: ScorecardRules = field(default_factory=ScorecardRules)
    max_margins: int = MAX_MARGINS
    woe: Floats = field(init=False)
    layout: SlotLayout = field(init=False)
    sizes: dict[PartyId, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.woe = woe_of(self.features, self.rows.table)
        check_woe(self.woe[: self.rows.n_fit], self._own_names)
        self.layout = SlotLayout.for_rows(self.rows.n_fit, self.cipher.public.plaintext_bits)
        if self.hosts:
            self.rules = replace(self.rules, max_iterations=min(self.rules.max_iterations, self.max_margins))

    def fit(self) -> Script[FittedScorecard]:
        """The whole fit.

        Raises:
            DataError, ModelError: as ``fit_logistic``; features of hosts go by host and number.
            RemoteProtocolError: naming a host whose answers do not fit.
        """
        alone = self._alone()
        yield from self._open()
        newton = self._begin(alone)
        known = KnownDirections(with_intercept(self.woe[: self.rows.n_fit]))
        while True:
            moments = yield from self._moments(newton)
            target = newton.target(moments)
            if target is None:
                break
            margin = yield from self._weigh(newton.n_steps + 1, target)
            known.add(target - newton.coefficients, margin - newton.margin)
            newton.move(target, margin)
            if len(self.hosts) > 1:
                known.settle(newton)
        self.cipher.prepare(0)
        return (yield from self._seal(newton, moments))

    # -- opening -------------------------------------------------------------------------------------------------

    @property
    def _own_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.features)

    @property
    def _n_own(self) -> int:
        """Coefficients of the guest, intercept included."""
        return 1 + len(self.features)

    def _of_host(self, host: PartyId) -> slice:
        """Where its coefficients stand among all."""
        before = list(self.hosts).index(host)
        first = self._n_own + sum(self.sizes[h] for h in self.hosts[:before])
        return slice(first, first + self.sizes[host])

    def _alone(self) -> Newton:
        """The fit without hosts: where the joint one starts, since it costs no round."""
        rows = self.rows
        fit = self.woe[: rows.n_fit]
        rules = LogisticRules(l1=self.rules.l1, l2=self.rules.l2, nonpositive=self.rules.nonpositive)
        return run_newton(fit, rows.label[: rows.n_fit], self._own_names, rules, rows.weight)

    def _open(self) -> Script[None]:
        public = self.cipher.public
        request = Open(
            model_id=self.model_id,
            cipher=public.name,
            key=public.key,
            n_rows=len(self.rows.table),
            n_fit=self.rows.n_fit,
            n_values=self._n_own,
            max_margins=self.rules.max_iterations,
        )
        replies = yield dict.fromkeys(self.hosts, request)
        terms = {host: expect(replies, host, Ready) for host in self.hosts}
        for host, reply in terms.items():
            if not 0 <= reply.n_features <= _MOST_FEATURES:
                raise RemoteProtocolError(host, "bad_value", "has too many features.", "特征过多。")
            if len(reply.mask_key) != KEY_BYTES:
                raise RemoteProtocolError(host, "bad_value", "sent no public key.", "发送的公钥无效。")
            self.sizes[host] = reply.n_features
        keys = tuple(reply.mask_key for reply in terms.values())
        replies = yield dict.fromkeys(self.hosts, Introduce(mask_keys=keys))
        for host in self.hosts:
            expect(replies, host, Introduced)

    def _begin(self, alone: Newton) -> Newton:
        names = [f"{host} #{k + 1}" for host in self.hosts for k in range(self.sizes[host])]
        start = np.concatenate([alone.coefficients, np.zeros(len(names))])
        return Newton(alone.label, alone.weight, self.rules, (*alone.names, *names), start, alone.margin)

    # -- one round -----------------------------------------------------------------------------------------------

    def _moments(self, newton: Newton) -> Script[Moments]:
        """Gradient and hessian where ``newton`` stands."""
        gradient, weight = newton.derivatives()
        design = with_intercept(self.woe[: self.rows.n_fit])
        own = moments_of(design, gradient, weight)
        unit = float(newton.weight.max())
        found = yield from self._blocks(newton.n_steps, gradient / unit, weight / unit, design[:, 1:], own, unit)
        return assembled(own, found)

    def _blocks(
        self, turn: int, gradient: Floats, weight: Floats, features: Floats, own: Moments, unit: float
    ) -> Script[list[HostBlocks]]:
        """Every host's part, from derivatives of magnitude at most 1, times ``unit``."""
        if not self.hosts:
            return []
        kinds = self._plaintexts(gradient, weight, features)
        batch = max(1, _BATCH_BYTES // (self.cipher.public.ciphertext_bytes * len(kinds)))
        for start in range(0, self.rows.n_fit, batch):
            piece = [number for kind in kinds for number in kind[start : start + batch]]
            n_stored = min(start + batch, self.rows.n_fit)
            request = Derivatives(round=turn, start=start, ciphertexts=self.cipher.encrypt(piece))
            replies = yield dict.fromkeys(self.hosts, request)
            for host in self.hosts:
                if expect(replies, host, Stored).n_rows != n_stored:
                    raise RemoteProtocolError(host, "bad_value", "lost derivatives.", "遗失了导数。")
        self.cipher.prepare(len(kinds) * self.rows.n_fit)
        totals = self.cipher.encrypt([-sum(kind) for kind in kinds])
        replies = yield dict.fromkeys(self.hosts, Collect(round=turn, ciphertexts=totals))
        limit = own.hessian[0, 0], unit * float(np.abs(gradient).sum())
        return [self._read(host, expect(replies, host, Blocks), unit, *limit) for host in self.hosts]

    def _plaintexts(self, gradient: Floats, weight: Floats, features: Floats) -> list[list[int]]:
        """Kind after kind, one number per row."""
        values = np.column_stack([gradient, weight[:, None] * features])
        return [*self.layout.join(fixed(values, VALUE_FRACTION)), fixed(weight, VALUE_FRACTION).tolist()]

    def _read(self, host: PartyId, reply: Blocks, unit: float, weight: float, gradient: float) -> HostBlocks:
        """A host's sums, if they can be true: the rows weigh ``weight`` together, their residuals ``gradient``."""
        n, n_own, n_pairs = self.sizes[host], self._n_own, self.sizes[host] * (self.sizes[host] + 1) // 2
        n_each = self.layout.n_ciphertexts(n_own)
        try:
            plaintexts = self.cipher.decrypt(reply.ciphertexts)
            each = [self.layout.split(plaintexts[k * n_each : (k + 1) * n_each], n_own) for k in range(n)]
            rest = self.layout.split(plaintexts[n * n_each :], n + n_pairs)
        except CipherError:
            raise RemoteProtocolError(host, "bad_value", "sent sums out of layout.", "发送的合计与布局不符。") from None
        scale = unit / (1 << VALUE_FRACTION + FACTOR_FRACTION)
        numbers = scale * np.array(each, dtype=np.float64).reshape(n, n_own)
        alone = scale * np.array(rest, dtype=np.float64)
        cross = np.column_stack([alone[:n], numbers[:, 1:]])
        found = HostBlocks.of(numbers[:, 0], cross, alone[n:])
        if not found.possible(weight, gradient):
            raise RemoteProtocolError(host, "bad_value", "sent sums no rows have.", "发送的合计不可能成立。")
        return found

    def _weigh(self, turn: int, target: Floats) -> Script[Floats]:
        """Margins of the fitted rows under coefficients ``target``."""
        requests = {h: Weigh(round=turn, coefficients=tuple(target[self._of_host(h)].tolist())) for h in self.hosts}
        replies = (yield requests) if requests else {}
        parts = [expect(replies, host, Margins).values for host in self.hosts]
        return self._own_margin(slice(0, self.rows.n_fit), target) + self._unmasked(parts, self.rows.n_fit)

    def _own_margin(self, rows: slice, coefficients: Floats) -> Floats:
        intercept, *own = coefficients[: self._n_own].tolist()
        return margin_of(self.woe[rows], own, intercept)

    def _unmasked(self, parts: Sequence[bytes], n_rows: int) -> Floats:
        """The sum of all hosts' parts, in which the masks cancel."""
        for host, part in zip(self.hosts, parts, strict=True):
            if len(part) != 8 * n_rows:
                raise RemoteProtocolError(host, "bad_value", "sent margins of other rows.", "对数几率的行数不符。")
        numbers = [np.frombuffer(part, dtype="<u8").astype(np.uint64) for part in parts]
        total = reduce(np.add, numbers, np.zeros(n_rows, dtype=np.uint64)).view(np.int64)
        margin: Floats = np.ldexp(total.astype(np.float64), -MARGIN_FRACTION)
        if not (np.abs(margin) <= MOST_PART * len(self.hosts)).all():
            raise RemoteProtocolError(
                ", ".join(self.hosts), "bad_value", "sent margins that cannot be.", "发送的对数几率不可能成立。"
            )
        return margin

    # -- sealing -------------------------------------------------------------------------------------------------

    def _seal(self, newton: Newton, moments: Moments) -> Script[FittedScorecard]:
        coefficients = newton.coefficients
        requests = {
            host: Seal(
                coefficients=tuple(coefficients[self._of_host(host)].tolist()),
                points_to_double=self.points.points_to_double,
                rounding=self.points.rounding,
            )
            for host in self.hosts
        }
        replies = (yield requests) if requests else {}
        sealed = {host: expect(replies, host, Sealed) for host in self.hosts}
        parts = self._unmasked([reply.values for reply in sealed.values()], len(self.rows.table))
        intercept, *own = coefficients[: self._n_own].tolist()
        means = tuple(self.woe[: self.rows.n_fit].mean(axis=0).tolist())
        half = ScorecardHalf(self.model_id, self.party, self.features, tuple(own), intercept, self.points, means)
        digests = {host: reply.digest for host, reply in sealed.items()}
        found = newton.inference(moments.hessian if len(self.hosts) < 2 else None)
        return FittedScorecard(
            model=JointScorecard(half, digests, {host: tuple(range(n)) for host, n in self.sizes.items()}),
            intercept=found[0],
            own=found[1 : self._n_own],
            of_hosts={host: found[self._of_host(host)] for host in self.hosts},
            margin=self._own_margin(slice(None), coefficients) + parts,
            n_rounds=newton.n_steps,
        )
