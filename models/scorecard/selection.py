"""Which binned features a scorecard uses: from their binning tables, then how they go together, then the fit itself.

Nothing here sees a row: correlations and coefficients with their covariance are sums over all rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from scipy.special import ndtr

from models.losses import Floats
from models.samples import check_parameter
from models.woe.fitting import FittedWoe
from models.woe.tables import BinningTable, ranked_auc

#: Why a feature is left out: too little information value; flagged, e.g. constant; it may know the outcome; there are
#: enough features with more information value; it goes with a stronger one; others together determine it; its
#: coefficient is against the direction of its WOE; it adds nothing to the others; its distribution has moved.
Reason = Literal[
    "", "weak", "flagged", "leak", "surplus", "correlated", "collinear", "reversed", "insignificant", "unstable"
]

#: ``max_vif`` that leaves nothing out.
ANY_VIF: Final = 1e12


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRules:
    """Attributes:
        min_information_value: weaker features are left out; 0.02 is the customary limit (Siddiqi 2006, ch. 6).
        max_single_auc: a feature that alone reaches more is taken for one that knows the outcome, 0.5 to 1.
        max_features: per run, those with most information value; 1 to 1,000.
        max_correlation: of the WOE of two features, in magnitude; of a closer pair the weaker is left out; 0 to 1.
        max_vif: variance inflation factor, 1 / (1 - R²) of a feature on the others (Belsley, Kuh & Welsch 1980); the
            worst is left out until none is above; 1 to 1e12.
        max_p_value: features that Wald's test finds less significant are left out one by one, 0 to 1; 1: none.
        right_signs: leave out features whose coefficient is against the direction of their WOE.
        max_stability_index: features that moved further between fitted and held-out rows are left out, 0 to 100; 0.25
            is the customary limit (Siddiqi 2006, ch. 9), 100: none.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    min_information_value: float = 0.02
    max_single_auc: float = 0.9
    max_features: int = 1000
    max_correlation: float = 0.9
    max_vif: float = 10.0
    max_p_value: float = 1.0
    right_signs: bool = False
    max_stability_index: float = 100.0

    def __post_init__(self) -> None:
        check_parameter("min_information_value", self.min_information_value, 0.0, 100.0)
        check_parameter("max_single_auc", self.max_single_auc, 0.5, 1.0)
        check_parameter("max_features", self.max_features, 1, 1000)
        check_parameter("max_correlation", self.max_correlation, 0.0, 1.0)
        check_parameter("max_vif", self.max_vif, 1.0, ANY_VIF)
        check_parameter("max_p_value", self.max_p_value, 0.0, 1.0)
        check_parameter("max_stability_index", self.max_stability_index, 0.0, 100.0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One feature of one party.

    Attributes:
        place: among the features of its party.
        single_auc: of its WOE alone, on the rows it was binned on.
        reason: why it is left out; empty if it is used.
        figure: the number that decided: correlation, variance inflation factor, coefficient, p-value.
        other: party and name of the stronger feature it goes with.
    """

    party: str
    place: int
    variable: str
    information_value: float
    single_auc: float
    reason: Reason
    figure: float | None = None
    other: str = ""


def select(features: Mapping[str, Sequence[FittedWoe]], rules: SelectionRules) -> tuple[Verdict, ...]:
    """A verdict on every feature, party by party.

    A feature with an AUC over ``max_single_auc``, by its bins or its prebins, is left out because lenders meet such
    features only when the outcome has leaked into them (a term shortened by default, a balance after charge-off).
    """
    judged = [
        Verdict(party, place, f.table.variable, f.table.information_value, single, _reason(f, single, rules))
        for party, of_party in features.items()
        for place, f in enumerate(of_party)
        for single in (single_auc(f.table),)
    ]
    kept = sorted((v for v in judged if not v.reason), key=lambda v: -v.information_value)
    surplus = {(v.party, v.place) for v in kept[rules.max_features :]}
    return tuple(
        Verdict(v.party, v.place, v.variable, v.information_value, v.single_auc, "surplus")
        if (v.party, v.place) in surplus
        else v
        for v in judged
    )


def single_auc(table: BinningTable) -> float:
    """AUC of ranking by bad rate of the bins, 0.5 to 1."""
    return ranked_auc([row.good for row in table.rows], [row.bad for row in table.rows])


def _reason(feature: FittedWoe, single: float, rules: SelectionRules) -> Reason:
    # Of a host's feature that knows the outcome one bin may be left: no bin of few goods or few bads is told of.
    if max(single, feature.fine_auc) > rules.max_single_auc:  # "separates" too: its AUC is 1
        return "leak"
    if set(feature.table.flags) - {"separates"}:
        return "flagged"
    return "weak" if feature.table.information_value < rules.min_information_value else ""


@dataclass(slots=True)
class Selection:
    """What is known of every feature so far, and the columns of the fit.

    Attributes:
        verdicts: of all features.
        columns: of the fit, in order, as places among the verdicts.
        moved: stability index of each column, None where it is not known; empty: of none.
    """

    rules: SelectionRules
    verdicts: list[Verdict]
    columns: list[int] = field(init=False)
    moved: Sequence[float | None] = ()

    def __post_init__(self) -> None:
        """Party by party as they stand, within each those with most information value first."""
        parties = list(dict.fromkeys(v.party for v in self.verdicts))
        used = [k for k, v in enumerate(self.verdicts) if not v.reason]
        # By what is in them: hosts number their features at random, and sums of floats depend on their order.
        self.columns = sorted(used, key=lambda k: (parties.index(self.verdicts[k].party), *self._strength(k)))

    def places(self, party: str) -> list[int]:
        """Of the features of one party, in the order of the columns."""
        return [self.verdicts[k].place for k in self.columns if self.verdicts[k].party == party]

    def names(self, party: str) -> list[str]:
        """The same by name."""
        return [self.verdicts[k].variable for k in self.columns if self.verdicts[k].party == party]

    def screen(self, correlation: Floats) -> list[int]:
        """Columns that stay: none has moved too far, goes closely with a stronger one, or follows from the others. Of
        those that have not moved, one always stays.

        Args:
            correlation: of the WOE of the columns, shape ``(n_columns, n_columns)``.
        """
        kept: list[int] = []
        for k in self._steady():
            nearest = max(kept, key=lambda j: abs(correlation[k, j]), default=None)
            if nearest is not None and abs(correlation[k, nearest]) > self.rules.max_correlation:
                self._leave_out(k, "correlated", float(correlation[k, nearest]), nearest)
            else:
                kept.append(k)
        while len(kept) > 1:
            inflation = variance_inflation(correlation[np.ix_(kept, kept)])
            worst = int(np.argmax(inflation))
            if inflation[worst] <= self.rules.max_vif:
                break
            self._leave_out(kept.pop(worst), "collinear", float(inflation[worst]))
        return self._stay(kept)

    def eliminate(self, coefficients: Floats, covariance: Floats) -> list[int]:
        """Columns that stay: backward elimination on the quadratic model of the loss (Lawless & Singhal 1978,
        "Efficient screening of nonnormal regression models"), those with a wrong sign before insignificant ones. One
        always stays.

        Args:
            coefficients: of the WOE of the columns in the margin, where a fit ended.
            covariance: theirs, shape ``(n_columns, n_columns)``.
        """
        kept = list(range(len(self.columns)))
        b, spread = coefficients.copy(), covariance.copy()
        while len(kept) > 1:
            z = b / np.sqrt(np.diag(spread))
            p_value = 2.0 * ndtr(-np.abs(z))
            if self.rules.right_signs and b.max() > 0.0:
                worst = int(np.argmax(z))
                self._leave_out(kept[worst], "reversed", float(b[worst]))
            elif p_value.max() > self.rules.max_p_value:
                worst = int(np.argmax(p_value))
                self._leave_out(kept[worst], "insignificant", float(p_value[worst]))
            else:
                break
            share = spread[:, worst] / spread[worst, worst]
            b, spread = b - share * b[worst], spread - np.outer(share, spread[worst])
            kept.pop(worst)
            b, spread = np.delete(b, worst), np.delete(np.delete(spread, worst, 0), worst, 1)
        return self._stay(kept)

    def _steady(self) -> list[int]:
        """Columns that have not moved too far, strongest first; if all have, the one that moved least."""
        moved = {k: index or 0.0 for k, index in enumerate(self.moved)}
        steady = [k for k in range(len(self.columns)) if moved.get(k, 0.0) <= self.rules.max_stability_index]
        steady = steady or [min(moved, key=moved.__getitem__)]
        for k in set(range(len(self.columns))) - set(steady):
            self._leave_out(k, "unstable", moved[k])
        return sorted(steady, key=lambda k: self._strength(self.columns[k]))

    def _strength(self, k: int) -> tuple[float, int]:
        return -self.verdicts[k].information_value, self.verdicts[k].place

    def _leave_out(self, column: int, reason: Reason, figure: float, other: int | None = None) -> None:
        stronger = "" if other is None else self._name(other)
        k = self.columns[column]
        self.verdicts[k] = replace(self.verdicts[k], reason=reason, figure=figure, other=stronger)

    def _name(self, column: int) -> str:
        v = self.verdicts[self.columns[column]]
        return v.variable if v.variable.startswith(v.party) else f"{v.party} {v.variable}"

    def _stay(self, kept: list[int]) -> list[int]:
        kept = sorted(kept)
        self.columns = [self.columns[k] for k in kept]
        return kept


def correlations(moments: Floats) -> Floats:
    """Correlations of columns from sums of products.

    Args:
        moments: of a column of ones and the others, all rows weighing the same, shape ``(1 + n, 1 + n)``.

    Returns:
        Shape ``(n, n)``; a constant column goes with none.
    """
    mean = moments[0, 1:] / moments[0, 0]
    covariance = moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    varies = size > 1e-9
    scale = np.where(varies, size, 1.0)
    found = np.where(np.outer(varies, varies), covariance / np.outer(scale, scale), 0.0)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1.0, 1.0)


def variance_inflation(correlation: Floats) -> Floats:
    """Diagonal of the inverse, shape ``(n,)``; directions without any spread count as having 1e-12."""
    values, vectors = np.linalg.eigh(correlation)
    inflation: Floats = (vectors**2) @ (1.0 / np.maximum(values, 1.0 / ANY_VIF))
    return inflation
