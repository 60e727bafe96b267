"""Horizontal boosting, coordinator's half: one model from the rows of many sites, of which it learns sums only."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError, PartyId
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import FEWEST_SITES
from federation.horizontal.boosting.features import to_fields
from federation.horizontal.boosting.growth import TreeGrowth
from federation.horizontal.boosting.messages import Finish, Finished, LabelsWanted, Open, Opened, Start, Started
from federation.horizontal.boosting.noise import COUNT_UNIT, room
from federation.messages import Message
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
        arrivals: asked before each tree but the first: sites that wish to take part from here on, late or again.
        least_arrivals: they wait until there are so many: the sums of one tree, less those of the tree before, are
            roughly those of who came between. Under three that shows single sites (ADR 0046).
        noise: of each sum, over what one applicant moves it by; 0: none. ``n_sums`` of them are made at most;
            ``models.shared_noise`` says what they spend. Cuts then need ``min_child_weight`` well above the noise.

    Raises:
        ModelError: ``bad_parameter`` for a parameter that horizontal boosting does not have, or noise and groups.
    """

    model_id: str
    aggregation: Aggregation
    bins: tuple[FeatureBins, ...]
    parameters: BoostingParameters
    most_rows: int
    progress: Callable[[int], None] = lambda _: None
    arrivals: Callable[[], Collection[PartyId]] = tuple
    least_arrivals: int = FEWEST_SITES
    noise: float = 0.0
    _splits: list[Split] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.noise and self.aggregation.presence.together:
            raise ModelError(
                "bad_parameter",
                "Noise and sums by groups do not go together: under noise features do not add up alike, and no group "
                "could be told from one that sends nonsense. Leave out one of them.",
                "噪声与分组求和不能同时使用：加噪后各特征合计不再一致，无法辨别异常小组。请去掉其中一项。",
            )
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

    @property
    def n_sums(self) -> int:
        """Sums that sites are asked for at most: the counts, one per level, and those that a departure leaves unopened,
        each of which takes as many sites out as a sum has at least."""
        spare = max(0, len(self.aggregation.presence.sites) // FEWEST_SITES - 1)
        return 1 + self.parameters.n_estimators * self.parameters.max_depth + spare

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
            most_sums=self.n_sums,
            noise=self.noise,
        )
        following = yield from _told(presence, presence.sites, opening, Opened)
        base = yield from self._base_margin()
        start = Start(base_margin=base)
        asked = (*presence.sites, *sorted(set(presence.aside) & following))
        following = yield from _told(presence, asked, start, Started)
        finished: list[Finish] = []
        trees: list[Tree] = []
        contributors: list[tuple[PartyId, ...]] = []
        candidates = Candidates(self.bins)
        for t in range(p.n_estimators):
            if t:
                following |= yield from self._admit(opening, start, finished)
            growth = TreeGrowth(
                t, OWNER, len(self._splits), candidates, p, self.aggregation, self.most_rows, self.noise
            )
            try:
                yield from growth.grow()
            except LocalProtocolError as error:
                if error.code != "too_few_sites" or not trees:
                    raise
                break
            finish = Finish(tree=t, cuts=tuple(growth.cuts), leaves=growth.weigh())
            following = {*presence.sites, *(set(presence.aside) & following)}
            rest = replace(finish, cuts=growth.untold)
            ends = {party: rest if party in growth.contributors else finish for party in sorted(following)}
            presence.arrived((yield ends), tuple(ends), Finished)
            finished.append(finish)
            self._splits += growth.splits
            trees.append(growth.tree)
            contributors.append(growth.contributors)
            self.progress(t + 1)
        return Grown(self._model(trees, base), tuple(contributors), complete=len(trees) == p.n_estimators)

    def _admit(self, opening: Open, start: Start, finished: Sequence[Finish]) -> Script[set[PartyId]]:
        """Tell those who come late what the others were told, and let them in."""
        presence = self.aggregation.presence
        late = sorted(set(self.arrivals()) - {*presence.sites, *presence.aside})
        if len(late) < max(1, self.least_arrivals):
            return set()
        newcomers = Presence(tuple(late))
        yield from _told(newcomers, newcomers.sites, opening, Opened)
        yield from _told(newcomers, newcomers.sites, start, Started)
        for tree in finished:
            yield from _told(newcomers, newcomers.sites, tree, Finished)
        if len(newcomers.sites) < self.least_arrivals:
            return set()
        presence.sites = tuple(sorted((*presence.sites, *newcomers.sites)))
        return set(newcomers.sites)

    def _base_margin(self) -> Script[float]:
        bound = self.most_rows * COUNT_UNIT + room(self.noise, math.sqrt(2) * COUNT_UNIT)
        total = yield from total_in_company(self.aggregation, LabelsWanted(), 2, bound)
        n_rows, n_defaults = (total.values // COUNT_UNIT).tolist()
        if self.noise:
            n_rows = max(n_rows, 2)
            n_defaults = min(max(n_defaults, 1), n_rows - 1)
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


def _told(presence: Presence, asked: Sequence[PartyId], message: Message, reply: type[Message]) -> Script[set[PartyId]]:
    """Tell these; who of them answered."""
    return set(presence.arrived((yield dict.fromkeys(asked, message)), asked, reply))
