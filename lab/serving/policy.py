"""Where a bank's decision policy meets the scoring service: what it is asked, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from lab.serving.schemas import ScoreRequest
from lab.serving.scorer import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Attributes:
    decision: as the policy calls it, such as ``approve``, ``decline``, ``refer``.
    limit: in the currency of the product.
    price: yearly rate, such as 0.065.
    """

    decision: str
    policy_version: str
    limit: float | None = None
    price: float | None = None


#: What was asked, what came of it, and when → the decision; None: the policy has nothing to say. A policy may be
#: stricter with ``bank_only``; with ``refer`` there is no score. It must be quick: it runs in the event loop.
Decide = Callable[[ScoreRequest, Outcome, datetime], Decided | None]


def undecided(asked: ScoreRequest, outcome: Outcome, at: datetime) -> Decided | None:  # noqa: ARG001
    """Where there is no policy: whom nobody scored, a person decides."""
    return None
