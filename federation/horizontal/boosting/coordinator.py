"""Horizontal boosting, coordinator's half: one model from the rows of many sites, of which it learns sums only."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from federation.errors import LocalProtocolError, PartyId, Refused
from federation.horizontal.aggregation.company import total_in_company
from federation.horizontal.aggregation.interface import Aggregation
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.aggregation.rules import FEWEST_SITES, SiteRules
from federation.horizontal.boosting.course import Course
from federation.horizontal.boosting.features import to_fields
from federation.horizontal.boosting.growth import TreeGrowth
from federation.horizontal.boosting.messages import (
    Finish,
    Finished,
    Keep,
    Kept,
    LabelsWanted,
    Open,
    Opened,
    Start,
    Started,
)
from federation.horizontal.boosting.noise import COUNT_UNIT, room
from federation.horizontal.checkpoint import Journal
from federation.messages import Message
from federation.script import Script
from models.binning import FeatureBins
from models.boosting.parameters import BoostingParameters
from models.boosting.splits import Candidates
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
        journal: of the run, if it can be resumed; ``bins`` are then those of its checkpoint, if it has one.
        rules, threshold: as of ``aggregation``: fewer sites end a run that can be resumed.

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
    journal: Journal | None = None
    rules: SiteRules = field(default_factory=SiteRules)
    threshold: int = 0
    _most_sums: int = field(init=False)

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
        """Sums that sites are asked for at most: the counts, one per level, those that a departure leaves unopened,
        each of which takes as many sites out as a sum has at least, and those done again each time the run was resumed.
        """
        p, spare = self.parameters, max(0, len(self.aggregation.presence.sites) // FEWEST_SITES - 1)
        times = self.journal.last.times if self.journal else 0
        return 1 + p.n_estimators * p.max_depth + spare + times * (1 + p.max_depth + spare)

    def fit(self) -> Script[Grown]:
        """Train. A site that leaves takes others out of later sums (``Presence.keep_company``); they learn the model.

        Raises:
            LocalProtocolError: ``too_few_sites`` if too few are left before the first tree is finished, or, with a
                journal, at any time: the run can be resumed when they are back; ``sites_missing`` if it is resumed
                before they are.
            Refused: a site does not go on with a run that is resumed: ``rows_changed``.
            DataError: ``one_class`` if the sites together have no default, or only defaults.
        """
        presence, p, self._most_sums = self.aggregation.presence, self.parameters, self.n_sums
        earlier = self.journal.last.joint if self.journal else None
        if self.journal and earlier:
            course = Course.of(earlier, self.journal.last.contributors)
            following = yield from self._go_on(course)
        else:
            course, following = yield from self._begin()
        candidates = Candidates(self.bins)
        for t in range(len(course.trees), p.n_estimators):
            if t:
                following |= yield from self._admit(course)
            growth = TreeGrowth(
                t, OWNER, len(course.splits), candidates, p, self.aggregation, self.most_rows, self.noise
            )
            try:
                yield from growth.grow()
            except LocalProtocolError as error:
                if error.code != "too_few_sites" or not course.trees or self.journal:
                    raise
                break
            if growth.cut_short and self.journal:
                self._need_company()
            finish = Finish(tree=t, cuts=tuple(growth.cuts), leaves=growth.weigh())
            following = {*presence.sites, *(set(presence.aside) & following)}
            rest = replace(finish, cuts=growth.untold)
            ends = {party: rest if party in growth.contributors else finish for party in sorted(following)}
            presence.arrived((yield ends), tuple(ends), Finished)
            course.add(growth.tree, growth.splits, growth.contributors)
            if t + 1 < p.n_estimators:
                yield from self._keep(course, following)
            self.progress(t + 1)
        complete = len(course.trees) == p.n_estimators
        return Grown(self._model(course), tuple(course.contributors), complete)

    def _opening(self, goes_on: int = -1) -> Open:
        return Open(
            model_id=self.model_id,
            features=to_fields(self.bins),
            most_rows=self.most_rows,
            max_depth=self.parameters.max_depth,
            most_sums=self._most_sums,
            noise=self.noise,
            goes_on=goes_on,
        )

    def _begin(self) -> Script[tuple[Course, set[PartyId]]]:
        """Open, count, start; who follows. A run that died before its first checkpoint begins again."""
        presence, died = self.aggregation.presence, bool(self.journal and self.journal.kept)
        opening = self._opening(0 if died else -1)
        following = yield from _told(presence, (*presence.sites, *presence.aside), opening, Opened)
        base = yield from self._base_margin()
        asked = (*presence.sites, *sorted(set(presence.aside) & following))
        return Course(base), (yield from _told(presence, asked, Start(base_margin=base), Started))

    def _go_on(self, course: Course) -> Script[set[PartyId]]:
        """From a checkpoint: sites of the last sum are there, with the rows of then, or the model would be another."""
        presence = self.aggregation.presence
        following = yield from self._tell(presence, course, goes_on=len(course.trees))
        missing = sorted({*presence.summed} - following)
        if refused := [party for party in missing if party in presence.refusals]:
            raise Refused(refused[0], presence.refusals[refused[0]])
        if missing:
            raise LocalProtocolError(
                "sites_missing",
                f"The run is resumed without {', '.join(missing)}, whose rows are in its sums: the model would not be "
                "the same. Resume it when they are there.",
                f"恢复运行时缺少 {'、'.join(missing)}，其数据已计入求和，继续将得到不同的模型。请待其上线后再恢复。",
            )
        return following

    def _admit(self, course: Course) -> Script[set[PartyId]]:
        """Let in those who come late."""
        presence = self.aggregation.presence
        late = sorted(set(self.arrivals()) - {*presence.sites, *presence.aside})
        if len(late) < max(1, self.least_arrivals):
            return set()
        newcomers = Presence(tuple(late))
        yield from self._tell(newcomers, course)
        if len(newcomers.sites) < self.least_arrivals:
            return set()
        presence.sites = tuple(sorted((*presence.sites, *newcomers.sites)))
        return set(newcomers.sites)

    def _tell(self, presence: Presence, course: Course, goes_on: int = -1) -> Script[set[PartyId]]:
        """Tell sites what the others were told of the run so far; who has heard all of it."""
        told = (*presence.sites, *presence.aside)
        following = yield from _told(presence, told, self._opening(goes_on), Opened)
        following = yield from _told(presence, sorted(following), Start(base_margin=course.base), Started)
        for tree in course.told():
            following = yield from _told(presence, sorted(following), tree, Finished)
        return following

    def _keep(self, course: Course, following: set[PartyId]) -> Script[None]:
        """A checkpoint, if it is time: the sites' own first, so that this one names no moment they have not kept. Under
        noise after every tree: no more sums than were allowed for are done again."""
        journal, presence = self.journal, self.aggregation.presence
        if journal and (journal.keeping.due() or self.noise):
            asked = sorted({*presence.sites, *(set(presence.aside) & following)})
            yield from _told(presence, asked, Keep(trees=len(course.trees)), Kept)
            journal.keep(self._model(course), course.contributors)

    def _need_company(self) -> None:
        """Raises ``LocalProtocolError`` (``too_few_sites``) if, after a departure, no further sum could be opened: then
        the tree it cut short is not finished, but grown whole when the run is resumed."""
        presence = self.aggregation.presence
        left = replace(presence, retired={*presence.retired})
        left.keep_company()
        self.rules.check_sites(len(left.sites), self.threshold)

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

    def _model(self, course: Course) -> JointModel:
        own = Half(self.model_id, OWNER, self.bins, tuple(course.splits))
        return JointModel(own, tuple(course.trees), course.base, {})


def _told(presence: Presence, asked: Sequence[PartyId], message: Message, reply: type[Message]) -> Script[set[PartyId]]:
    """Tell these; who of them answered."""
    return set(presence.arrived((yield dict.fromkeys(asked, message)), asked, reply))
