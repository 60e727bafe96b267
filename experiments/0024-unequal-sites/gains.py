"""What each site gains from the common model: as it is, calibrated, and by the rule of ``lab.validation.joining``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from clear import Together, sites_of
from worlds import World, split

from lab.validation.joining import Line, SiteChoice, choose, log_losses, mean_interval
from models.baselines import fit_baseline
from models.binning import fit_bins
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.validation.metrics import Interval

PARAMETERS = BoostingParameters(
    n_estimators=60,
    learning_rate=0.1,
    max_depth=3,
    min_child_samples=0,
    min_child_weight=5.0,
    reg_lambda=5.0,
    max_bin=32,
)
WAYS = ("common", "calibrated", "rule")
TITLES = [
    "sites",
    "rows to fit: least, median, most",
    "defaults to choose by: median; sites with too few",
    "way",
    "gain in log-loss over own, all test rows, ×1000",
    "mean of sites, ×1000",
    "sites that gain / that lose",
    "for sure",
    "worst site, ×1000",
]


@dataclass
class SiteGain:
    """Test rows of one site: log-loss of its own way less that of each other; empty where there are none."""

    n_fit: int
    n_defaults: int
    choice: SiteChoice
    losses: dict[str, Floats]

    def gain(self, way: str) -> Interval | None:
        less = self.losses["own"] - self.losses[way]
        return mean_interval(less) if len(less) else None


def gains(world: World, n_trees: int, seed: int) -> list[SiteGain]:
    early, valid, late = split(world, seed)
    p = replace(PARAMETERS, n_estimators=n_trees)
    run = Together(world.table, fit_bins(world.table.take(np.concatenate(early)), p.max_bin), p, {})
    run.sites = sites_of(world.table, world.label, early, 3)
    grown = run.fit()
    found = []
    for fit, known, held in zip(early, valid, late, strict=True):
        own = None
        if min(world.label[fit].sum(), (1 - world.label[fit]).sum()) >= 5:
            own = fit_baseline(world.table.take(fit), world.label[fit], p)
        theirs = {key: run.margin(grown, rows) for key, rows in (("known", known), ("held", held))}
        mine = {
            key: own.margin(world.table.take(rows)) if own and len(rows) else np.zeros(len(rows))
            for key, rows in (("known", known), ("held", held))
        }
        choice = choose(world.label[known], mine["known"] if own else None, theirs["known"], seed=seed)
        lines: dict[str, Line] = {
            "own": choice.lines["own"],
            "common": choice.lines["common"],
            "calibrated": choice.lines.get("calibrated", choice.lines["common"]),
            "rule": choice.line,
        }
        y = world.label[held]
        losses = {way: log_losses(y, line.probability(mine["held"], theirs["held"])) for way, line in lines.items()}
        found.append(SiteGain(len(fit), int(world.label[known].sum()), choice, losses))
    return found


def lines_of(world: World, found: list[SiteGain]) -> list[str]:
    sizes = [s.n_fit for s in found]
    few = sum(not s.choice.decided for s in found)
    chosen = [s.choice.way for s in found if s.choice.decided]
    counts = ", ".join(f"{way} {chosen.count(way)}" for way in ("own", "common", "calibrated", "blend"))
    rows = []
    for way in WAYS:
        every = mean_interval(np.concatenate([s.losses["own"] - s.losses[way] for s in found]))
        of_sites = [g for s in found if (g := s.gain(way))]
        values = np.array([g.value for g in of_sites])
        mean = mean_interval(values)
        sure = sum(g.low > 0 for g in of_sites), sum(g.high < 0 for g in of_sites)
        cells = [
            world.name if way == WAYS[0] else "",
            f"{min(sizes):,}, {int(np.median(sizes)):,}, {max(sizes):,}" if way == WAYS[0] else "",
            f"{int(np.median([s.n_defaults for s in found]))}; {few} of {len(found)}" if way == WAYS[0] else "",
            f"{way}: {counts}" if way == "rule" else way,
            milli(every),
            milli(mean),
            f"{(values > 1e-12).sum()} / {(values < -1e-12).sum()}",
            f"{sure[0]} / {sure[1]}",
            f"{1000 * values.min():+.1f}",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def milli(x: Interval) -> str:
    return f"{1000 * x.value:+.1f} ({1000 * x.low:+.1f} to {1000 * x.high:+.1f})"
