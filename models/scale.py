"""From log-odds of default to points and bands.

Points: ``600`` at odds of 20 good to 1 bad, 20 points double the odds (Siddiqi 2006, ch. 6); higher is safer.
Bands: bounds on the default probability, a first master scale; calibration per grade is a matter of validation.
"""

from __future__ import annotations

import math
from typing import Final

POINTS_AT_BASE: Final = 600
BASE_ODDS: Final = 20.0
POINTS_TO_DOUBLE_ODDS: Final = 20.0
#: Band and the default probability it begins below.
BANDS: Final = (("A", 0.02), ("B", 0.05), ("C", 0.10), ("D", 0.20), ("E", 0.40), ("F", 1.01))


def points(margin: float) -> int:
    """Scorecard points of a margin (log-odds of default, higher riskier); rounded to the nearest integer."""
    return round(POINTS_AT_BASE + POINTS_TO_DOUBLE_ODDS / math.log(2.0) * (-margin - math.log(BASE_ODDS)))


def band(default_probability: float) -> str:
    """Band of a default probability in [0, 1], from A (safest) to F."""
    return next(name for name, below in BANDS if default_probability < below)
