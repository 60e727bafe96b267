"""Held-out AUC against epsilon: noise that sites make together on all sums of a run, given the bins."""

from __future__ import annotations

import numpy as np
from clear import Together, sites_of
from worlds import World, split

from federation.horizontal.aggregation.rules import SiteRules
from models.binning import fit_bins
from models.boosting.parameters import BoostingParameters
from models.shared_noise import multiplier_for
from models.validation.metrics import auc

EPSILONS = (None, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0)
DELTA = 1e-5
PARAMETERS = BoostingParameters(
    n_estimators=10, learning_rate=0.3, max_depth=2, min_child_samples=0, reg_lambda=5.0, max_bin=8
)


def area(world: World, epsilon: float | None, seed: int) -> tuple[float, float]:
    """AUC, and the noise multiplier."""
    early, _, late = split(world, seed)
    n_sums = 1 + PARAMETERS.n_estimators * PARAMETERS.max_depth
    multiplier = multiplier_for(epsilon, n_sums, DELTA) if epsilon else 0.0
    fewest = SiteRules().threshold(len(early))
    # A leaf should weigh a few times what noise does: of both sides of a cut, several bins' worth.
    scale = multiplier * len(world.table.columns) ** 0.5 * (len(early) / (fewest - 1)) ** 0.5
    p = BoostingParameters(
        n_estimators=PARAMETERS.n_estimators,
        learning_rate=PARAMETERS.learning_rate,
        max_depth=PARAMETERS.max_depth,
        min_child_samples=0,
        reg_lambda=PARAMETERS.reg_lambda + scale,
        min_child_weight=5.0 + 2 * scale,
        max_bin=PARAMETERS.max_bin,
    )
    run = Together(world.table, fit_bins(world.table, p.max_bin), p, {}, noise=multiplier)
    run.sites = sites_of(world.table, world.label, early, fewest)
    held = np.concatenate(late)
    return auc(world.label[held], run.margin(run.fit(), held)), multiplier


def lines(worlds: list[World], n_seeds: int) -> tuple[list[str], dict[str, list[list[float]]]]:
    titles = ["sites", "rows to fit", "ε of one applicant and run", "noise multiplier", "AUC, held out", "least, most"]
    rows, found = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)], {}
    for world in worlds:
        found[world.name] = []
        for epsilon in EPSILONS:
            areas = [area(world, epsilon, seed) for seed in range(n_seeds)]
            values = [a for a, _ in areas]
            found[world.name].append(values)
            n_fit = sum(map(len, split(world, 0)[0]))
            told = f"{epsilon:g}" if epsilon else "none"
            cells = [world.name, f"{n_fit:,}", told, f"{areas[0][1]:.1f}", f"{np.mean(values):.4f}"]
            rows.append("| " + " | ".join([*cells, f"{min(values):.4f}, {max(values):.4f}"]) + " |")
    return rows, found
