"""Messages of horizontal prebinning: the coordinator names places on a public grid, sites contribute counts."""

from __future__ import annotations

from dataclasses import dataclass

from federation.messages import Message

#: name, whether a category, levels, special codes
ColumnFields = tuple[str, bool, tuple[str, ...], tuple[float, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Message, kind="horizontal.prebinning.open"):
    """Coordinator → site. ``columns``: what is agreed of each beforehand; ``most_rows``: no site may have more, so that
    sums are known to fit; ``n_rounds``: of the search for cut points, each over rows of its own.

    Reveals to site: columns, their levels and special codes.
    向站点透露：列、类别取值与特殊值。
    """

    columns: tuple[ColumnFields, ...]
    most_rows: int
    n_rounds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Message, kind="horizontal.prebinning.opened"):
    """Site → coordinator. Its table has these columns.

    Reveals to coordinator: that it has.
    向协调方透露：该站点具有这些列。
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Search(Message, kind="horizontal.prebinning.search"):
    """Coordinator → site. Contribute, over the rows of round ``round``, how many lie between ``bounds``: per numeric
    column ascending places on the grid. Missing values and special codes lie nowhere.

    Reveals to site: about where quantiles over all sites lie.
    向站点透露：全部站点合计分位点的大致位置。
    """

    round: int
    bounds: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Message, kind="horizontal.prebinning.count"):
    """Coordinator → site. Contribute goods, then bads, over all rows, per prebin of each column: between ``cuts``,
    places on the grid, or per level and of all other levels; then missing, then special codes.

    Reveals to site: cut points of prebins.
    向站点透露：预分箱切点。
    """

    cuts: tuple[tuple[int, ...], ...]
