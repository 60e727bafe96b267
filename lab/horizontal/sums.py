"""Which sums a coordinator learnt in a run, for people: how often, of how many numbers, over how many sites."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from federation.errors import PartyId
from federation.horizontal.aggregation.interface import Aggregation, Total
from federation.horizontal.aggregation.presence import Presence
from federation.messages import Message
from federation.script import Script

#: Request → what the sum of the answers tells, in English and Chinese.
TOLD: Final = {
    "horizontal.binning.cells_wanted": ("rows per level, and per cell of numbers", "各类别取值与数值区间的行数"),
    "horizontal.boosting.labels_wanted": ("rows and defaults", "行数与违约数"),
    "horizontal.boosting.grow": ("gradients and hessians per bin, per node", "各节点各分箱的梯度与二阶导之和"),
    "horizontal.prebinning.search": ("rows between candidate cut points", "候选切点之间的行数"),
    "horizontal.prebinning.count": ("goods and bads per bin", "各分箱的好坏样本数"),
    "horizontal.scorecard.step": ("loss, gradient and hessian of the regression", "回归的损失、梯度与二阶导"),
    "horizontal.averaging.rows_wanted": ("rows", "行数"),
    "horizontal.averaging.train": ("the average of parameters", "参数的平均值"),
    "horizontal.closing.count": ("held-out rows and defaults per band of scores", "各分数段的留出行数与违约数"),
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
    asked: dict[str, _Asked] = field(default_factory=dict)

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
        noted = self.asked.setdefault(next(iter(requests.values())).kind, _Asked())
        noted.times += 1
        noted.numbers += n_values
        noted.fewest = min(noted.fewest or len(total.contributors), len(total.contributors))
        return total

    def told(self) -> list[dict[str, Any]]:
        """A row per kind of sum that was opened, in the order they first were."""
        return [
            {
                "asked": kind,
                "times": noted.times,
                "numbers": noted.numbers,
                "fewest_sites": noted.fewest,
                "reveals": TOLD[kind][0],
                "reveals_zh": TOLD[kind][1],
            }
            for kind, noted in self.asked.items()
        ]
