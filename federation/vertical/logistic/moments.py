"""From every party's blocks to one gradient and one hessian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from federation.errors import PartyId, RemoteProtocolError
from federation.vertical.logistic.between import Couple
from federation.vertical.logistic.layout import MOST_WOE
from models.losses import Floats
from models.scorecard.logistic import Moments

#: What fixed-point rounding may add to a sum, in relation to the largest it can be.
_ROUNDING: Final = 1e-6
#: The same of products between hosts, whose fixed point is coarser.
_BETWEEN: Final = 1e-3


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


def assembled(guest: Moments, hosts: Mapping[PartyId, HostBlocks], between: Mapping[Couple, Floats]) -> Moments:
    """The moments of all coefficients: the guest's, then host after host.

    Args:
        between: hessian between features of every two hosts.

    Raises:
        RemoteProtocolError: naming two hosts whose products are larger than those of each with itself allow.
    """
    n_guest = len(guest.gradient)
    bounds = np.cumsum([0, n_guest, *(len(h.gradient) for h in hosts.values())])
    parties = ["", *hosts]
    at = {party: slice(a, b) for party, (a, b) in zip(parties, pairwise(bounds.tolist()), strict=True)}
    hessian = np.zeros((bounds[-1], bounds[-1]))
    hessian[at[""], at[""]] = guest.hessian
    for party, host in hosts.items():
        hessian[at[party], at[""]], hessian[at[""], at[party]] = host.cross, host.cross.T
        hessian[at[party], at[party]] = host.own
    for (a, b), products in between.items():
        most = np.sqrt(np.outer(np.diag(hosts[a].own), np.diag(hosts[b].own)))
        if not (np.abs(products) <= most * (1.0 + _BETWEEN) + _BETWEEN * (1.0 + most.max(initial=0.0))).all():
            raise RemoteProtocolError(f"{a}, {b}", "bad_value", "sent products no rows have.", "发送的乘积不可能成立。")
        hessian[at[a], at[b]], hessian[at[b], at[a]] = products, products.T
    return Moments(np.concatenate([guest.gradient, *(h.gradient for h in hosts.values())]), hessian)
