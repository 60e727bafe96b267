"""What WOE binning results in: the map from prebin codes to WOE, and the binning table that people read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from models.binning import Codes
from models.errors import ModelError
from models.losses import Floats
from models.woe.merging import Group, Totals, join

FORMAT: Final = 1

#: Prebin codes → what their rows have in common.
Describe = Callable[[Sequence[int]], str]

#: What is particular about a bin: it has rows of one class only, so that its WOE is smoothed; it is too small for a WOE
#: of its own, so that its WOE is 0; it has no rows, so that its WOE is 0.
Note = Literal["", "smoothed", "small", "empty"]

#: What a person should know about a feature before using it:
#: ``all_missing``: no row has a regular value; ``constant``: all regular rows lie in one prebin; ``contradicted``: the
#: data contradict the monotone direction throughout, one regular bin is left; ``one_bin``: one regular bin is left for
#: another reason (limits, too little gain); ``separates``: every regular prebin is of one class, and both occur: the
#: feature may know the label.
Flag = Literal["all_missing", "constant", "contradicted", "one_bin", "separates"]


@dataclass(frozen=True, slots=True)
class WoeBins:
    """Final bins of one feature.

    Attributes:
        name: the feature.
        bin_of: prebin code → final bin.
        woe: final bin → WOE; finite.
        unseen_woe: WOE of every code beyond ``bin_of``, such as a category level never seen before.
    """

    name: str
    bin_of: tuple[int, ...]
    woe: tuple[float, ...]
    unseen_woe: float = 0.0

    @property
    def n_bins(self) -> int:
        return len(self.woe)

    def members(self) -> tuple[tuple[int, ...], ...]:
        """Prebin codes of each final bin, ascending."""
        members: list[list[int]] = [[] for _ in self.woe]
        for code, final in enumerate(self.bin_of):
            members[final].append(code)
        return tuple(map(tuple, members))

    def transform(self, codes: Codes) -> Floats:
        """WOE of each row, float64, in the shape of ``codes``."""
        values = np.array([*(self.woe[final] for final in self.bin_of), self.unseen_woe], dtype=np.float64)
        return values[np.minimum(codes, len(self.bin_of), dtype=np.intp)]

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> WoeBins:
        """Exactly what ``to_json`` was given. Raises ``ModelError`` with code ``woe_unreadable``."""
        try:
            fields = {"bin_of": tuple(data["bin_of"]), "woe": tuple(data["woe"])}
            bins = cls(str(data["name"]), **fields, unseen_woe=data["unseen_woe"])
            sound = (
                data["format"] == FORMAT
                and all(type(final) is int for final in bins.bin_of)
                and sorted(set(bins.bin_of)) == list(range(bins.n_bins))
                and all(type(value) is float and math.isfinite(value) for value in (*bins.woe, bins.unseen_woe))
            )
        except (KeyError, TypeError) as error:
            raise _unreadable() from error
        if not sound:
            raise _unreadable()
        return bins


@dataclass(frozen=True, slots=True)
class BinningRow:
    """One bin, or the total.

    Attributes:
        bin: what its rows have in common.
        count, good, bad: rows, those with label 0, those with label 1.
        count_share: of all rows.
        bad_rate: ``None`` for a bin without rows.
        woe: ``None`` in the total.
    """

    variable: str
    bin: str
    count: int
    count_share: float
    good: int
    bad: int
    bad_rate: float | None
    woe: float | None
    information_value: float
    note: Note = ""


@dataclass(frozen=True, slots=True)
class BinningTable:
    """All bins of one feature: regular ones first (numeric: ascending; merged categories: by bad rate), then missing
    and special codes that have a bin of their own.

    Attributes:
        method: as chosen; ``auto`` shows the direction that won.
    """

    variable: str
    method: str
    rows: tuple[BinningRow, ...]
    total: BinningRow
    flags: tuple[Flag, ...] = ()

    @property
    def information_value(self) -> float:
        return self.total.information_value

    def relabelled(self, labels: Sequence[str]) -> BinningTable:
        """The table with other names of its bins, as given by the party that knows their cut points."""
        rows = tuple(replace(row, bin=label) for row, label in zip(self.rows, labels, strict=True))
        return replace(self, rows=rows)

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> BinningTable:
        """Exactly what ``to_json`` was given. Raises ``ModelError`` with code ``woe_unreadable``."""
        try:
            if data["format"] != FORMAT:
                raise _unreadable()
            rows = tuple(BinningRow(**row) for row in data["rows"])
            total = BinningRow(**data["total"])
            return cls(data["variable"], data["method"], rows, total, tuple(data["flags"]))
        except (KeyError, TypeError) as error:
            raise _unreadable() from error


def tabulate(
    name: str,
    method: str,
    finals: Sequence[tuple[Group, Note]],
    flags: tuple[Flag, ...],
    totals: Totals,
    describe: Describe,
) -> BinningTable:
    """The table of final bins; WOE and information value of a bin noted as small or empty are 0."""
    n_rows = totals.goods + totals.bads

    def row(label: str, g: Group, woe: float | None, information_value: float, note: Note = "") -> BinningRow:
        rate = g.bads / g.count if g.count else None
        return BinningRow(name, label, g.count, g.count / n_rows, g.goods, g.bads, rate, woe, information_value, note)

    def measured(g: Group, note: Note) -> tuple[float, float]:
        return (0.0, 0.0) if note in {"small", "empty"} else (totals.woe(g), totals.information_value(g))

    rows = tuple(row(describe(sorted(g.codes)), g, *measured(g, note), note) for g, note in finals)
    total = row("total", join([g for g, _ in finals]), None, sum(r.information_value for r in rows))
    return BinningTable(name, method, rows, total, flags)


def ranked_auc(goods: Sequence[int], bads: Sequence[int]) -> float:
    """AUC of ranking rows by the bad rate of their bin, 0.5 to 1; both classes occur."""
    good, bad = np.array(goods, dtype=np.float64), np.array(bads, dtype=np.float64)
    rate = np.divide(bad, good + bad, out=np.zeros(len(bad)), where=good + bad > 0)
    order = np.argsort(-rate, kind="stable")
    good, bad = good[order] / good.sum(), bad[order] / bad.sum()
    return float(np.sum(good * (np.cumsum(bad) - bad / 2)))


def _unreadable() -> ModelError:
    return ModelError(
        "woe_unreadable",
        "Stored WOE bins lack fields or have wrong ones. Fit them again or restore the file.",
        "存储的 WOE 分箱缺少字段或字段有误，请重新分箱或恢复文件。",
    )
