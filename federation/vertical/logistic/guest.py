"""Joint scorecard, guest side: Newton's method over features of all parties.

Each round (``rounds``) tells the guest gradient and hessian; it takes a Newton step (models.scorecard.logistic, the
same code as a local fit) and asks hosts for their part of the margins. Vertical logistic regression with Paillier goes
back to Hardy et al. 2017 (arXiv:1711.10677), who need a coordinator that holds the key and a quadratic loss; here the
guest holds the key, the loss is exact, and hosts show their part of the margins. What each party learns:
docs/protocols/logistic.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from federation.ciphers.interface import SecretCipher
from federation.errors import PartyId, RemoteProtocolError
from federation.expect import expect
from federation.script import Script
from federation.vertical.logistic.layout import check_woe
from federation.vertical.logistic.messages import MAX_MARGINS, Keep, Kept, Seal, Sealed
from federation.vertical.logistic.rounds import Rounds
from models.losses import Floats
from models.scorecard.card import JointScorecard, ScorecardHalf, ScorecardRules, WoeFeature, margin_of, woe_of
from models.scorecard.logistic import RANK, LogisticRules, Moments, Newton, begin
from models.scorecard.quadratic import minimise
from models.scorecard.selection import correlations
from models.scorecard.wald import Coefficient, covariance
from models.table import Table

#: ``Newton.rank`` where products between hosts are in coarser fixed point.
_COARSE_RANK: Final = 1e-4


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
        of_hosts: host → coefficients of its unnamed features, in its own order.
        margin: of all rows of the run.
        n_rounds: how often margins were shown.
        correlation: of WOE over the fitted rows, between all features that the model uses: the guest's, then host after
            host.
    """

    model: JointScorecard
    intercept: Coefficient
    own: tuple[Coefficient, ...]
    of_hosts: Mapping[PartyId, tuple[Coefficient, ...]]
    margin: Floats
    n_rounds: int
    correlation: Floats


def _all(values: Floats) -> Sequence[int]:
    return range(len(values))


