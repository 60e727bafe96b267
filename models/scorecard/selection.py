"""Which binned features a scorecard uses, from their binning tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.samples import check_parameter
from models.woe.fitting import FittedWoe
from models.woe.tables import BinningTable, ranked_auc

#: Why a feature is left out: too little information value; flagged, e.g. constant; it may know the outcome; there are
#: enough features with more information value.
Reason = Literal["", "weak", "flagged", "leak", "surplus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRules:
    """Attributes:
        min_information_value: weaker features are left out; 0.02 is the customary limit (Siddiqi 2006, ch. 6).
        max_single_auc: a feature that alone reaches more is taken for one that knows the outcome, 0.5 to 1.
        max_features: per run, those with most information value; 1 to 1,000.

    Raises:
        ModelError: ``bad_parameter`` naming the parameter and its range.
    """

    min_information_value: float = 0.02
    max_single_auc: float = 0.9
    max_features: int = 1000

    def __post_init__(self) -> None:
        check_parameter("min_information_value", self.min_information_value, 0.0, 100.0)
        check_parameter("max_single_auc", self.max_single_auc, 0.5, 1.0)
        check_parameter("max_features", self.max_features, 1, 1000)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One feature of one party.

    Attributes:
        place: among the features of its party.
        single_auc: of its WOE alone, on the rows it was binned on.
        reason: why it is left out; empty if it is used.
    """

    party: str
    place: int
    variable: str
    information_value: float
    single_auc: float
    reason: Reason


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
