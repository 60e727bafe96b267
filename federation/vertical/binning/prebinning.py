"""How a party cuts its own features before anything is said, and how it wants them merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from models.errors import DataError
from models.table import Table
from models.woe.fitting import METHODS
from models.woe.prebins import PrebinRules, Prebins, fit_prebins


@dataclass(frozen=True, slots=True, kw_only=True)
class Prebinning:
    """A party's own rules; nobody else sees them, but for the trends, which the guest is told.

    Attributes:
        rules: how fine prebins are.
        cut_points: column → upper bounds of all but its last prebin, instead of looking for them.
        special_codes: column → values that are no measurements, each kept apart.
        trends: column → method of ``models.woe.fitting`` by which to merge it, instead of the run's.
    """

    rules: PrebinRules = field(default_factory=PrebinRules)
    cut_points: Mapping[str, Sequence[float]] = field(default_factory=dict)
    special_codes: Mapping[str, Sequence[float]] = field(default_factory=dict)
    trends: Mapping[str, str] = field(default_factory=dict)

    def fit(self, table: Table, floor: int = 1) -> tuple[Prebins, ...]:
        """Prebins of every column.

        Args:
            table: the rows to fit.
            floor: fewest rows of a regular prebin that is looked for.

        Raises:
            DataError: ``trend_unknown`` naming the column; and as ``fit_prebins``.
        """
        for name, trend in self.trends.items():
            if name not in table.columns or trend not in METHODS:
                raise DataError(
                    "trend_unknown",
                    f"The trend wished for '{name}' cannot be used: the table must have that column, and the trend be "
                    f"one of {', '.join(METHODS)}.",
                    f"为“{name}”期望的趋势无法使用：表中须有该列，趋势须为 {'、'.join(METHODS)} 之一。",
                )
        rules = replace(self.rules, min_count=max(self.rules.min_count, floor))
        return fit_prebins(table, rules, self.cut_points, self.special_codes)

    def check(self, table: Table) -> None:
        """That the columns named here can be cut and merged so. Raises as ``fit``."""
        named = {*self.cut_points, *self.special_codes, *self.trends}
        self.fit(table.select(tuple(name for name in table.columns if name in named)))

    def trend(self, name: str) -> str:
        """The wish for a column; "" without one."""
        return self.trends.get(name, "")
