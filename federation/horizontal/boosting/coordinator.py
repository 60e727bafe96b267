"""Horizontal boosting, coordinator's half: one model from the rows of many sites, of which it learns sums only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.boosting.features import to_fields
from federation.horizontal.boosting.growth import TreeGrowth
from federation.horizontal.boosting.messages import Finish, Finished, LabelsWanted, Open, Opened, Start, Started
from federation.script import Script
from models.binning import FeatureBins
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Candidates, Split
from models.boosting.trees import Tree
from models.bundle import Half, JointModel
from models.errors import DataError, ModelError

#: Whom the model says that cuts belong to: every site knows all of it.
OWNER: Final[PartyId] = "sites"
#: Parameters that must stand at what they are here: the sums that sites give do not serve other values.
FIXED: Final = {
    "min_child_samples": 0,
    "num_leaves": 0,
    "early_stopping_rounds": 0,
    "bagging_fraction": 1.0,
    "feature_fraction": 1.0,
    "data_sample_strategy": "bagging",
    "use_quantized_grad": False,
    "objective": "binary",
    "scale_pos_weight": 1.0,
    "first_trees_guest_only": 0,
}


@dataclass(frozen=True, slots=True)
class Grown:
    """Attributes:
    model: with every cut its own; any site can score with it.
    contributors: of each tree, whose rows are in it.
    complete: whether all trees are there. If not, so many sites left that no further sum could be opened.
    """

    model: JointModel
    contributors: tuple[tuple[PartyId, ...], ...]
    complete: bool = True


@dataclass(slots=True)
class HorizontalBoosting:
    """Trees over sites that have the same columns and different applicants.

    Attributes:
        bins: chosen jointly; every category is cut one level against the rest.
        parameters: ``min_child_weight`` bounds leaves: rows of a leaf are at least four times that, as no hessian of
            the logistic loss is over 1/4. Counts of rows are not asked for: over two trees, of which one site missed
            the second, they would tell that site's.
        most_rows: of one site.
        progress: called with the number of trees after each.

    Raises:
        ModelError: ``bad_parameter`` for a parameter that horizontal boosting does not have.
    """

    model_id: str
    aggregation: Aggregation
    bins: tuple[FeatureBins, ...]
    parameters: BoostingParameters
    most_rows: int
    progress: Callable[[int], None] = lambda _: None
    _splits: list[Split] = field(default_factory=list)

    def __post_init__(self) -> None:
        p = self.parameters
        wrong = [name for name, value in FIXED.items() if getattr(p, name) != value]
        wrong += ["monotone_constraints"] if p.monotone_constraints else []
        if wrong:
            raise ModelError(
                "bad_parameter",
                f"Horizontal boosting does not have: {', '.join(wrong)}. Leave them at "
                f"{', '.join(f'{name} = {FIXED.get(name, {})}' for name in wrong)}.",
                f"横向提升树不支持参数 {'、'.join(wrong)}，请保持其固定值。",
            )

    def fit(self) -> Script[Grown]:
        """Train. A site that leaves takes others out of later sums (``Presence.keep_company``); they learn the model.

        Raises:
            LocalProtocolError: ``too_few_sites`` if too few are left before the first tree is finished.
            DataError: ``one_class`` if the sites together have no default, or only defaults.
        """
        presence, p = self.aggregation.presence, self.parameters
        opening = Open(
            model_id=self.model_id,
            features=to_fields(self.bins),
            most_rows=self.most_rows,
            max_depth=p.max_depth,
        )
        asked = presence.sites
        opened = presence.arrived((yield dict.fromkeys(asked, opening)), asked, Opened)
        base = yield from self._base_margin()
        asked = (*presence.sites, *(party for party in presence.aside if party in opened))
        started = presence.arrived((yield dict.fromkeys(asked, Start(base_margin=base))), asked, Started)
        trees: list[Tree] = []
        contributors: list[tuple[PartyId, ...]] = []
        candidates = Candidates(self.bins)
        for t in range(p.n_estimators):
            growth = TreeGrowth(t, OWNER, len(self._splits), candidates, p, self.aggregation, self.most_rows)
            try:
                yield from growth.grow()
            except LocalProtocolError as error:
                if error.code != "too_few_sites" or not trees:
                    raise
                break
            leaves = growth.weigh()
            finish = Finish(tree=t, cuts=tuple(growth.cuts), leaves=leaves)
            ends = dict.fromkeys(presence.sites, finish)
            ends |= dict.fromkeys(set(presence.aside) & set(started), replace(finish, cuts=tuple(growth.all_cuts)))
            presence.arrived((yield ends), tuple(ends), Finished)
            self._splits += growth.splits
            trees.append(growth.tree)
            contributors.append(growth.contributors)
            self.progress(t + 1)
        return Grown(self._model(trees, base), tuple(contributors), complete=len(trees) == p.n_estimators)

    def _base_margin(self) -> Script[float]:
        total = yield from total_in_company(self.aggregation, LabelsWanted(), 2, self.most_rows)
        n_rows, n_defaults = total.values.tolist()
        if not 0 < n_defaults < n_rows:
            raise DataError(
                "one_class",
                "The sites together have only one class: a model needs defaults and non-defaults.",
                "各站点合计只有一个类别，建模需要同时有违约与未违约样本。",
            )
        rate = n_defaults / n_rows
        return float(np.log(rate / (1.0 - rate)))

    def _model(self, trees: Sequence[Tree], base: float) -> JointModel:
        own = Half(self.model_id, OWNER, self.bins, tuple(self._splits))
        return JointModel(own, tuple(trees), base, {})
