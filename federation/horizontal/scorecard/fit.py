"""Newton's method where only sums over sites are known, no two of which differ by fewer sites than a sum is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.scorecard import moments
from federation.horizontal.scorecard.messages import Step
from federation.script import Script
from models.losses import Floats
from models.scorecard.card import WoeFeature
from models.scorecard.logistic import (
    INTERCEPT,
    MOST_MARGIN,
    RANK,
    LogisticRules,
    Moments,
    next_target,
    not_converged,
)
from models.scorecard.quadratic import minimise

_MOST_HALVINGS: Final = 40
#: Longest step of a coefficient, in relation to its size, that a fit may end with where no more sums can be opened.
SHORT: Final = 1e-2


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fit stands, and what sites together say there.

    Attributes:
        places: of its features among all.
        coefficients: the intercept first.
        loss: summed, without penalties.
    """

    places: tuple[int, ...]
    coefficients: Floats
    loss: float
    moments: Moments
    contributors: tuple[PartyId, ...]

    def narrowed(self, kept: Sequence[int]) -> Point:
        """With those features only, counted among its own, whose coefficients stay; the others' must be 0."""
        columns = [0, *(1 + k for k in kept)]
        less = Moments(self.moments.gradient[columns], self.moments.hessian[np.ix_(columns, columns)])
        places = tuple(self.places[k] for k in kept)
        return Point(places, self.coefficients[columns], self.loss, less, self.contributors)


@dataclass(slots=True)
class SummedFit:
    """Attributes:
    features: all that a point may have.
    n_rows: of all sites that were counted: the scale of the tolerance.
    n_steps: Newton steps taken; ``n_sums``: sums asked for.
    progress: called with the number of steps after each.
    """

    aggregation: Aggregation
    features: tuple[WoeFeature, ...]
    rules: LogisticRules
    most_rows: int
    n_rows: int
    progress: Callable[[int], None] = lambda _: None
    n_steps: int = 0
    n_sums: int = field(default=0, init=False)

    def at(self, places: Sequence[int], coefficients: Floats) -> Script[Point]:
        """Ask all that take part. Raises ``LocalProtocolError`` as ``Aggregation``."""
        request = Step(places=tuple(places), coefficients=tuple(coefficients.tolist()))
        n, limit = moments.n_values(len(coefficients)), moments.bound(self.most_rows)
        total = yield from total_in_company(self.aggregation, request, n, limit)
        self.n_sums += 1
        loss, found = moments.summed(total.values, moments.scales_of([self.features[k] for k in places]))
        return Point(tuple(places), coefficients, loss, found, total.contributors)

    def converge(self, point: Point) -> Script[Point]:
        """Newton steps until there is none to take. A site that leaves is missed from the next point on.

        If too few are left for another sum, a short step is the last one, over the sites there were: Newton's method
        errs by the square of its step.

        Raises:
            DataError: ``collinear`` naming features, ``separated``.
            LocalProtocolError: ``too_few_sites``, before a step that is not short.
            ModelError: ``not_converged``.
        """
        while (target := self._target(point)) is not None:
            try:
                point = yield from self._move(point, target)
            except LocalProtocolError as error:
                if error.code != "too_few_sites" or not _is_short(point.coefficients, target):
                    raise
                return replace(point, coefficients=target)
            self.n_steps += 1
            self.progress(self.n_steps)
        return point

    def restart(self, point: Point, kept: Sequence[int]) -> Script[Point]:
        """Go on with fewer features, from the least point of the quadratic model of the loss without the others."""
        columns = [0, *(1 + k for k in kept)]
        held = np.setdiff1d(np.arange(len(point.coefficients)), columns)
        less = point.narrowed(kept)
        if not point.coefficients[held].any():
            return less
        # The gradient where those left out are 0 and the others are as they were.
        slope = point.moments.gradient - point.moments.hessian[:, held] @ point.coefficients[held]
        penalty = self.rules.penalty(len(columns))
        target = minimise(slope[columns], less.moments.hessian, less.coefficients, penalty)
        self.n_steps += 1
        return (yield from self.at(less.places, target))

    def _target(self, point: Point) -> Floats | None:
        largest = moments.scales_of([self.features[k] for k in point.places])
        # Below what rounding at the sites adds up to, a gradient is none.
        rounding = len(point.contributors) * np.ldexp(largest.max(), -moments.BITS)
        rules = replace(self.rules, tolerance=max(self.rules.tolerance, rounding / self.n_rows))
        return next_target(
            point.moments,
            point.coefficients,
            (INTERCEPT, *(self.features[k].name for k in point.places)),
            rules,
            n_rows=float(self.n_rows),
            n_steps=self.n_steps,
            rank=RANK,
            # No margin is known; one feature alone that goes so far has lost its way.
            far=bool((np.abs(point.coefficients) * largest).max() > MOST_MARGIN),
        )

    def _move(self, point: Point, target: Floats) -> Script[Point]:
        """To ``target``, or as far towards it as lowers the penalised loss; over fewer sites it cannot be compared."""
        before = self._objective(point)
        slack = 1e-12 * (1.0 + abs(before)) + len(point.contributors) * np.ldexp(moments.MOST_LOSS, -moments.BITS)
        for halvings in range(_MOST_HALVINGS):
            there = point.coefficients + 0.5**halvings * (target - point.coefficients)
            found = yield from self.at(point.places, there)
            if found.contributors != point.contributors or self._objective(found) <= before + slack:
                return found
        raise not_converged(self.n_steps)

    def _objective(self, point: Point) -> float:
        return point.loss + self.rules.penalty(len(point.coefficients)).value(point.coefficients)


def _is_short(before: Floats, after: Floats) -> bool:
    return bool(np.abs(after - before).max() <= SHORT * (1.0 + np.abs(before).max()))
