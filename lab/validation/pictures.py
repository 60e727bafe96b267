"""All figures of a model document, each with its reading, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from lab.validation import readings
from lab.validation.cohort_figures import anything_told, cohorts_reading, draw_cohorts
from lab.validation.drawing import Picture, svg_of
from lab.validation.pack_figures import (
    draw_grades,
    draw_groups,
    draw_reliability,
    draw_swap,
    draw_value,
    draw_vintages,
)
from lab.validation.score_figures import draw_deciles, draw_separation, draw_spread
from models.scorecard.card import ScorecardRules

Json = Mapping[str, Any]


def pictures_of(
    pack: Json, scores: pd.DataFrame, value: Json | None = None, scale: ScorecardRules | None = None
) -> dict[str, Picture]:
    """Figure by name; those the pack has nothing for are left out.

    Args:
        pack: JSON of a ``ValidationPack``.
        scores: as ``score_figures.draw_separation``.
        value: JSON of ``party_value.PartyValues``.
        scale: of points; None: that of ``models.scale``.
    """
    made = {
        "separation": _picture("separation", draw_separation(scores), readings.separation_reading(pack)),
        "deciles": _picture("deciles", draw_deciles(scores, pack["deciles"]), readings.deciles_reading(pack)),
        "reliability": _picture(
            "reliability", draw_reliability(pack["calibration"]), readings.reliability_reading(pack)
        ),
        "spread": _picture("spread", draw_spread(scores, scale), readings.spread_reading(pack)),
    }
    some: dict[str, tuple[Any, Callable[[], Any], Callable[[Json], readings.Reading]]] = {
        "grades": (pack["grades"], lambda: draw_grades(pack["grades"]), readings.grades_reading),
        "swap": (pack["comparison"], lambda: draw_swap(pack["comparison"]["swap_set"]), readings.swap_reading),
        "vintages": (
            any(v["default_rate"] for v in pack["vintages"]),
            lambda: draw_vintages(pack["vintages"]),
            readings.vintages_reading,
        ),
        "groups": (
            any(g["approval_rate"] for g in pack["groups"]),
            lambda: draw_groups(pack["groups"]),
            readings.groups_reading,
        ),
    }
    cohorts = pack.get("cohorts")
    if cohorts and anything_told(cohorts):
        made["cohorts"] = _picture("cohorts", draw_cohorts(cohorts), cohorts_reading(cohorts))
    for name, (there, draw, read) in some.items():
        if there:
            made[name] = _picture(name, draw(), read(pack))
    if value:
        made["value"] = _picture("value", draw_value(value), readings.value_reading(value))
    return made


def _picture(name: str, figure: Any, reading: readings.Reading) -> Picture:
    return Picture(name, svg_of(figure), *reading)
