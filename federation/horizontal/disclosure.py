"""What a run over sites told whom: messages as they passed, and what each sum of contributions is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from federation.disclosure import Transcript
from federation.errors import PartyId
from federation.horizontal.aggregation.masking.messages import Contributors
from federation.horizontal.aggregation.threshold.messages import OpenSum
from federation.horizontal.averaging import messages as averaging
from federation.horizontal.binning import messages as binning
from federation.horizontal.boosting import messages as boosting
from federation.horizontal.closing import messages as closing
from federation.horizontal.prebinning import messages as prebinning
from federation.horizontal.scorecard import messages as scorecard
from federation.messages import Message

#: Of each request that sites answer with a contribution: what its sum tells the coordinator.
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
class SitesTranscript(Transcript):
    """A ``Transcript`` of a coordinator (``guest``) that also says what was opened, and over how many sites at least.

    Attributes:
        opened: request → numbers of sites of its sums.
    """

    opened: dict[type[Message], list[int]] = field(default_factory=dict)
    _asked: type[Message] | None = None

    def __call__(self, sender: PartyId, receiver: PartyId, message: Message, n_bytes: int) -> None:
        Transcript.__call__(self, sender, receiver, message, n_bytes)
        match message:
            case Contributors():
                self._open(len(message.parties))
            case OpenSum():
                self._open(len(message.contributions))
            case _ if type(message) in SUMS:
                self._asked = type(message)

    def _open(self, n_sites: int) -> None:
        """Once per sum: every site is told."""
        if self._asked:
            self.opened.setdefault(self._asked, []).append(n_sites)
        self._asked = None

    def disclosures(self) -> list[dict[str, str | int]]:
        """As ``Transcript.disclosures``; after them, per request, a row of its sums: ``sender`` is how many sites."""
        rows = Transcript.disclosures(self)
        for kind, sizes in self.opened.items():
            english, chinese = SUMS[kind]
            rows.append(
                {
                    "receiver": self.guest,
                    "sender": f"sum of {min(sizes)} sites or more {min(sizes)} 个以上站点之和",
                    "message": kind.kind,
                    "count": len(sizes),
                    "bytes": 0,
                    "reveals": english,
                    "reveals_zh": chinese,
                }
            )
        return rows
