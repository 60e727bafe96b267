"""What a data node allows whom: projects with purposes, parties, algorithms, budgets and hours; approved, stopped.

Asked before anything is read. Every use that was allowed is counted, and budgets are kept by these counts: for each
consumer its own, so that none lives at another's expense.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, Date, Engine, Row, bindparam, func, insert, select, text, update

from federation.audit.heads import canonical
from lab.errors import GovernanceError
from lab.governance.consents import Name
from lab.governance.store import counting
from lab.governance.tables import PROJECTS, USES
from models.noise import LEAST_EPSILON, MOST_EPSILON

#: ``shadow``: scores of a model on trial, of which nobody is told.
Algorithm = Literal["boosting", "scorecard", "averaging", "scoring", "shadow"]
Status = Literal["proposed", "approved", "suspended", "stopped"]

CHINA: Final = timezone(timedelta(hours=8))

#: From which states a project may be brought into one. What was stopped stays stopped.
DECISIONS: Final[dict[Status, tuple[Status, ...]]] = {
    "approved": ("proposed", "suspended"),
    "suspended": ("approved",),
    "stopped": ("proposed", "approved", "suspended"),
}


class Terms(BaseModel):
    """What a project may do.

    Attributes:
        parties: who may ask.
        purposes: as consents name them.
        algorithms: which protocols.
        min_rows_per_bin, min_rows: floors, never below the node's own. No side of a cut of a tree that this node makes
            has fewer rows than the first.
        epsilon: of the noise on goods and bads per bin, per feature of a scorecard (``models.noise``), 0.1 to 20; None:
            no noise. With it nothing is told of how features moved. Trees have no noise.
        epsilon_total: most that all releases may spend together per period; goes with ``epsilon``.
        share_levels: whether a bank may learn which unnamed cuts are levels of one category.
        period_days: of the budgets: today and the days before, in China Standard Time.
        max_uses, max_rows: most sessions or scoring calls of each consumer, and most rows of all of its together, per
            period.
        hours: first and last hour of the day, in China Standard Time, within which it may ask; (0, 24): always.
        ends: no use from then on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    parties: Annotated[list[Name], Field(min_length=1, max_length=100)]
    purposes: Annotated[list[Name], Field(min_length=1, max_length=100)]
    algorithms: Annotated[list[Algorithm], Field(min_length=1)]
    min_rows_per_bin: int = Field(default=10, ge=1)
    min_rows: int = Field(default=100, ge=1)
    share_levels: bool = True
    epsilon: float | None = Field(default=None, ge=LEAST_EPSILON, le=MOST_EPSILON)
    epsilon_total: float | None = Field(default=None, gt=0, le=1e6)
    period_days: int = Field(default=30, ge=1, le=3660)
    max_uses: int = Field(default=100, ge=0)
    max_rows: int = Field(default=10_000_000, ge=0)
    hours: tuple[Annotated[int, Field(ge=0, le=24)], Annotated[int, Field(ge=0, le=24)]] = Field((0, 24), strict=False)
    ends: Annotated[datetime | None, Field(strict=False)] = None

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.hours[0] >= self.hours[1]:
            raise ValueError("hours must begin before they end / 时段起点须早于终点")
        if (self.epsilon is None) != (self.epsilon_total is None):
            raise ValueError("epsilon and epsilon_total go together / epsilon 与 epsilon_total 须同时给出")
        if self.ends and self.ends.tzinfo is None:
            raise ValueError("ends needs a time zone / ends 须带时区")
        return self


