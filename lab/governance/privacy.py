"""How much a project has learnt of counts, in epsilon: booked before noise is drawn, refused beyond its total.

Each release is noted with its epsilon per feature and its number of features; an applicant is in one bin of each, so
features add up, and so do releases (``models.noise.spent``). The period is that of the project's other budgets: it ends
now, and what was released before it counts no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, insert, select, update

from lab.errors import GovernanceError
from lab.governance.policy import Terms
from lab.governance.tables import NOISE_SPENT, PROJECTS
from models.noise import spent

#: What rounding adds to a sum of many small numbers is no reason to refuse the last.
_DUST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Spent:
    """Attributes:
    n_features: of the release.
    epsilon: of the release, all its features together.
    in_period: of all releases in the period that ends with this one.
    """

    n_features: int
    epsilon: float
    in_period: float


@dataclass(frozen=True, slots=True)
class PrivacyBook:
    """Over the node's store."""

    engine: Engine

    def spend(self, project: str, terms: Terms, n_features: int, at: datetime) -> Spent:
        """Book one release of ``terms.epsilon`` per feature.

        Raises:
            GovernanceError: ``epsilon_spent`` if it is more than is left; then nothing is booked.
        """
        assert terms.epsilon is not None
        row = {"project": project, "at": _utc(at), "epsilon": terms.epsilon, "n_features": n_features}
        with self.engine.begin() as connection:
            # As in PolicyBook.admit: the row of the project is held, so two at once cannot both have the last of it.
            same = PROJECTS.c.status
            connection.execute(update(PROJECTS).where(PROJECTS.c.project == project).values(status=same))
            connection.execute(insert(NOISE_SPENT), [row])
            found = Spent(n_features, spent([(terms.epsilon, n_features)]), self._spent(connection, project, terms, at))
            _check(project, terms, found.epsilon, found.in_period)
        return found

    def left(self, project: str, terms: Terms, at: datetime) -> float:
        """Epsilon that the project may still spend in the period that ends now; 0 at least."""
        assert terms.epsilon_total is not None
        with self.engine.connect() as connection:
            return max(0.0, terms.epsilon_total - self._spent(connection, project, terms, at))

    def dry_run(self, project: str, terms: Terms, n_features: int, at: datetime) -> GovernanceError | None:
        """What ``spend`` would say; nothing is booked."""
        assert terms.epsilon is not None
        with self.engine.connect() as connection:
            before = self._spent(connection, project, terms, at)
        wanted = spent([(terms.epsilon, n_features)])
        try:
            _check(project, terms, wanted, before + wanted)
        except GovernanceError as error:
            return error
        return None

    @staticmethod
    def _spent(connection: Connection, project: str, terms: Terms, at: datetime) -> float:
        since = _utc(at) - timedelta(days=terms.period_days)
        columns = select(NOISE_SPENT.c.epsilon, NOISE_SPENT.c.n_features)
        rows = connection.execute(columns.where(NOISE_SPENT.c.project == project, NOISE_SPENT.c.at > since))
        return spent((row.epsilon, row.n_features) for row in rows)


def _check(project: str, terms: Terms, wanted: float, with_it: float) -> None:
    total = terms.epsilon_total
    assert total is not None
    left = max(0.0, total - with_it + wanted)
    if with_it > total * (1 + _DUST):
        raise GovernanceError(
            "epsilon_spent",
            f"Project {project} may spend an epsilon of {total:g} in {terms.period_days} days; this run needs "
            f"{wanted:g}, and {left:g} is left. Nothing was released. Use fewer features, wait, or approve a project "
            "with other terms.",
            f"项目 {project} 在 {terms.period_days} 天内的隐私预算 ε 为 {total:g}，本次运行需要 {wanted:g}，"
            f"剩余 {left:g}。未披露任何内容。请减少特征、等待，或另行审批条款不同的项目。",
        )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
