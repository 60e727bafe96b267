"""What a public credit centre holds: the register, patents, bids won, and records; and its features as of a day."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import AS_OF, Column, Rows, TableSpec
from lab.data.synthetic.quarters import N_QUARTERS, STARTS, Dates, as_number, day_in
from lab.data.synthetic.records import in_force, severity_on
from lab.data.synthetic.state import DISTRICTS, KINDS, LETTERS, PARKS, SIZES, TOWNS, Enterprises, noise

PATENT_KINDS: Final = ("invention", "utility_model", "design")

ENTERPRISES: Final = TableSpec(
    "host:credit",
    "enterprises",
    "企业登记信息",
    (
        Column("kind", "text", "", "A20", "public", "主体类型", "legal form; cooperatives are farmers'", KINDS),
        Column("industry", "text", "", "A20", "public", "行业门类", "section letter of GB/T 4754", LETTERS),
        Column("size_class", "text", "", "A20", "public", "企业规模", "large to micro, by employees", SIZES),
        Column("district", "text", "", "A54", "public", "所属区县", "six digits of region", DISTRICTS),
        Column("town", "text", "", "A84", "public", "所属街镇", "town or village committee", TOWNS),
        Column("park", "text", "", "A83", "public", "所在园区", "industrial park; most are in none", PARKS),
        Column("registered_on", "date", "", "A20", "public", "成立日期", "day of registration"),
        Column("registered_capital", "int", "CNY", "A20", "public", "注册资本", "as registered"),
        Column("employees", "int", "persons", "A20", "public", "从业人数", "as registered"),
        Column("group_head", "subject", "", "A81", "authorised", "关联集团代表企业", "first of its group, or itself"),
        Column("real_name_verified_on", "date", "", "A54", "authorised", "实名认证日期", "day of verification, if any"),
    ),
)
PATENTS: Final = TableSpec(
    "host:credit",
    "patents",
    "专利授权",
    (
        Column("kind", "text", "", "A21", "public", "专利类型", "kind of patent", PATENT_KINDS),
        Column("granted_on", "date", "", "A21", "public", "授权公告日", "day of grant"),
    ),
)
BIDS: Final = TableSpec(
    "host:credit",
    "bids",
    "公共资源交易中标",
    (
        Column("won_on", "date", "", "A21", "public", "中标日期", "day the award was published"),
        Column("amount", "int", "CNY", "A21", "public", "中标金额", "value of the contract"),
    ),
)
EVALUATIONS: Final = TableSpec(
    "host:credit",
    "evaluations",
    "公共信用综合评价",
    (
        Column("evaluated_on", "date", "", "A20", "authorised", "评价日期", "day the evaluation was published"),
        Column("evaluation", "int", "points", "A20", "authorised", "公共信用评价得分", "0 to 100, higher is better"),
    ),
)
FEATURES: Final = TableSpec(
    "host:credit",
    "features",
    "信用中心特征",
    (
        AS_OF,
        Column("age_years", "float", "years", "A20", "public", "成立年限", "since registration"),
        Column("industry", "text", "", "A20", "public", "行业门类", "section letter of GB/T 4754", LETTERS),
        Column("size_class", "text", "", "A20", "public", "企业规模", "large to micro", SIZES),
        Column("district", "text", "", "A20", "public", "所属区县", "six digits of region", DISTRICTS),
        Column("registered_capital", "int", "CNY", "A20", "public", "注册资本", "as registered"),
        Column("penalties_in_force", "int", "", "A70", "public", "有效行政处罚数", "neither over nor repaired"),
        Column("worst_severity", "int", "", "A71", "public", "有效处罚最重程度", "0 none, 1 minor to 3 serious"),
        Column("days_since_penalty", "int", "days", "A70", "public", "距最近有效处罚天数", "empty: none in force"),
        Column("serious_dishonesty", "int", "", "A108", "public", "严重失信名单", "1: on the list"),
        Column("evaluation", "int", "points", "A20", "authorised", "公共信用评价得分", "latest; empty: none yet"),
        Column("evaluation_change", "int", "points", "A20", "authorised", "评价得分变化", "over the one before"),
        Column("honours", "int", "", "A20", "public", "有效守信荣誉数", "in force"),
        Column("patents_3y", "int", "", "A21", "public", "近三年授权专利数", "granted in three years"),
        Column("bids_won_3y", "int", "", "A21", "public", "近三年中标数", "won in three years"),
        Column("bid_amount_3y", "int", "CNY", "A21", "public", "近三年中标金额", "empty: none won"),
    ),
)

#: Quarterly probability of a patent and of a bid won, by industry letter, for an ordinary enterprise.
_PATENT: Final = np.array([0.002, 0.020, 0.004, 0.001, 0.001, 0.0, 0.030, 0.003, 0.025, 0.002])
_BID: Final = np.array([0.004, 0.020, 0.050, 0.015, 0.010, 0.003, 0.030, 0.015, 0.030, 0.010])
_THREE_YEARS: Final = np.timedelta64(3 * 365, "D")


def draw_patents(e: Enterprises, rng: np.random.Generator) -> Rows:
    """One row per patent granted; younger years grant more."""
    trend = 1 + 0.01 * np.arange(N_QUARTERS)[:, None]
    likely = _PATENT[e.industry] * np.sqrt(e.employees / 10) * np.exp(0.35 * e.business) * trend
    quarter, who = np.nonzero((rng.random(likely.shape, dtype=np.float32) < likely) & e.known)
    kind = rng.choice(3, len(who), p=[0.25, 0.55, 0.2])
    return {"subject": who, "kind": kind, "granted_on": day_in(quarter, rng)}


def draw_bids(e: Enterprises, rng: np.random.Generator) -> Rows:
    """One row per bid won."""
    likely = _BID[e.industry] * np.sqrt(e.employees / 10) * np.exp(0.6 * e.business)
    quarter, who = np.nonzero((rng.random(likely.shape, dtype=np.float32) < likely) & e.known)
    amount = np.exp(e.scale[who] - 2.5 + 0.01 * quarter + rng.normal(0, 0.8, len(who)))
    return {"subject": who, "won_on": day_in(quarter, rng), "amount": 100 * (amount / 100).astype(np.int64)}


def draw_evaluations(e: Enterprises, rng: np.random.Generator) -> Rows:
    """Twice a year, of the quarter before; made from what inspectors see, and not from penalties: a repaired record
    leaves no trace in it."""
    quarters = np.arange(2, N_QUARTERS, 2)
    seen = e.conduct[quarters - 1] + np.float32(0.25) * e.business[quarters - 1]
    points = np.clip(np.rint(72 + 9 * seen + noise(rng, seen.shape, 4.5)), 0, 100)
    known = e.known[quarters - 1]
    half, who = np.nonzero(known)
    day = STARTS[quarters[half]] + 20
    return {"subject": who, "evaluated_on": day, "evaluation": points[known].astype(np.int64)}


def enterprise_rows(e: Enterprises, verified_on: Dates) -> Rows:
    """The register of one block."""
    return {
        "subject": np.arange(len(e)),
        "kind": e.kind,
        "industry": e.industry,
        "size_class": e.size,
        "district": e.district,
        "town": e.town,
        "park": e.park,
        "registered_on": e.registered_on,
        "registered_capital": e.capital,
        "employees": e.employees,
        "group_head": e.head,
        "real_name_verified_on": verified_on,
    }


def credit_features(e: Enterprises, records: Rows, patents: Rows, bids: Rows, evaluations: Rows, as_of: Dates) -> Rows:
    """Features of every enterprise on its day of ``as_of``, shape ``(n,)``; where that is NaT they mean nothing."""
    n = len(e)
    on = as_of[records["subject"]]
    usable = in_force(records, on)
    penalty, listed, honour = (usable & (records["kind"] == kind) for kind in range(3))
    worst = np.zeros(n)
    np.maximum.at(worst, records["subject"][penalty], severity_on(records, on)[penalty] + 1.0)
    days = np.full(n, np.inf)
    since = (on - records["effective_from"]).astype(np.float64)
    np.minimum.at(days, records["subject"][penalty], since[penalty])
    recent = {
        name: (rows[day] <= as_of[rows["subject"]]) & (as_of[rows["subject"]] - rows[day] <= _THREE_YEARS)
        for name, rows, day in (("patents", patents, "granted_on"), ("bids", bids, "won_on"))
    }
    latest, before = _last_two(evaluations, as_of)
    won = _count(bids, recent["bids"], n)
    amount = np.bincount(bids["subject"][recent["bids"]], bids["amount"][recent["bids"]], minlength=n)
    return {
        "subject": np.arange(n),
        "as_of": as_number(as_of),
        "age_years": np.round(e.age(as_of, np.arange(n)), 2),
        "industry": e.industry,
        "size_class": e.size,
        "district": e.district,
        "registered_capital": e.capital,
        "penalties_in_force": _count(records, penalty, n),
        "worst_severity": worst,
        "days_since_penalty": np.where(np.isfinite(days), days, np.nan),
        "serious_dishonesty": np.minimum(_count(records, listed, n), 1),
        "evaluation": latest,
        "evaluation_change": latest - before,
        "honours": _count(records, honour, n),
        "patents_3y": _count(patents, recent["patents"], n),
        "bids_won_3y": won,
        "bid_amount_3y": np.where(won > 0, amount, np.nan),
    }


def _last_two(evaluations: Rows, as_of: Dates) -> tuple[NDArray[Any], NDArray[Any]]:
    """The latest evaluation known on each enterprise's day and the one before, NaN: none; rows come by day."""
    latest, before = np.full(len(as_of), np.nan), np.full(len(as_of), np.nan)
    for day in np.unique(evaluations["evaluated_on"]):
        rows = np.flatnonzero((evaluations["evaluated_on"] == day) & (as_of[evaluations["subject"]] >= day))
        who = evaluations["subject"][rows]
        before[who], latest[who] = latest[who], evaluations["evaluation"][rows]
    return latest, before


def _count(rows: Rows, chosen: NDArray[np.bool_], n: int) -> NDArray[Any]:
    return np.bincount(rows["subject"][chosen], minlength=n)
