"""From a margin to what is told about an applicant: the one place, for one call and for a whole table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federation.errors import PartyId
from models.losses import default_probability
from models.scale import band, points


@dataclass(frozen=True, slots=True)
class Answer:
    """Attributes:
    default_probability: in [0, 1].
    points: higher is safer.
    band: A (safest) to F.
    """

    default_probability: float
    points: int
    band: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """No joint score: ``parties``, at least one, do not hold the applicant."""

    parties: tuple[PartyId, ...]


def answer_of(margin: float) -> Answer:
    """The answer for a margin (finite log-odds of default)."""
    probability = float(default_probability(np.array([margin]))[0])
    return Answer(probability, points(margin), band(probability))
