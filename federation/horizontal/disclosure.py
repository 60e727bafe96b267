"""Which sums a coordinator learnt in a run: what each tells, how often, of how many numbers, over how many sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.horizontal.aggregation.presence import Presence
from federation.horizontal.averaging import messages as averaging
from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.horizontal.closing import messages as closing
from federation.horizontal.prebinning import messages as prebinning
from federation.horizontal.scorecard import messages as scorecard
from federation.messages import Message
from federation.script import Script

#: Of each request that sites answer with a contribution: what its sum tells the coordinator, in English and Chinese.
SUMS: Final[dict[type[Message], tuple[str, str]]] = {
    binning.CellsWanted: (
        "rows per level, and per interval of numbers, over these sites.",
        "这些站点合计的各类别及各取值区间行数。",
    ),
    boosting.LabelsWanted: (
        "rows and defaults over these sites.",
        "这些站点合计的行数与违约数。",
    ),
    boosting.Grow: (
        "first and second derivatives per bin of all features, in nodes of a tree, over these sites; "
        "of the first root, so, rows and defaults per bin.",
        "这些站点合计的树节点各特征各分箱一阶与二阶导数和；首棵树根节点即各箱行数与违约数。",
    ),
    prebinning.Search: (
        "rows of this round between grid places, over these sites.",
        "这些站点合计的本轮行在各网格区间内的数量。",
    ),
    prebinning.Count: (
        "goods and bads per prebin, over these sites.",
        "这些站点合计的各预分箱好坏样本数。",
    ),
    scorecard.Step: (
        "loss, gradient and hessian of the scorecard where its fit stands, over these sites.",
        "这些站点合计的评分卡当前位置的损失、梯度与海森矩阵。",
    ),
    averaging.RowsWanted: (
        "rows over these sites.",
        "这些站点合计的行数。",
    ),
    averaging.Train: (
        "the average of parameters that these sites trained.",
        "这些站点训练所得参数的平均值。",
    ),
    closing.Count: (
        "held-out rows and defaults per band of scores, over these sites.",
        "这些站点合计的各分数段留出行数与违约数。",
    ),
}


@dataclass(slots=True)
class _Asked:
    times: int = 0
    numbers: int = 0
    fewest: int = 0


@dataclass(slots=True)
class NotedSums:
    """An ``Aggregation`` that notes what comes of another one."""

    aggregation: Aggregation
    asked: dict[type[Message], _Asked] = field(default_factory=dict)

    @property
    def presence(self) -> Presence:
        return self.aggregation.presence

    @presence.setter
    def presence(self, presence: Presence) -> None:
        self.aggregation.presence = presence

    def total(
        self, requests: Mapping[PartyId, Message], n_values: int, bound: int, only: Collection[PartyId] = ()
    ) -> Script[Total]:
        total = yield from self.aggregation.total(requests, n_values, bound, only)
        noted = self.asked.setdefault(type(next(iter(requests.values()))), _Asked())
        noted.times += 1
        noted.numbers += n_values
        noted.fewest = min(noted.fewest or len(total.contributors), len(total.contributors))
        return total

    def told(self) -> list[dict[str, Any]]:
        """A row per kind of sum that was opened, in the order they first were."""
        return [
            {
                "asked": request.kind,
                "times": noted.times,
                "numbers": noted.numbers,
                "fewest_sites": noted.fewest,
                "reveals": SUMS[request][0],
                "reveals_zh": SUMS[request][1],
            }
            for request, noted in self.asked.items()
        ]
