"""Messages of the horizontal scorecard's fit: the coordinator names coefficients, sites contribute sums there."""

from __future__ import annotations

from dataclasses import dataclass

from federation.horizontal.boosting.messages import FeatureFields
from federation.messages import Message

#: bins of its prebins, special codes; final bin of each prebin, WOE of each final bin, WOE of what never occurred
WoeFields = tuple[FeatureFields, tuple[float, ...], tuple[int, ...], tuple[float, ...], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="horizontal.scorecard.open"):
    """Coordinator → site. ``features``: from column to WOE; ``most_rows``: no site may have more, so that sums are
    known to fit.

    Reveals to site: bins and their WOE over all sites, from which the odds of a bin, against those of all rows, follow.
    向站点透露：全部站点合计的分箱及 WOE，由此可知各箱相对总体的好坏比。
    """

    model_id: str
    features: tuple[WoeFields, ...]
    most_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Message, kind="horizontal.scorecard.opened"):
    """Site → coordinator. Its table has these columns.

    Reveals to coordinator: that it has.
    向协调方透露：该站点具有这些列。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Message, kind="horizontal.scorecard.step"):
    """Coordinator → site. Contribute the loss of your rows at ``coefficients``, the intercept first, of the features at
    ``places`` among those opened, and its first and second derivatives: fixed-point integers in units of 2**-32.

    Reveals to site: where the fit stands.
    向站点透露：拟合的当前位置。
    """

    places: tuple[int, ...]
    coefficients: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Message, kind="horizontal.scorecard.finish"):
    """Coordinator → site. ``scorecard``: the finished one, as JSON.

    Reveals to site: the model, mean WOE over all sites with it.
    向站点透露：模型，包括全部站点合计的平均 WOE。
    """

    scorecard: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Message, kind="horizontal.scorecard.finished"):
    """Site → coordinator. It has the scorecard.

    Reveals to coordinator: that it has.
    向协调方透露：该站点已收到评分卡。
    """
