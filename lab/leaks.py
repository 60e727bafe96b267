"""Features that separate too well to be known before the outcome: a term shortened by default, a balance after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.config_party import Party
from models.bundle import JointModel
from models.losses import Floats
from models.scorecard.selection import single_auc
from models.table import Table
from models.woe.fitting import WoeRules, count_prebins, fit_woe

#: More than a feature known in time reaches alone, and a whole model on held-out rows.
MOST_SINGLE_AUC: Final = 0.9
MOST_MODEL_AUC: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """A feature that separates too well. ``feature``: a name of the bank's, a number of a host's; ``auc``: alone, or of
    the model whose first cut it made."""

    party: str
    feature: str
    auc: float


def own_leaks(party: Party, table: Table, label: Floats, most: float = MOST_SINGLE_AUC) -> tuple[Leak, ...]:
    """The bank's own features that alone, in bins of any shape, reach more than ``most`` on these rows."""
    counted = [(p.name, count_prebins(p, p.encode(table.columns[p.name]), label)) for p in party.prebinning.fit(table)]
    found = [(name, single_auc(fit_woe(c, WoeRules(method="tree")).table)) for name, c in counted]
    return tuple(Leak(party=party.party, feature=name, auc=auc) for name, auc in found if auc > most)


def host_leak(model: JointModel, auc: float) -> tuple[Leak, ...]:
    """Where trees do too well, the host's feature that made their first cut: a host's alone the bank cannot look at.

    Args:
        auc: of the model on held-out rows.
    """
    root = model.trees[0][0]
    if auc <= MOST_MODEL_AUC or root.owner in ("", model.own.party):
        return ()
    number = model.player_of(root).number
    name = f"{root.owner} feature {number + 1}" if number >= 0 else root.owner
    return (Leak(party=root.owner, feature=name, auc=auc),)
