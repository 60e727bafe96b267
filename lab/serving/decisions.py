"""Where a bank's decision policy meets the scoring service: what it is asked, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One scored application.

    Attributes:
        mode: ``joint``, ``bank_only`` or ``refer``: a policy may be stricter with the second; the third has no score.
        degraded: code of why it is not ``joint``.
        default_probability: in [0, 1]; None if nobody scored.
        features: the bank's column → what was sent, None if missing.
    """

    application_id: str
    purpose: str
    mode: str
    degraded: str | None
    default_probability: float | None
    points: int | float | None
    band: str | None
    features: Mapping[str, Any] = field(repr=False)


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


#: None: the policy has nothing to say.
Decide = Callable[[Case], Decided | None]


def undecided(case: Case) -> Decided | None:  # noqa: ARG001
    """Where there is no policy."""
    return None
