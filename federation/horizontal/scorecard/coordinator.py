"""The horizontal scorecard, coordinator's half: bins, WOE, selection and regression from sums over sites."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.boosting.coordinator import OWNER
from federation.horizontal.prebinning.columns import AgreedColumn
from federation.horizontal.prebinning.coordinator import Counted, HorizontalPrebinning
from federation.horizontal.scorecard.features import to_fields
from federation.horizontal.scorecard.fit import Point, SummedFit
from federation.horizontal.scorecard.messages import Finish, Finished, Open, Opened
from federation.script import Script
from models.errors import DataError
from models.losses import Floats
from models.scorecard.card import JointScorecard, ScorecardHalf, ScorecardRules, WoeFeature
from models.scorecard.logistic import INTERCEPT, LogisticRules
from models.scorecard.selection import Selection, SelectionRules, Verdict, correlations, select
from models.scorecard.wald import Coefficient, covariance, wald
from models.woe.fitting import FittedWoe, WoeRules, fit_woe
from models.woe.prebins import PrebinRules


@dataclass(frozen=True, slots=True)
class Developed:
    """Attributes:
    model: any site can score with it.
    counted: prebins and counts, over all sites that had not left then.
    binned: of each column.
    verdicts: likewise.
    coefficients: the intercept first, with Wald's statistics.
    contributors: whose rows the coefficients are of: those of the last sum.
    n_steps, n_sums: of the regression.
    """

    model: JointScorecard
    counted: Counted
    binned: tuple[FittedWoe, ...]
    verdicts: tuple[Verdict, ...]
    coefficients: tuple[Coefficient, ...]
    contributors: tuple[PartyId, ...]
    n_steps: int
    n_sums: int


@dataclass(slots=True)
class HorizontalScorecard:
    """A scorecard over sites that have the same columns and different applicants.

    Attributes:
        columns: agreed beforehand.
        most_rows: of one site.
        watch: told the name of each stage as it begins: ``binning``, ``fitting``.
        progress: called with the number of Newton steps after each.
    """

    model_id: str
    aggregation: Aggregation
    columns: tuple[AgreedColumn, ...]
    most_rows: int
    prebinning: PrebinRules = field(default_factory=PrebinRules)
    binning: WoeRules = field(default_factory=WoeRules)
    selection: SelectionRules = field(default_factory=SelectionRules)
    fitting: LogisticRules = field(default_factory=LogisticRules)
    points: ScorecardRules = field(default_factory=ScorecardRules)
    watch: Callable[[str], None] = lambda _: None
    progress: Callable[[int], None] = lambda _: None

    def fit(self) -> Script[Developed]:
        """From the first message to the finished scorecard at every site. A site that leaves takes others out of later
        sums (``Presence.keep_company``); they learn the scorecard.

        Raises:
            LocalProtocolError: ``too_few_sites`` once too few are left for another sum.
            DataError: ``one_class``, ``nothing_selected``, ``collinear``, ``separated``.
            ModelError: ``not_converged``.
        """
        self.watch("binning")
        counted = yield from HorizontalPrebinning(self.aggregation, self.columns, self.most_rows, self.prebinning).fit()
        binned = tuple(
            fit_woe(c, self.binning, p.describe) for c, p in zip(counted.counts, counted.prebins, strict=True)
        )
        selection = Selection(self.selection, list(select({OWNER: binned}, self.selection)))
        if not selection.columns:
            raise DataError(
                "nothing_selected",
                f"None of the {len(selection.verdicts)} features passes the selection: lower min_information_value, or "
                "look at their flags in the binning tables.",
                f"{len(selection.verdicts)} 个特征均未通过筛选：请降低 min_information_value，或查看分箱表中的提示。",
            )
        features = tuple(WoeFeature(counted.prebins[k], binned[k].bins) for k in selection.places(OWNER))
        self.watch("fitting")
        yield from self._open(features)
        fit = SummedFit(
            self.aggregation,
            features,
            self.fitting,
            self.most_rows,
            counted.n_goods + counted.n_bads,
            self.progress,
        )
        point, means = yield from self._fit(fit, selection, float(np.log(counted.n_bads / counted.n_goods)))
        model = self._model(point, features, means)
        yield from self._finish(model)
        names = (INTERCEPT, *(features[k].name for k in point.places))
        penalty = self.fitting.penalty(len(names))
        return Developed(
            model,
            counted,
            binned,
            tuple(selection.verdicts),
            wald(names, point.coefficients, point.moments.hessian, penalty),
            point.contributors,
            fit.n_steps,
            fit.n_sums,
        )

    def _open(self, features: tuple[WoeFeature, ...]) -> Script[None]:
        presence = self.aggregation.presence
        opening = Open(model_id=self.model_id, features=to_fields(features), most_rows=self.most_rows)
        asked = presence.all_there
        presence.arrived((yield dict.fromkeys(asked, opening)), asked, Opened)

    def _fit(self, fit: SummedFit, selection: Selection, intercept: float) -> Script[tuple[Point, Floats]]:
        """Where the fit ends, and mean WOE of all features."""
        n = len(fit.features)
        point = yield from fit.at(range(n), np.array([intercept] + [0.0] * n))
        # All rows have one second derivative here, so these are sums of products of WOE.
        products = point.moments.hessian
        kept = selection.screen(correlations(products))
        point = point.narrowed(kept)
        while True:
            point = yield from fit.converge(point)
            spread = covariance(point.moments.hessian, self.fitting.penalty(len(point.coefficients)))
            kept = selection.eliminate(point.coefficients[1:], spread)
            if len(kept) == len(point.places):
                return point, products[0, 1:] / products[0, 0]
            point = yield from fit.restart(point, kept)

    def _model(self, point: Point, features: tuple[WoeFeature, ...], means: Floats) -> JointScorecard:
        intercept, *slopes = point.coefficients.tolist()
        half = ScorecardHalf(
            self.model_id,
            OWNER,
            tuple(features[k] for k in point.places),
            tuple(slopes),
            intercept,
            self.points,
            tuple(means[list(point.places)].tolist()),
        )
        return JointScorecard(half, {}, {})

    def _finish(self, model: JointScorecard) -> Script[None]:
        presence = self.aggregation.presence
        finish = Finish(scorecard=json.dumps(model.half.to_json(), ensure_ascii=False).encode())
        asked = presence.all_there
        presence.arrived((yield dict.fromkeys(asked, finish)), asked, Finished)
