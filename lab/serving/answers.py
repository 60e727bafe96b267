"""From a margin to what is told about an applicant: the one place, for one call and for a whole table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from federation.errors import PartyId
from models.losses import default_probability
from models.reasons import Reason, Words
from models.scale import band, points
from models.validation.calibrators import Calibrator


@dataclass(frozen=True, slots=True)
class Told:
    """One reason in words: what raises this applicant's risk.

    Attributes:
        code: party, then the bank's column or the number of a host's feature from 1; the party alone: all its features.
        contribution: log-odds of default that it adds against the average applicant, above 0.
    """

    code: str
    party: PartyId
    text: str
    text_zh: str
    contribution: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Attributes:
    default_probability: in [0, 1].
    points: higher is safer; a whole number unless a scorecard's tables are not rounded.
    band: A (safest) to F.
    reasons: greatest first; none unless asked for.
    """

    default_probability: float
    points: int | float
    band: str
    reasons: tuple[Told, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """No joint score: ``parties``, at least one, do not hold the applicant."""

    parties: tuple[PartyId, ...]


def answer_of(
    margin: float,
    card_points: float | None = None,
    reasons: tuple[Told, ...] = (),
    calibrator: Calibrator | None = None,
) -> Answer:
    """The answer for a margin (finite log-odds of default).

    Args:
        card_points: what a scorecard's tables add up to; None: points follow from the (calibrated) probability.
        calibrator: how the margin becomes a probability; None: by the logistic function.
    """
    if calibrator is None:
        probability = float(default_probability(margin))
    else:
        probability = calibrator.apply_one(margin)
        margin = math.log(probability) - math.log1p(-probability)  # a calibrator keeps clear of 0 and 1
    scored: int | float = points(margin) if card_points is None else card_points
    whole = int(scored) if float(scored).is_integer() else scored
    return Answer(probability, whole, band(probability), reasons)


def told(
    reasons: Sequence[Reason], words: Mapping[PartyId, Mapping[int, Words]], own: Mapping[str, Words]
) -> tuple[Told, ...]:
    """Reasons in words.

    Args:
        words: host → number → its operator's words, empty where nothing is said.
        own: the guest's column → its words; without them a column goes by its name.
    """
    return tuple(_told(r, words.get(r.player.party, {}), own) for r in reasons)


def _told(reason: Reason, words: Mapping[int, Words], own: Mapping[str, Words]) -> Told:
    player = reason.player
    if player.feature:
        code, unsaid, said = f"/{player.feature}", (player.feature,) * 2, own.get(player.feature, ("", ""))
    elif player.number < 0:
        code, said = "", ("", "")
        unsaid = f"{player.party}, all its features together", f"{player.party} 的全部特征"
    else:
        n, said = player.number + 1, words.get(player.number, ("", ""))
        code, unsaid = f"/{n}", (f"{player.party} feature {n}", f"{player.party} 特征 {n}")
    text, text_zh = (w or u for w, u in zip(said, unsaid, strict=True))
    return Told(player.party + code, player.party, text, text_zh, reason.contribution)
