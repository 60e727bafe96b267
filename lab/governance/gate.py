"""The one door between a data node's tables and any run: catalogue, sources, project and consent, in that order.

Nothing is computed, and no ciphertext made, before a table has come through. What comes out holds only columns that
cite an item and rows whose subjects consent at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from lab.errors import GovernanceError
from lab.governance.catalogue import Catalogue, Cited, cite, load_catalogue
from lab.governance.consents import ConsentLedger
from lab.governance.lines import read_file
from lab.governance.policy import CHINA, Algorithm, PolicyBook, Terms, Use
from lab.governance.privacy import PrivacyBook, Spent
from lab.governance.quality import QualityRules, SourceQuality, SourceReport, judge
from lab.governance.records import RecordBook, feature_names
from lab.governance.settings import NodeSettings, RecordFeatures, load_settings
from lab.governance.store import open_store
from models.table import Column, Table

Clock = Callable[[], datetime]


def now() -> datetime:
    """The present moment, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """For what a table is asked for.

    Attributes:
        project: of ``policy``.
        party: who asks.
        purpose: as consents name it.
    """

    project: str
    party: str
    purpose: str
    algorithm: Algorithm


@dataclass(frozen=True, slots=True)
class Admitted:
    """What came through.

    Attributes:
        cited: what the columns are.
        terms: of the project.
        n_without_consent: rows that stayed behind.
        flagged: sources that fall short of the aim but may be used.
    """

    table: Table
    cited: Cited
    terms: Terms
    n_without_consent: int
    flagged: tuple[SourceQuality, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """Attributes:
    citations: column → item of the catalogue.
    reports: of the sources; a source without one is not judged.
    clock: the present moment; tests set it.
    records: what is made of the node's credit records.
    """

    engine: Engine
    catalogue: Catalogue
    citations: Mapping[str, str]
    reports: Sequence[SourceReport] = ()
    rules: QualityRules = field(default_factory=QualityRules)
    clock: Clock = now
    records: RecordFeatures = field(default_factory=RecordFeatures)

    @classmethod
    def at(cls, node: Path, clock: Clock = now) -> Self:
        """The gate of a node's folder. Raises ``GovernanceError``, as ``settings``, ``catalogue`` and ``store``."""
        settings: NodeSettings = load_settings(node)
        reports = read_file(SourceReport, settings.reports) if settings.reports else []
        return cls(
            open_store(settings.store),
            load_catalogue(settings.catalogue),
            settings.citations,
            reports,
            settings.quality,
            clock,
            settings.records,
        )

    def admit(self, table: Table, asked: Asked) -> Admitted:
        """What of ``table`` may be used. The budgets of the project pay for the rows that come through, and for
        nothing if none may.

        Raises:
            GovernanceError: as ``catalogue.cite`` and ``policy.PolicyBook.admit``; ``source_blocked`` naming sources
                that are not good enough; ``no_consent`` if no subject consents.
        """
        cited = self.cite(table)
        flagged = self._sources(cited)
        self.check(asked)  # nothing is looked up for who may not ask
        allowed = self.permitted(table.ids, asked, cited)
        if not allowed.any():
            raise GovernanceError(
                "no_consent",
                f"None of the {len(table)} subjects consents to '{asked.purpose}' by {asked.party} now.",
                f"{len(table)} 个主体中无一在当前时点授权 {asked.party} 用于“{asked.purpose}”。",
            )
        found = self.with_records(table.take(np.flatnonzero(allowed)))
        return Admitted(found, cited, self.use(asked, len(found)), len(table) - len(found), flagged)

    def with_records(self, table: Table, *, today: bool = False) -> Table:
        """The table with features of its subjects' records in place of the column that dates them.

        Args:
            today: as of today, whatever that column says.

        Raises:
            GovernanceError: ``as_of_missing`` without that column: today's records would tell a past row its future;
                ``as_of_unreadable`` for one that holds no days.
        """
        if not self.records.items:
            return table
        kept = self._features(table)
        used_on = self.clock().astimezone(CHINA).date()
        dated = None if today else self.records.as_of
        if dated is not None and dated not in table.columns:
            raise GovernanceError(
                "as_of_missing",
                f"The node's file has no column {dated}, which dates its records. Add it, or mend [records] as_of.",
                f"节点数据文件缺少记录时点列 {dated}，请补充该列，或修改 [records] as_of。",
            )
        as_of = [used_on] * len(table) if dated is None else _days(table.columns[dated])
        made = RecordBook(self.engine).features(table.ids, as_of, used_on, self.records.items)
        return Table(table.ids, {**kept.columns, **made})

    def _features(self, table: Table) -> Table:
        """Without the column that dates records."""
        return table.select(tuple(name for name in table.columns if name != self.records.as_of))

    def cite(self, table: Table) -> Cited:
        """What its columns, and those made of records, are. Raises as ``catalogue.cite``."""
        cited = cite(self._features(table), self.citations, self.catalogue)
        if not self.records.items:
            return cited
        made = {name: item for item in self.records.items for name in feature_names(item)}
        of_records = cite(Table((), {name: np.empty(0) for name in made}), made, self.catalogue)
        return Cited(cited.version, {**cited.items, **of_records.items})

    def check(self, asked: Asked) -> None:
        """Whether the project may ask at this moment, its budgets aside. Raises as ``policy.PolicyBook.check``."""
        PolicyBook(self.engine).check(self._use(asked, 0))

    def use(self, asked: Asked, n_rows: int) -> Terms:
        """The terms on which so many rows may be used now; noted. Raises as ``policy.PolicyBook.admit``."""
        return PolicyBook(self.engine).admit(self._use(asked, n_rows))

    def spend(self, asked: Asked, terms: Terms, n_features: int) -> Spent:
        """Book the release of counts of so many features, with noise. Raises as ``privacy.PrivacyBook.spend``."""
        return PrivacyBook(self.engine).spend(asked.project, terms, n_features, self.clock())

    def _use(self, asked: Asked, n_rows: int) -> Use:
        return Use(
            project=asked.project,
            party=asked.party,
            purpose=asked.purpose,
            algorithm=asked.algorithm,
            n_rows=n_rows,
            at=self.clock(),
        )

    def permitted(self, subjects: Sequence[str], asked: Asked, cited: Cited) -> NDArray[np.bool_]:
        """Which subjects consent at this moment, in order: asked anew for every use."""
        ledger = ConsentLedger(self.engine)
        return ledger.allowed(subjects, party=asked.party, purpose=asked.purpose, scopes=cited.scopes, at=self.clock())

    def consents(self, subjects: Sequence[str], asked: Asked, cited: Cited) -> list[str]:
        """Numbers of the consents by which these subjects are permitted at this moment."""
        ledger = ConsentLedger(self.engine)
        return ledger.used(subjects, party=asked.party, purpose=asked.purpose, scopes=cited.scopes, at=self.clock())

    def _sources(self, cited: Cited) -> tuple[SourceQuality, ...]:
        used = {item.source for item in cited.items.values()}
        judged = judge((r for r in self.reports if r.source in used), self.rules, self.clock().date())
        blocked = [f"{q.source} ({', '.join(q.why)})" for q in judged if q.verdict == "blocked"]
        if blocked:
            raise GovernanceError(
                "source_blocked",
                f"These sources are not good enough to be used: {'; '.join(blocked)}. Drop their columns or wait.",
                f"以下数据源质量未达标，不可使用：{'；'.join(blocked)}。请剔除相关列或待其改进。",
            )
        return tuple(q for q in judged if q.verdict == "flagged")


def _days(column: Column) -> list[date]:
    """Days written YYYY-MM-DD, or YYYYMMDD as text or number."""
    try:
        return [date.fromisoformat(v if isinstance(v, str) else f"{int(v):08d}") for v in column.tolist()]
    except (TypeError, ValueError):
        raise GovernanceError(
            "as_of_unreadable",
            "The column that dates records holds something else than days. Write them as YYYY-MM-DD.",
            "记录时点列含有非日期内容，请按 YYYY-MM-DD 填写。",
        ) from None
