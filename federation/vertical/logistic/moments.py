"""From every party's blocks to one gradient and one hessian."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

import numpy as np

from federation.vertical.logistic.layout import MOST_WOE
from models.losses import Floats
from models.scorecard.logistic import Moments

#: What fixed-point rounding may add to a sum, in relation to the largest it can be.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class HostBlocks:
    """A host's part.

    Attributes:
        gradient: shape ``(n_features,)``.
        cross: hessian with the guest's coefficients, intercept first, shape ``(n_features, n_guest)``.
        own: hessian among its features, shape ``(n_features, n_features)``.
    """

    gradient: Floats
    cross: Floats
    own: Floats

    @classmethod
    def of(cls, gradient: Floats, cross: Floats, upper: Floats) -> HostBlocks:
        """``upper``: the upper triangle of ``own``, row by row."""
        n = len(gradient)
        own = np.zeros((n, n))
        own[np.triu_indices(n)] = upper
        return cls(gradient, cross, own + np.triu(own, 1).T)

    def possible(self, weight: float, gradient: float) -> bool:
        """Whether rows of this total weight, and of residuals with this total magnitude, can have such sums."""
        most = weight * MOST_WOE * (1.0 + _ROUNDING) + _ROUNDING
        smallest = np.linalg.eigvalsh(self.own).min(initial=0.0)
        return bool(
            (np.abs(self.gradient) <= gradient * MOST_WOE * (1.0 + _ROUNDING) + _ROUNDING).all()
            and (np.abs(self.cross[:, 0]) <= most).all()
            and (np.abs(self.cross) <= most * MOST_WOE).all()
            and (np.abs(self.own) <= most * MOST_WOE).all()
            and smallest >= -_ROUNDING * (1.0 + np.abs(self.own).max(initial=0.0))
        )


def assembled(guest: Moments, hosts: Sequence[HostBlocks]) -> Moments:
    """The moments of all coefficients: the guest's, then host after host.

    The gradient is exact. Nobody knows the hessian between features of two hosts; it is taken as if these were
    independent given the guest's features, which completes the matrix with the largest determinant (Dempster 1972,
    "Covariance selection"; Grone et al. 1984), so that it stays positive definite and a step goes downhill.
    """
    n_guest = len(guest.gradient)
    sizes = [n_guest, *(len(h.gradient) for h in hosts)]
    bounds = np.cumsum([0, *sizes])
    at = [slice(a, b) for a, b in pairwise(bounds.tolist())]
    hessian = np.zeros((bounds[-1], bounds[-1]))
    hessian[at[0], at[0]] = guest.hessian
    for place, host in zip(at[1:], hosts, strict=True):
        hessian[place, at[0]] = host.cross
        hessian[at[0], place] = host.cross.T
        hessian[place, place] = host.own
    through_guest = np.linalg.pinv(guest.hessian, hermitian=True)
    for (a, left), (b, right) in combinations(zip(at[1:], hosts, strict=True), 2):
        between = left.cross @ through_guest @ right.cross.T
        hessian[a, b], hessian[b, a] = between, between.T
    return Moments(np.concatenate([guest.gradient, *(h.gradient for h in hosts)]), hessian)
