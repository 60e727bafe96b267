"""Cohorts of a run's loans by booking period: from columns of its file that say when they began and defaulted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from lab.config_party import Party
from lab.data.sources import read_frame
from lab.errors import ConfigError
from lab.jobs import GuestJob, load_job, node_directory
from models.errors import DataError
from models.losses import Floats
from models.validation.vintage import Triangle, vintage_triangle

#: Name → months of one booking period; the first that makes few enough cohorts is taken.
PERIODS: Final = {"month": 1, "quarter": 3, "year": 12}
MAX_COHORTS: Final = 16
MAX_COLUMNS: Final = 12
STEPS: Final = (1, 3, 6, 12)
_DATE: Final = r"^(\d{4})(?:[-/.]?(\d{2})(?:[-/.]?\d{2})?)?(?:[ T].*)?$"


@dataclass(frozen=True, slots=True)
class CohortReport:
    """Cumulative default rates per cohort.

    Attributes:
        period: ``"month"``, ``"quarter"`` or ``"year"`` of booking.
        as_of: last month observed, ``YYYY-MM``.
        months: on book, of each column.
        names: of each cohort, in order of time.
        sizes: loans of each; None with fewer than ``minimum``.
        triangle: per cohort, per column.
        minimum: fewest loans behind a rate.
        n_label_only: loans labelled as defaults without a date of default.
        n_date_only: loans with a date of default labelled as none, say because it came after the label's window.
    """

    period: str
    as_of: str
    months: tuple[int, ...]
    names: tuple[str, ...]
    sizes: tuple[int | None, ...]
    triangle: Triangle
    minimum: int
    n_label_only: int
    n_date_only: int


def cohorts_of_run(
    run: Path,
    result: dict[str, Any],
    default_column: str,
    open_column: str | None = None,
    as_of: str | None = None,
    minimum: int = 50,
) -> CohortReport:
    """Cohorts of all applicants of a run.

    Args:
        default_column: date of default, or months from booking to default; empty where there is none.
        open_column: date of booking; the run's time column by default. Dates are ``YYYY-MM-DD``, ``YYYYMMDD``,
            ``YYYY-MM``, ``YYYYMM``, or ``YYYY`` for a booking.
        as_of: last month observed, as a date; by default the latest that the columns tell.

    Raises:
        ConfigError: ``column_missing``, ``open_missing``.
        DataError: ``bad_date``, ``bad_months``; ``applicants_missing``: the bank's file is not as it was.
    """
    bank = node_directory(run, result["guest"])
    job = load_job(bank / "job.json")
    assert isinstance(job, GuestJob)
    open_column = open_column or job.split.time_column
    if open_column is None:
        raise ConfigError(
            "open_missing",
            "Cohorts need a date of booking: name its column with --vintage-open.",
            "账龄分析需要放款日期：请用 --vintage-open 指定该列。",
        )
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    frame = _rows(job.party, scores["id"], (default_column, open_column))
    label = scores["label"].to_numpy(dtype=np.float64)
    return cohort_report(frame[open_column], frame[default_column], label, as_of, minimum)


def cohort_report(
    opened: pd.Series, default: pd.Series, label: Floats, as_of: str | None = None, minimum: int = 50
) -> CohortReport:
    """Cohorts of loans; arguments as of ``cohorts_of_run``."""
    years_only = not _months(opened)[1]
    begun = _all_known(*_months(opened), str(opened.name))
    to_default, dated = _to_default(default, begun)
    if years_only and dated:
        raise DataError(
            "bad_date",
            f"Column '{opened.name}' has years only: months to a date of default cannot be told. Use a finer date, or "
            "months to default.",
            f"列“{opened.name}”仅有年份，无法计算到违约日期的月数。请使用更细的日期，或改用到违约的月数。",
        )
    defaulted = np.isfinite(to_default)
    latest = max(begun.max(), (begun + to_default)[defaulted].max(initial=0))
    last = latest if as_of is None else _all_known(*_months(pd.Series([as_of], name="as-of")), "--vintage-as-of")[0]
    # A year's loans may have begun in its last month: nobody is then taken to be observed for longer than he was.
    observed = last - begun
    to_default = np.where(to_default <= observed, to_default, np.inf)
    kept = observed >= 0
    period, months_of = next(
        (
            (n, m)
            for n, m in PERIODS.items()
            if len(np.unique(begun[kept] // m)) <= MAX_COHORTS and (m == 12 or not years_only)
        ),
        ("year", 12),
    )
    values, cohort = np.unique(begun[kept] // months_of, return_inverse=True)
    step = next((s for s in STEPS if observed.max(initial=0) // s <= MAX_COLUMNS), STEPS[-1])
    n_columns = int(np.clip(observed.max(initial=0) // step, 1, MAX_COLUMNS))
    months = tuple(step * k for k in range(1, n_columns + 1))
    sizes = np.bincount(cohort)
    return CohortReport(
        period=period,
        as_of=f"{int(last) // 12}-{int(last) % 12 + 1:02d}",
        months=months,
        names=tuple(_name(int(v), months_of) for v in values),
        sizes=tuple(int(n) if n >= minimum else None for n in sizes),
        triangle=vintage_triangle(cohort, len(values), to_default[kept], observed[kept], months, minimum=minimum),
        minimum=minimum,
        n_label_only=int(((label == 1) & ~defaulted).sum()),
        n_date_only=int(((label == 0) & defaulted).sum()),
    )


def _rows(party: Party, ids: pd.Series, columns: tuple[str, ...]) -> pd.DataFrame:
    frame = read_frame(party.data, party.id)
    absent = [c for c in columns if c not in frame.columns]
    if absent:
        raise ConfigError(
            "column_missing",
            f"The bank's file has no column {', '.join(absent)}.",
            f"银行文件中没有列 {'、'.join(absent)}。",
        )
    frame = frame.set_index(frame[party.id].astype(str).str.strip())
    n_missing = int((~ids.isin(frame.index)).sum())
    if n_missing:
        raise DataError(
            "applicants_missing",
            f"{n_missing} applicants of the run are no longer in the bank's file. Restore the file of the run.",
            f"运行中的 {n_missing} 名申请人已不在银行文件中，请恢复当时的数据文件。",
        )
    return frame.loc[ids, list(columns)]


def _months(values: pd.Series) -> tuple[Floats, bool]:
    """Months since year 0, NaN where there is no date; and whether all dates have months. A year is its December."""
    texts = values.astype(str).str.strip().str.removesuffix(".0").where(values.notna(), "")
    parts = texts.str.extract(_DATE)
    year, month = (pd.to_numeric(parts[k]).to_numpy(dtype=np.float64) for k in (0, 1))
    has_month = ~np.isnan(month)
    month = np.where(has_month, month, 12.0)
    good = (year >= 1900) & (year <= 2200) & (month >= 1) & (month <= 12)
    found = np.where(good, 12 * year + month - 1, np.nan)
    return found, bool((has_month | np.isnan(found)).all())


def _all_known(found: Floats, _: bool, name: str) -> Floats:
    if np.isnan(found).any():
        raise _bad_date(name, int(np.isnan(found).sum()))
    return found


def _to_default(default: pd.Series, begun: Floats) -> tuple[Floats, bool]:
    """Months from booking to default, infinite where there is none; and whether the column has dates."""
    there = default.notna().to_numpy() & (default.astype(str).str.strip() != "").to_numpy()
    dates, with_months = _months(default)
    if there.any() and not np.isnan(dates[there]).any():
        if not with_months:
            raise _bad_date(str(default.name), int(there.sum()))
        months = np.where(there, dates - begun, np.inf)
        dated = True
    else:
        numbers = pd.to_numeric(default, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isnan(numbers[there]).any():
            raise _bad_date(str(default.name), int(np.isnan(numbers[there]).sum()))
        months, dated = np.where(there, np.floor(numbers), np.inf), False
    n_before = int((months < 0).sum())
    if n_before:
        raise DataError(
            "bad_months",
            f"{n_before} loans default before they begin. Check the columns of booking and default.",
            f"有 {n_before} 笔贷款的违约早于放款，请检查放款与违约两列。",
        )
    return months, dated


def _bad_date(name: str, n_rows: int) -> DataError:
    return DataError(
        "bad_date",
        f"{n_rows} rows of '{name}' have no date that can be read. Write dates as YYYY-MM-DD, YYYYMMDD or YYYY-MM.",
        f"“{name}”有 {n_rows} 行的日期无法识别。请写作 YYYY-MM-DD、YYYYMMDD 或 YYYY-MM。",
    )


def _name(number: int, months: int) -> str:
    first = number * months
    year, month = first // 12, first % 12 + 1
    return {1: f"{year}-{month:02d}", 3: f"{year} Q{(month + 2) // 3}", 12: str(year)}[months]
