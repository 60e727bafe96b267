"""The joint scorecard as a scikit-learn classifier, with parties in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sklearn.utils.validation import check_is_fitted

from federation.policy import CountNoise, HostPolicy
from federation.script import run
from federation.vertical.scorecard.guest import Developed, ScorecardJob, develop
from lab.estimators.joint import GUEST, JointClassifier, everything
from models.losses import Floats
from models.scorecard.card import PointsTable, ScorecardHalf, ScorecardRules
from models.scorecard.logistic import LogisticRules
from models.scorecard.selection import SelectionRules
from models.table import Table
from models.woe.fitting import Method, WoeRules
from models.woe.tables import BinningTable


@dataclass(eq=False, repr=False)
class JointScorecard(JointClassifier):
    """WOE binning, selection by information value, and logistic regression over the features of all parties.

    Weights count in the regression; bins and information values count applicants, as hosts' floors do.

    Args:
        hosts, cipher, key_bits, min_rows_per_bin: see ``JointEstimator``; class_weight: see ``JointClassifier``.
        method, max_bins: how bins are made (``models.woe.fitting.WoeRules``).
        min_information_value, max_single_auc, max_correlation, max_vif, max_p_value, right_signs: which features are
            used (``models.scorecard.selection.SelectionRules``).
        l1, l2: penalties; nonpositive: forbid coefficients against the direction of WOE.
        rounding: points are whole numbers.
        epsilon: of the noise of hosts on goods and bads per bin, per feature (``models.noise``); None: no noise. Nobody
            keeps account here: that is a data node's part.

    Attributes:
        developed_: bins, verdicts and coefficients (``federation.vertical.scorecard.guest.Developed``).
        halves_: host → its half.
        points_tables_: party → its points.
        binning_tables_: party → binning tables; features of hosts are named by number.
    """

    method: Method = "auto"
    max_bins: int = 8
    min_information_value: float = 0.02
    max_single_auc: float = 1.0
    max_correlation: float = 0.9
    max_vif: float = 10.0
    max_p_value: float = 1.0
    right_signs: bool = False
    l1: float = 0.0
    l2: float = 1e-6
    nonpositive: bool = False
    rounding: bool = True
    epsilon: float | None = None

    def _run(self, table: Table, label: Floats, weight: Floats | None) -> Developed:
        parties = self._parties()
        job = ScorecardJob(
            model_id="notebook",
            party=GUEST,
            table=table,
            label=label,
            hosts=tuple(parties),
            new_cipher=self._new_cipher,
            arrange=everything,
            binning=WoeRules(method=self.method, max_bins=self.max_bins),
            selection=SelectionRules(
                min_information_value=self.min_information_value,
                max_single_auc=self.max_single_auc,
                max_correlation=self.max_correlation,
                max_vif=self.max_vif,
                max_p_value=self.max_p_value,
                right_signs=self.right_signs,
            ),
            fitting=LogisticRules(l1=self.l1, l2=self.l2, nonpositive=self.nonpositive),
            points=ScorecardRules(rounding=self.rounding),
            weight=weight,
        )
        self.developed_ = run(develop(job), self._wire(parties))
        self.halves_ = {party: _sealed(host.half) for party, host in parties.items()}
        return self.developed_

    def _policy(self) -> HostPolicy:
        policy = super()._policy()
        return replace(policy, noise=CountNoise(epsilon=self.epsilon, spend=lambda _: None)) if self.epsilon else policy

    def points(self, X: Any) -> Floats:  # noqa: N803
        """Score of each applicant: points of all parties added up, higher is safer."""
        check_is_fitted(self)
        points = self._scored(self.developed_.fitted.model, self.halves_, self._table(X, reset=False)).points
        assert points is not None
        return points

    @property
    def points_tables_(self) -> dict[str, PointsTable]:
        own = self.developed_.fitted.model.half
        return {GUEST: own.table, **{party: half.table for party, half in self.halves_.items()}}

    @property
    def binning_tables_(self) -> dict[str, tuple[BinningTable, ...]]:
        binned = self.developed_.binned
        return {party: tuple(f.table for f in fs) for party, fs in {GUEST: binned.own, **binned.hosts}.items()}

    def _margin(self, table: Table) -> Floats:
        return self._scored(self.developed_.fitted.model, self.halves_, table).margin


def _sealed(half: object) -> ScorecardHalf:
    assert isinstance(half, ScorecardHalf)
    return half
