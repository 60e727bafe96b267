"""Numbers that a site gives to one sum that is opened, not to two: over other sites, the second would tell theirs.

A sum that a site left in the middle is not opened, and is asked for again of those that remain. A site cannot see
whether others opened it; it can see whether it helped. More than half of the sites must help, and none of these gives
the same numbers again, so a coordinator that asks again after it has opened a sum is left with fewer than half.
"""

from __future__ import annotations

from dataclasses import dataclass

from federation.horizontal.aggregation.interface import Contributor, Numbers
from federation.messages import Message
from federation.state import SecretState


@dataclass(slots=True, repr=False)
class GivenState(SecretState):
    """Base of the state of what contributes.

    Attributes:
        n_opened: sums that this site had helped to open when it last contributed here.
    """

    n_opened: int = 0


def give(contributor: Contributor, state: GivenState, values: Numbers, bound: int) -> Message:
    """As ``Contributor.contribute``, and remember when."""
    n_opened = contributor.n_opened
    reply = contributor.contribute(values, bound)
    state.n_opened = n_opened
    return reply


def may_give_again(contributor: Contributor, state: GivenState) -> bool:
    """Whether this site has helped to open no sum since it last contributed here."""
    return contributor.n_opened == state.n_opened
