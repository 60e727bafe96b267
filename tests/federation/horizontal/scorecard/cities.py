"""Sites that share out the rows of one table, a scorecard over them, and the same from all rows pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from federation.errors import PartyId
from federation.horizontal.aggregation.masking.coordinator import MaskedAggregation
from federation.horizontal.aggregation.masking.site import MaskingSite
from federation.horizontal.aggregation.messages import Contribution
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.prebinning.columns import AgreedColumn
from federation.horizontal.scorecard.coordinator import Developed, HorizontalScorecard
from federation.horizontal.site import HorizontalSite
from federation.messages import Message
from federation.script import run
from models.losses import Floats
from models.scorecard.card import woe_of
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import ANY_VIF, SelectionRules
from models.table import Table, is_category
from models.woe.fitting import FittedWoe, WoeRules, count_prebins, fit_woe
from models.woe.prebins import Prebins, fit_prebins
from tests.federation.horizontal.boosting.cities import SiteWire, never
from tests.federation.horizontal.sites import SESSION, names, signings

EVERYTHING = SelectionRules(min_information_value=0.0, max_single_auc=1.0, max_correlation=1.0, max_vif=ANY_VIF)
EXACT = LogisticRules(tolerance=1e-12)


def agreed(table: Table) -> tuple[AgreedColumn, ...]:
    """Columns as a catalogue has them, all levels named."""
    return tuple(
        AgreedColumn(name, category=True, levels=tuple(sorted({v for v in column if v is not None})))
        if is_category(column)
        else AgreedColumn(name)
        for name, column in table.columns.items()
    )


class Trial:
    """One table shared out among sites, and a coordinator."""

    def __init__(
        self,
        table: Table,
        label: Floats,
        parts: Sequence[np.ndarray],
        loss: Callable[[PartyId, Message], str] = never,
        columns: tuple[AgreedColumn, ...] = (),
        **options: Any,
    ) -> None:
        self.table, self.label, self.parts = table, label, parts
        self.names = names(len(parts))
        known = signings(len(parts))
        self.sites = {
            party: HorizontalSite(table.take(rows), label[rows], MaskingSite(party, SESSION, known[party]), seed=k)
            for k, (party, rows) in enumerate(zip(self.names, parts, strict=True))
        }
        self.wire = SiteWire(self.sites, loss)
        aggregation = MaskedAggregation(SESSION, Presence(self.names), known[self.names[0]])
        given = {"selection": EVERYTHING, "fitting": EXACT} | options
        self.scorecard = HorizontalScorecard("m-1", aggregation, columns or agreed(table), most_rows=2**20, **given)

    def fit(self) -> Developed:
        return run(self.scorecard.fit(), self.wire)

    def rows_of(self, parties: Sequence[PartyId]) -> np.ndarray:
        return np.concatenate([self.parts[self.names.index(party)] for party in parties])

    def pooled_bins(self, developed: Developed, parties: Sequence[PartyId]) -> tuple[list[Prebins], list[FittedWoe]]:
        """Bins and WOE of all these parties' rows, by what makes them at one bank, at the same cut points."""
        rows = self.rows_of(parties)
        table, label = self.table.take(rows), self.label[rows]
        cuts = {p.name: p.bins.edges for p in developed.counted.prebins if p.bins.edges}
        special = {c.name: c.special_codes for c in self.scorecard.columns if c.special_codes}
        prebins = fit_prebins(table, self.scorecard.prebinning, cuts, special)
        rules: WoeRules = self.scorecard.binning
        found = [fit_woe(count_prebins(p, p.encode(table.columns[p.name]), label), rules, p.describe) for p in prebins]
        return list(prebins), found

    def sklearn_margin(self, developed: Developed, parties: Sequence[PartyId], table: Table) -> Floats:
        """scikit-learn's logistic regression on WOE of all these parties' rows, at ``table``."""
        rows = self.rows_of(parties)
        features, l2 = developed.model.half.features, self.scorecard.fitting.l2
        penalty = {"C": 1.0 / l2} if l2 else {"C": np.inf}
        fitted = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000, **penalty)
        fitted.fit(woe_of(features, self.table.take(rows)), self.label[rows])
        margin: Floats = fitted.decision_function(woe_of(features, table))
        return margin


class Plain:
    """An aggregation that hides nothing.

    Attributes:
        opens: whether what is contributed becomes part of a sum that is opened.
    """

    allowed = ()

    def __init__(self, opens: bool = True) -> None:
        self.opens, self.n_opened = opens, 0

    def contribute(self, values: np.ndarray, bound: int) -> Message:
        self.n_opened += self.opens
        return Contribution(turn=0, data=values.tobytes(), proof=b"", signature=b"")

    def dump(self) -> bytes:
        return b""

    def load(self, data: bytes) -> None: ...
