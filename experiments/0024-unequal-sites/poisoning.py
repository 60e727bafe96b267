"""Sites that poison: held-out AUC of the common model with one sum over all sites, and with screened groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from clear import Change, Together, sites_of
from gains import PARAMETERS
from worlds import Rows, World, split

from federation.horizontal.aggregation.interface import Numbers
from models.binning import fit_bins
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.table import Table
from models.validation.metrics import auc

P = BoostingParameters(
    n_estimators=20,
    learning_rate=0.2,
    max_depth=3,
    min_child_samples=0,
    min_child_weight=PARAMETERS.min_child_weight,
    reg_lambda=PARAMETERS.reg_lambda,
    max_bin=16,
)
#: Name, sites that do it, what it does.
ATTACKS = (
    ("nobody", 0, ""),
    ("sums times 100", 1, "times"),
    ("sums times −100", 1, "turned"),
    ("gradients times −3", 1, "little"),
    ("labels turned round", 1, "labels"),
    ("labels turned round", 8, "labels"),
    ("all rows in one bin", 1, "bin"),
    ("all rows in one bin", 8, "bin"),
)
#: Of g and of h.
FACTORS = {"times": (100, 100), "turned": (-100, -100), "little": (-3, 1)}


def attacked(
    world: World, early: list[Rows], n_bad: int, kind: str, n_bins: int
) -> tuple[Table, Floats, Mapping[int, Change]]:
    """The largest sites poison: the worst case."""
    bad = np.argsort([-len(rows) for rows in early], kind="stable")[:n_bad].tolist()
    label, table = world.label.copy(), world.table
    rows = np.concatenate([early[k] for k in bad]) if bad else np.empty(0, dtype=int)
    if kind == "labels":
        label[rows] = 1 - label[rows]
    if kind == "bin":
        columns = {name: column.copy() for name, column in table.columns.items()}
        for column in columns.values():
            column[rows] = column[rows[0]]
        table = Table(table.ids, columns)
    factors = np.array(FACTORS.get(kind, (1, 1)))[:, None]

    def change(values: Numbers) -> Numbers:
        changed: Numbers = values.reshape(-1, 2, n_bins) * factors
        return changed.ravel()

    return table, label, dict.fromkeys(bad, change) if kind in FACTORS else {}


def lines(world: World, seed: int, attacks: tuple[tuple[str, int, str], ...] = ATTACKS) -> list[str]:
    early, _, late = split(world, seed)
    held = np.concatenate(late)
    bins = fit_bins(world.table.take(np.concatenate(early)), P.max_bin)
    rows = []
    for name, n_bad, kind in attacks:
        table, label, poison = attacked(world, early, n_bad, kind, sum(b.n_bins for b in bins))
        areas, out = [], ""
        for grouped in (False, True):
            run = Together(world.table, bins, P, sites_of(table, label, early, 3, poison), grouped=grouped)
            areas.append(auc(world.label[held], run.margin(run.fit(), held)))
            out = f"{run.n_out} of {run.n_groups}"
        cells = [world.name, name, f"{n_bad}", *(f"{a:.4f}" for a in areas), out]
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


TITLES = ["sites", "attack", "by how many of the largest sites", "AUC, one sum", "AUC, groups screened", "groups out"]
