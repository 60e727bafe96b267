"""How well the bank, or a caller who sees scores alone, could guess a host's features (threat E8): figures, a verdict.

After Luo et al. (arXiv 2010.10152): who knows its own features and the predictions solves for the other's. Here the
attacker knows the value of one feature for some applicants and learns the rest from what it sees; beside it stands what
its own features alone would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from federation.errors import PartyId
from lab.leakage.guesses import from_labels
from lab.leakage.label_inference import N_DRAWS, drawn, over_draws
from models.losses import Floats
from models.table import Table, is_category
from models.validation.metrics import Interval

N_KNOWN = 50


@dataclass(frozen=True, slots=True)
class FeatureInference:
    """Of one host's features, the one that gains most. AUC of guessing on which side of its median (or at its most
    frequent level) an applicant lies; 0.5 is chance.

    Attributes:
        view: ``"scores"``: a caller's; ``"parts"``: the bank's, which sees the host's answers.
        guess, own_features, gain: with the view, without, and the difference, paired.
        beyond: whether the gain lies above 0.
    """

    party: PartyId
    view: str
    n_features: int
    guess: Interval
    own_features: Interval
    gain: Interval
    beyond: bool


def feature_inference(
    party: PartyId, view: str, targets: Mapping[str, Floats], seen: Floats, own: Floats, seed: int, n_resamples: int
) -> FeatureInference | None:
    """Attack every target and keep the one that gains most; None: no feature has 100 applicants on either side.

    Args:
        targets: feature → 1 or 0 per applicant.
        seen, own: columns of unit variance that the attacker sees, and its own features.
    """
    best: FeatureInference | None = None
    for target in targets.values():
        if min(target.sum(), len(target) - target.sum()) < 2 * N_KNOWN:
            continue
        rng = np.random.default_rng(seed)
        draws = [drawn(target, N_KNOWN, rng) for _ in range(N_DRAWS)]
        informed = np.array([from_labels(np.hstack([seen, own]), k, target[k]) for k in draws])
        honest = np.array([from_labels(own, k, target[k]) for k in draws])
        guess, base, gain = over_draws(target, informed, honest, draws, n_resamples, rng)
        if best is None or gain.value > best.gain.value:
            best = FeatureInference(party, view, len(targets), guess, base, gain, gain.low > 0)
    return best


def targets_of(table: Table, names: list[str]) -> dict[str, Floats]:
    """Feature → whether each row lies above the median, or has the most frequent level."""
    found = {}
    for name in names:
        column = table.columns[name]
        if is_category(column):
            levels = np.array([str(v) for v in column])
            values, counts = np.unique(levels, return_counts=True)
            found[name] = (levels == values[counts.argmax()]).astype(np.float64)
        else:
            numbers = np.nan_to_num(np.asarray(column, dtype=np.float64), nan=np.nanmedian(column))
            found[name] = (numbers > np.median(numbers)).astype(np.float64)
    return found


@dataclass(frozen=True, slots=True)
class OrderRecovery:
    """How well the order of a host's unnamed values can be told from what the bank holds.

    Attributes:
        n_features: with at least two cuts, or three bins.
        correlation: mean absolute rank correlation with the true order, over these features.
        chance: 95 % of random orders give less.
    """

    party: PartyId
    n_features: int
    correlation: float
    chance: float
    tells: bool


def order_recovery(party: PartyId, pairs: list[tuple[Floats, Floats]], seed: int) -> OrderRecovery | None:
    """``pairs``: per feature the true values and what the bank orders them by; None: no feature to look at."""
    known = [(rankdata(a), rankdata(b)) for a, b in pairs if a.std() > 0 and b.std() > 0]
    if not known:
        return None
    rng = np.random.default_rng(seed)

    def mean(shuffled: bool) -> float:
        found = [abs(np.corrcoef(rng.permutation(a) if shuffled else a, b)[0, 1]) for a, b in known]
        return float(np.mean(found))

    chance = float(np.quantile([mean(True) for _ in range(200)], 0.95))
    value = mean(False)
    return OrderRecovery(party, len(known), value, chance, value > chance)