def terms_text(project: str, terms: Terms) -> bytes:
    """What a project may do, in the one form that audit logs hold a digest of."""
    told = terms.model_dump(mode="json")
    if terms.epsilon is None:  # terms of before have the digest they had
        told = {name: value for name, value in told.items() if name not in ("epsilon", "epsilon_total")}
    return canonical({"project": project, "terms": told})


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One use that is asked for. ``n_rows``: as many as it may concern."""

    project: str
    party: str
    purpose: str
    algorithm: Algorithm
    n_rows: int
    at: datetime


class Counted(NamedTuple):
    """Uses and rows of one consumer under one project, in the period that ends now."""

    uses: int
    rows: int


# Written once: to put a statement together takes longer than to run it.
_WANTED: Final = PROJECTS.c.project == bindparam("wanted")
_ROW: Final = select(PROJECTS.c.status, PROJECTS.c.terms).where(_WANTED)
_HELD: Final = (
    update(PROJECTS).where(_WANTED).values(status=PROJECTS.c.status).returning(PROJECTS.c.status, PROJECTS.c.terms)
)
_NOTED: Final = text(
    "INSERT INTO uses (project, party, day, n_uses, n_rows) VALUES (:project, :party, :day, 1, :n_rows) "
    "ON CONFLICT (project, party, day) "
    "DO UPDATE SET n_uses = uses.n_uses + 1, n_rows = uses.n_rows + excluded.n_rows"
).bindparams(bindparam("day", type_=Date))
_SPENT: Final = select(func.coalesce(func.sum(USES.c.n_uses), 0), func.coalesce(func.sum(USES.c.n_rows), 0)).where(
    USES.c.project == bindparam("project"),
    USES.c.party == bindparam("party"),
    USES.c.day > bindparam("before"),
    USES.c.day <= bindparam("until"),
)


@dataclass(frozen=True, slots=True)
class PolicyBook:
    """Over the node's store."""

    engine: Engine

    def propose(self, project: str, terms: Terms, by: str, at: datetime) -> None:
        """Write down a project that is to be decided on. Raises ``GovernanceError`` (``project_exists``)."""
        row = {
            "project": project,
            "status": "proposed",
            "terms": terms.model_dump_json(),
            "decided_by": by,
            "decided": _utc(at),
        }
        with self.engine.begin() as connection:
            if connection.execute(select(PROJECTS.c.project).where(PROJECTS.c.project == project)).first():
                raise GovernanceError(
                    "project_exists",
                    f"Project {project} exists. Propose another one; terms are not changed afterwards.",
                    f"项目 {project} 已存在。条款不可事后修改，请另立项目。",
                )
            connection.execute(insert(PROJECTS), [row])

    def decide(self, project: str, status: Status, by: str, at: datetime) -> None:
        """Approve, suspend or stop a project; it counts from the next request on.

        Raises:
            GovernanceError: ``project_unknown``; ``project_decision`` for what cannot be decided as it stands.
        """
        before = self.status(project)
        if before not in DECISIONS.get(status, ()):
            raise GovernanceError(
                "project_decision",
                f"Project {project} is {before}; it cannot become {status}.",
                f"项目 {project} 当前为 {before}，不能变更为 {status}。",
            )
        changed = update(PROJECTS).where(PROJECTS.c.project == project, PROJECTS.c.status == before)
        with self.engine.begin() as connection:
            connection.execute(changed.values(status=status, decided_by=by, decided=_utc(at)))

    def status(self, project: str) -> Status:
        """Raises ``GovernanceError`` (``project_unknown``)."""
        return self._row(project)[0]

    def terms(self, project: str) -> Terms:
        """Raises ``GovernanceError`` (``project_unknown``)."""
        return self._row(project)[1]

    def check(self, use: Use) -> Terms:
        """The terms that the use would be allowed on, whatever is left of its budgets; nothing is noted. Raises as
        ``admit``, but for ``budget_spent``."""
        status, terms = self._row(use.project)
        self._check(use, status, terms)
        return terms

    def admit(self, use: Use) -> Terms:
        """The terms that the use is allowed on; it is noted with them.

        Raises:
            GovernanceError: ``project_unknown``, ``project_not_approved``, ``party_not_allowed``,
                ``purpose_not_allowed``, ``algorithm_not_allowed``, ``out_of_hours``, ``project_ended``,
                ``budget_spent``.
        """
        noting = counting(self.engine) if use.algorithm in ("scoring", "shadow") else self.engine.begin()
        with noting as connection:
            # The row of the project is held first: two that ask at once cannot both have the last of a budget.
            status, terms = _read(use.project, connection.execute(_HELD, {"wanted": use.project}).first())
            self._check(use, status, terms)
            noted = {"project": use.project, "party": use.party, "day": _day(use.at), "n_rows": use.n_rows}
            connection.execute(_NOTED, noted)
            spent = self._spent(connection, use, terms)
            if spent.uses > terms.max_uses or spent.rows > terms.max_rows:
                raise _no(
                    "budget_spent",
                    f"{use.party} has used up its budget of {terms.max_uses:,} uses or {terms.max_rows:,} rows in "
                    f"{terms.period_days} days under project {use.project}.",
                    f"{use.party} 在项目 {use.project} 下 {terms.period_days} 天内的额度已用尽"
                    f"（{terms.max_uses:,} 次或 {terms.max_rows:,} 行）。",
                )
        return terms

    def dry_run(self, use: Use) -> tuple[GovernanceError | None, Counted]:
        """What ``admit`` would say, and what is left of the budgets; nothing is noted."""
        status, terms = self._row(use.project)
        with self.engine.connect() as connection:
            spent = self._spent(connection, use, terms)
        left = Counted(terms.max_uses - spent.uses, terms.max_rows - spent.rows)
        try:
            self._check(use, status, terms)
        except GovernanceError as error:
            return error, left
        if left.uses < 1 or left.rows < use.n_rows:
            return _no("budget_spent", "The budget would not do.", "额度不足。"), left
        return None, left

    def _check(self, use: Use, status: Status, terms: Terms) -> None:
        if status != "approved":
            raise _no(
                "project_not_approved",
                f"Project {use.project} is {status}.",
                f"项目 {use.project} 当前状态为 {status}。",
            )
        for code, asked, allowed, what in (
            ("party_not_allowed", use.party, terms.parties, "参与方"),
            ("purpose_not_allowed", use.purpose, terms.purposes, "用途"),
            ("algorithm_not_allowed", use.algorithm, terms.algorithms, "算法"),
        ):
            if asked not in allowed:
                raise _no(
                    code,
                    f"Project {use.project} does not allow {code.partition('_')[0]} '{asked}'.",
                    f"项目 {use.project} 不允许的{what}：{asked}。",
                )
        if terms.ends and use.at >= terms.ends:
            raise _no("project_ended", f"Project {use.project} has ended.", f"项目 {use.project} 已到期。")
        hour = use.at.astimezone(CHINA).hour
        if not terms.hours[0] <= hour < terms.hours[1]:
            raise _no(
                "out_of_hours",
                f"Project {use.project} may ask from {terms.hours[0]} to {terms.hours[1]} o'clock (UTC+8) only.",
                f"项目 {use.project} 仅允许在北京时间 {terms.hours[0]} 时至 {terms.hours[1]} 时之间使用。",
            )

    def _row(self, project: str) -> tuple[Status, Terms]:
        with self.engine.connect() as connection:
            return _read(project, connection.execute(_ROW, {"wanted": project}).first())

    @staticmethod
    def _spent(connection: Connection, use: Use, terms: Terms) -> Counted:
        """In the period whose last day is that of the use."""
        until = _day(use.at)
        before = until - timedelta(days=terms.period_days)
        asked = {"project": use.project, "party": use.party, "before": before, "until": until}
        n_uses, n_rows = connection.execute(_SPENT, asked).one()
        return Counted(int(n_uses), int(n_rows))


def _read(project: str, row: Row[Any, Any] | None) -> tuple[Status, Terms]:
    if row is None:
        raise _no("project_unknown", f"There is no project {project}.", f"不存在项目 {project}。")
    return row.status, _terms(row.terms)


@lru_cache(maxsize=256)
def _terms(told: str) -> Terms:
    return Terms.model_validate(json.loads(told))


def algorithm_of(name: str) -> Algorithm:
    """Raises ``GovernanceError`` (``algorithm_unknown``)."""
    for known in get_args(Algorithm):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise _no(
        "algorithm_unknown",
        f"There is no algorithm '{name}': use {', '.join(get_args(Algorithm))}.",
        f"不存在算法“{name}”，请使用 {'、'.join(get_args(Algorithm))}。",
    )


def _no(code: str, english: str, chinese: str) -> GovernanceError:
    return GovernanceError(code, english, chinese)


def _day(moment: datetime) -> date:
    return moment.astimezone(CHINA).date()


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