@dataclass(slots=True)
class JointLogistic:
    """Fits one scorecard with ``hosts`` (none: an ordinary local run, the pooled twin of tests).

    Attributes:
        features: the guest's, with their final bins.
        rules: of the fit; ``max_iterations`` beyond ``max_margins`` are not used.
        max_margins: most partial margins asked of hosts.
        screen: correlations between all features, the guest's first, then host after host → those that stay.
        eliminate: coefficients of these and their covariance, where a fit ended → those that stay; asked again until
            all do.
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
    screen: Callable[[Floats], Sequence[int]] = _all
    eliminate: Callable[[Floats, Floats], Sequence[int]] = lambda values, _: _all(values)
    woe: Floats = field(init=False)
    rounds: Rounds = field(init=False)

    def __post_init__(self) -> None:
        self.woe = woe_of(self.features, self.rows.table)
        check_woe(self.woe[: self.rows.n_fit], [f.name for f in self.features])
        if self.hosts:
            self.rules = replace(self.rules, max_iterations=min(self.rules.max_iterations, self.max_margins))
        self.rounds = Rounds(self.model_id, self.hosts, self.cipher, len(self.rows.table), self.rows.n_fit)

    def fit(self) -> Script[FittedScorecard]:
        """The whole fit.

        Raises:
            DataError, ModelError: as ``fit_logistic``; features of hosts go by host and number.
            RemoteProtocolError: naming a host whose answers do not fit.
        """
        begin(self._fit_woe, self._fit_label, self._own_names, self.rules, self.rows.weight)  # before anything is sent
        yield from self.rounds.open(self._n_own, self.rules.max_iterations)
        names = [f"{host} #{k + 1}" for host in self.hosts for k in range(self.rounds.sizes[host])]
        newton = begin(self._fit_woe, self._fit_label, [*self._own_names, *names], self.rules, self.rows.weight)
        newton.rank = _COARSE_RANK if len(self.hosts) > 1 else RANK
        moments = yield from self.rounds.moments(newton, self._fit_woe)
        # All residual weights are in proportion to the rows' own now, so these are sums of products of WOE.
        correlation = correlations(moments.hessian)
        kept = list(self.screen(correlation))
        moments = yield from self._narrow(newton, moments, kept)
        correlation = correlation[np.ix_(kept, kept)]
        while True:
            moments = yield from self._converge(newton, moments)
            kept = list(self.eliminate(newton.coefficients[1:], covariance(moments.hessian, newton.penalty)))
            if len(kept) == len(correlation):
                self.cipher.prepare(0)
                return (yield from self._seal(newton, moments, correlation))
            moments = yield from self._restart(newton, moments, kept)
            correlation = correlation[np.ix_(kept, kept)]

    @property
    def _fit_woe(self) -> Floats:
        return self.woe[: self.rows.n_fit]

    @property
    def _fit_label(self) -> Floats:
        return self.rows.label[: self.rows.n_fit]

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
        first = self._n_own + sum(self.rounds.sizes[h] for h in self.hosts[:before])
        return slice(first, first + self.rounds.sizes[host])

    def _told(self, coefficients: Floats) -> dict[PartyId, tuple[float, ...]]:
        """Every host's own part of all coefficients."""
        return {host: tuple(coefficients[self._of_host(host)].tolist()) for host in self.hosts}

    # -- steps ---------------------------------------------------------------------------------------------------

    def _converge(self, newton: Newton, moments: Moments) -> Script[Moments]:
        """Newton steps until there is none to take; returns the moments there."""
        while (target := newton.target(moments)) is not None:
            margin = yield from self._margin(newton, target)
            newton.move(target, margin)
            moments = yield from self.rounds.moments(newton, self._fit_woe)
        return moments

    def _margin(self, newton: Newton, target: Floats) -> Script[Floats]:
        """Margins of the fitted rows under coefficients ``target``."""
        of_hosts = yield from self.rounds.weigh(newton.n_steps + 1, self._told(target))
        return self._own_margin(slice(0, self.rows.n_fit), target) + of_hosts

    def _narrow(self, newton: Newton, moments: Moments, kept: Sequence[int]) -> Script[Moments]:
        """Leave out all features but these, counted over all parties, whose coefficients are what they are."""
        if len(kept) == len(newton.names) - 1:
            return moments
        columns = [0, *(k + 1 for k in kept)]
        of_hosts = {h: [k - 1 for k in range(*self._of_host(h).indices(len(newton.names)))] for h in self.hosts}
        places = {h: tuple(i for i, k in enumerate(own) if k in set(kept)) for h, own in of_hosts.items()}
        own = [k for k in kept if k < len(self.features)]
        self.features = tuple(self.features[k] for k in own)
        self.woe = self.woe[:, own]
        request = {h: Keep(places=places[h], n_values=self._n_own) for h in self.hosts}
        replies = (yield request) if request else {}
        for host in self.hosts:
            if expect(replies, host, Kept).n_features != len(places[host]):
                raise RemoteProtocolError(host, "bad_value", "kept other features.", "保留的特征不符。")
            self.rounds.sizes[host] = len(places[host])
        newton.narrow(columns)
        return Moments(moments.gradient[columns], moments.hessian[np.ix_(columns, columns)])

    def _own_margin(self, rows: slice, coefficients: Floats) -> Floats:
        intercept, *own = coefficients[: self._n_own].tolist()
        return margin_of(self.woe[rows], own, intercept)

    def _restart(self, newton: Newton, moments: Moments, kept: Sequence[int]) -> Script[Moments]:
        """Go on with fewer features, from the least point of the quadratic model of the loss without the others."""
        at, before = newton.coefficients, moments
        columns = [0, *(k + 1 for k in kept)]
        held = np.setdiff1d(np.arange(len(at)), columns)
        # The gradient where those left out are 0 and the others are as they were.
        slope = before.gradient - before.hessian[:, held] @ at[held]
        narrowed = yield from self._narrow(newton, before, kept)
        target = minimise(slope[columns], narrowed.hessian, at[columns], newton.penalty)
        margin = yield from self._margin(newton, target)
        newton.jump(target, margin)
        return (yield from self.rounds.moments(newton, self._fit_woe))

    # -- sealing -------------------------------------------------------------------------------------------------

    def _seal(self, newton: Newton, moments: Moments, correlation: Floats) -> Script[FittedScorecard]:
        coefficients, told = newton.coefficients, self._told(newton.coefficients)
        requests = {
            host: Seal(
                coefficients=told[host],
                points_to_double=self.points.points_to_double,
                rounding=self.points.rounding,
            )
            for host in self.hosts
        }
        replies = (yield requests) if requests else {}
        sealed = {host: expect(replies, host, Sealed) for host in self.hosts}
        parts = self.rounds.unmasked([reply.values for reply in sealed.values()], len(self.rows.table))
        intercept, *own = coefficients[: self._n_own].tolist()
        means = tuple(self._fit_woe.mean(axis=0).tolist())
        half = ScorecardHalf(self.model_id, self.party, self.features, tuple(own), intercept, self.points, means)
        digests = {host: reply.digest for host, reply in sealed.items()}
        found = newton.inference(moments.hessian)
        return FittedScorecard(
            model=JointScorecard(half, digests, {host: tuple(range(n)) for host, n in self.rounds.sizes.items()}),
            intercept=found[0],
            own=found[1 : self._n_own],
            of_hosts={host: found[self._of_host(host)] for host in self.hosts},
            margin=self._own_margin(slice(None), coefficients) + parts,
            n_rounds=newton.n_steps,
            correlation=correlation,
        )
