"""Scored rows whose truth is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lab.validation.sample import ScoredSample
from models.losses import Floats


def scored(
    n: int = 4000, seed: int = 0, *, valid: float = 0.25, stretch: float = 1.0, shift: float = 0.0, dated: bool = False
) -> tuple[ScoredSample, Floats]:
    """A sample and a weaker challenger; true log-odds are ``(margin - shift) / stretch`` where noise is left out."""
    rng = np.random.default_rng(seed)
    risk = 1.4 * rng.normal(size=n) - 1.4
    label = (rng.random(n) < 1 / (1 + np.exp(-risk))).astype(float)
    part: NDArray[np.str_] = np.where(np.arange(n) < 0.7 * n, "fit", "holdout")
    part[(np.arange(n) >= 0.7 * n * (1 - valid)) & (np.arange(n) < 0.7 * n)] = "valid"
    period = 2000.0 + np.arange(n) // (n // 10) if dated else None
    return ScoredSample(label, stretch * risk + shift, part, period), risk + 2.0 * rng.normal(size=n)
