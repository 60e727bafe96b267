"""Can anyone tell repaired subjects from those never penalised, by what a model is shown of them?

A probe (boosted trees) is trained to tell them apart on the very features, or scores, that a run would use; judged on
rows it was not trained on. No better than chance: the repair is complete (A77; threat E32). Better: something still
remembers, such as a column that the penalty changed for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.model_selection import StratifiedKFold

from models.baselines import fit_baseline
from models.boosting.parameters import BoostingParameters
from models.errors import DataError
from models.losses import Floats
from models.table import Table
from models.validation.metrics import Interval, auc_of_counts, bootstrap

_FOLDS: Final = 5
#: Fewest subjects on either side.
_LEAST: Final = 50
_PROBE: Final = BoostingParameters(n_estimators=60, learning_rate=0.1, max_depth=4, min_child_samples=20)


@dataclass(frozen=True, slots=True)
class Probed:
    """Attributes:
    auc: of the probe on rows it did not see, with its 95 % interval; 0.5 is chance.
    n_repaired, n_never: subjects on either side.
    tells: whether the interval lies above chance.
    """

    auc: Interval
    n_repaired: int
    n_never: int
    tells: bool


def probe_repaired(table: Table, repaired: Floats, seed: int) -> Probed:
    """Probe ``table``, whose rows are subjects that were repaired, or never penalised.

    Args:
        repaired: 1 or 0, shape ``(n_rows,)``.

    Raises:
        DataError: ``too_few_rows`` with fewer than 50 of either.
    """
    n_repaired = int(repaired.sum())
    if min(n_repaired, len(repaired) - n_repaired) < _LEAST:
        raise DataError(
            "too_few_rows",
            f"The probe needs at least {_LEAST} subjects that were repaired and as many never penalised; there are "
            f"{n_repaired} and {len(repaired) - n_repaired}.",
            f"检测至少需要 {_LEAST} 个已修复主体与同样数量的从未受罚主体；"
            f"现有 {n_repaired} 与 {len(repaired) - n_repaired} 个。",
        )
    guess = np.empty(len(repaired))
    for fit, judge in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(guess[:, None], repaired):
        guess[judge] = fit_baseline(table.take(fit), repaired[fit], _PROBE).margin(table.take(judge))
    found = bootstrap(repaired, guess, auc_of_counts, seed=seed)
    return Probed(found, n_repaired, len(repaired) - n_repaired, tells=found.low > 0.5)
