"""What each site gains from the common model: as it is, calibrated, and by the rule of ``lab.validation.joining``, by a
fifth of its rows or, fold by fold, by all that it develops on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from clear import Together, sites_of
from sklearn.model_selection import KFold, StratifiedKFold
from worlds import Rows, World, split

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
N_FOLDS = 5
#: Fewest defaults, and fewest others, that a site fits a model of its own on.
FEWEST_TO_FIT = 5

#: Rows → margins
Margin = Callable[[Rows], Floats]
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
    """Models of three fifths of the rows; a fifth chooses."""
    early, valid, late = split(world, seed)
    p = replace(PARAMETERS, n_estimators=n_trees)
    common, found = common_of(world, early, p), []
    for fit, known, held in zip(early, valid, late, strict=True):
        own = own_of(world, fit, p)
        y = world.label[known]
        choice = choose(y, own(known) if own else None, common(known), seed=seed)
        found.append(judged(world, held, own, common, choice, len(fit), int(y.sum())))
    return found


def gains_by_folds(world: World, n_trees: int, seed: int) -> list[SiteGain]:
    """Models of four fifths of the rows; all of these choose, by models of the other folds."""
    early, valid, late = split(world, seed)
    p = replace(PARAMETERS, n_estimators=n_trees)
    known = [np.concatenate(pair) for pair in zip(early, valid, strict=True)]
    fold = [folds(world.label[rows], seed) for rows in known]
    theirs = [np.zeros(len(rows)) for rows in known]
    mine = [np.zeros(len(rows)) for rows in known]
    for k in range(N_FOLDS):
        others = [rows[of != k] for rows, of in zip(known, fold, strict=True)]
        common = common_of(world, others, p)
        for rows, of, fit, to_mine, to_theirs in zip(known, fold, others, mine, theirs, strict=True):
            to_theirs[of == k] = common(rows[of == k])
            if own := own_of(world, fit, p):
                to_mine[of == k] = own(rows[of == k])
    common, found = common_of(world, known, p), []
    for rows, to_mine, to_theirs, held in zip(known, mine, theirs, late, strict=True):
        own = own_of(world, rows, p)
        choice = choose(world.label[rows], to_mine if own else None, to_theirs, seed=seed)
        found.append(judged(world, held, own, common, choice, len(rows), int(world.label[rows].sum())))
    return found


def common_of(world: World, parts: Sequence[Rows], p: BoostingParameters) -> Margin:
    run = Together(world.table, fit_bins(world.table.take(np.concatenate(parts)), p.max_bin), p, {})
    run.sites = sites_of(world.table, world.label, parts, 3)
    grown = run.fit()
    return lambda rows: run.margin(grown, rows) if len(rows) else np.zeros(0)


def own_of(world: World, rows: Rows, p: BoostingParameters) -> Margin | None:
    label = world.label[rows]
    if min(label.sum(), len(label) - label.sum()) < FEWEST_TO_FIT:
        return None
    fitted = fit_baseline(world.table.take(rows), label, p)
    return lambda at: fitted.margin(world.table.take(at)) if len(at) else np.zeros(0)


def folds(label: Floats, seed: int) -> Rows:
    """Fold of each row; as many of each class as there can be."""
    found = np.zeros(len(label), dtype=np.intp)
    enough = len(label) and min(label.sum(), len(label) - label.sum()) >= N_FOLDS
    if len(label) >= N_FOLDS:
        kind = StratifiedKFold if enough else KFold
        for k, (_, at) in enumerate(kind(N_FOLDS, shuffle=True, random_state=seed).split(label[:, None], label)):
            found[at] = k
    return found


def judged(
    world: World, held: Rows, own: Margin | None, common: Margin, choice: SiteChoice, n_fit: int, n_defaults: int
) -> SiteGain:
    lines: dict[str, Line] = {
        "own": choice.lines["own"],
        "common": choice.lines["common"],
        "calibrated": choice.lines.get("calibrated", choice.lines["common"]),
        "rule": choice.line,
    }
    mine, theirs, y = own(held) if own else np.zeros(len(held)), common(held), world.label[held]
    losses = {way: log_losses(y, line.probability(mine, theirs)) for way, line in lines.items()}
    return SiteGain(n_fit, n_defaults, choice, losses)


def lines_of(name: str, found: list[SiteGain]) -> list[str]:
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
            name if way == WAYS[0] else "",
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
