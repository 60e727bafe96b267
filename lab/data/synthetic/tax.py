"""What a tax bureau holds: sales and tax by quarter, social insurance and provident fund, taxpayer credit grades."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import AS_OF, Column, Rows, TableSpec
from lab.data.synthetic.quarters import (
    N_QUARTERS,
    NEVER,
    SNAPSHOT,
    STARTS,
    Dates,
    add_months,
    as_number,
    last_filed,
    names_of_quarters,
)
from lab.data.synthetic.state import Enterprises, Values, chance, noise, season

GRADES: Final = ("A", "B", "M", "C", "D")
REASONS: Final = ("annual", "adjusted")

QUARTERS: Final = TableSpec(
    "host:tax",
    "quarters",
    "季度申报",
    (
        Column("quarter", "text", "", "A21", "authorised", "所属季度", "quarter declared", names_of_quarters()),
        Column("sales_invoiced", "int", "CNY", "A21", "written", "开票销售额", "0: a zero declaration"),
        Column("tax_paid", "int", "CNY", "A21", "written", "实缴税额", "all taxes paid for the quarter"),
        Column("profit_declared", "int", "CNY", "A21", "written", "申报利润额", "can be negative"),
        Column("arrears_days", "int", "days", "A21", "authorised", "欠税天数", "days the quarter's tax was late"),
        Column("insured_employees", "int", "persons", "A21", "authorised", "社保参保人数", "at the end of the quarter"),
        Column("insurance_arrears_months", "int", "months", "A21", "authorised", "社保欠缴月数", "0 to 3"),
        Column("fund_employees", "int", "persons", "A21", "authorised", "公积金缴存人数", "empty: no account"),
    ),
)
YEARS: Final = TableSpec(
    "host:tax",
    "years",
    "年度汇总",
    (
        Column("year", "int", "", "A21", "authorised", "年度", "calendar year"),
        Column("sales_invoiced", "int", "CNY", "A21", "written", "年开票销售额", "sum of the quarters"),
        Column("tax_paid", "int", "CNY", "A21", "written", "年实缴税额", "sum of the quarters"),
        Column("sales_growth", "float", "", "A21", "authorised", "销售额同比", "over the year before"),
    ),
)
TAXPAYER_GRADES: Final = TableSpec(
    "host:tax",
    "grades",
    "纳税信用等级",
    (
        Column("grade", "text", "", "A26", "authorised", "纳税信用级别", "M: new or no sales", GRADES),
        Column("effective_from", "date", "", "A26", "authorised", "生效日期", "first day of the grade"),
        Column("effective_to", "date", "", "A26", "authorised", "失效日期", "next one's first day; empty: current"),
        Column("reason", "text", "", "A26", "authorised", "评定原因", "yearly, or adjusted in between", REASONS),
    ),
)
FEATURES: Final = TableSpec(
    "host:tax",
    "features",
    "税务特征",
    (
        AS_OF,
        Column("sales_4q", "int", "CNY", "A21", "written", "近四季开票销售额", "empty: fewer than four quarters"),
        Column("sales_growth_4q", "float", "", "A21", "authorised", "近四季销售增速", "over the four before"),
        Column("sales_swing_4q", "float", "", "A21", "authorised", "近四季销售波动", "largest less smallest over mean"),
        Column("zero_declarations_8q", "int", "", "A107", "authorised", "近八季零申报次数", "quarters without sales"),
        Column("tax_paid_4q", "int", "CNY", "A21", "written", "近四季实缴税额", "empty: fewer than four quarters"),
        Column("tax_to_sales_4q", "float", "", "A21", "authorised", "近四季税负率", "tax over sales; empty: no sales"),
        Column("profit_margin_4q", "float", "", "A21", "authorised", "近四季利润率", "profit over sales"),
        Column("sales_per_employee_4q", "int", "CNY", "A21", "authorised", "近四季人均销售额", "over those insured"),
        Column("arrears_days_8q", "int", "days", "A21", "authorised", "近八季欠税天数", "sum over declared quarters"),
        Column("taxpayer_grade", "text", "", "A26", "authorised", "纳税信用级别", "empty: not graded", GRADES),
        Column("insured_employees", "int", "persons", "A21", "authorised", "社保参保人数", "last declared quarter"),
        Column("insured_growth_4q", "float", "", "A21", "authorised", "参保人数同比", "over four quarters before"),
        Column("insurance_arrears_8q", "int", "months", "A21", "authorised", "近八季社保欠缴月数", "sum"),
        Column("fund_share", "float", "", "A21", "authorised", "公积金缴存比例", "of those insured; empty: no account"),
    ),
)

#: Tax over sales by industry letter.
_TAX: Final = np.array([0.005, 0.045, 0.035, 0.020, 0.035, 0.030, 0.055, 0.045, 0.045, 0.040])
#: Points of a year's behaviour below which the grade is worse than A, B, C.
_LIMITS: Final = (90.0, 70.0, 40.0)
#: A year is graded in the following April.
_FIRST_YEAR: Final = 2018
_LAST_GRADED: Final = 2025


class Declarations:
    """All quarters of one block, arrays of shape ``(N_QUARTERS, n)``; quarters before registration mean nothing."""

    def __init__(self, e: Enterprises, rng: np.random.Generator) -> None:
        shape = e.business.shape
        trend = np.arange(N_QUARTERS, dtype=np.float32)[:, None] * e.growth
        level = e.scale - np.float32(np.log(4)) + np.float32(0.55) * e.business + season(e.industry) + trend
        dormant = e.business + noise(rng, shape, 0.5) < -2.4
        sales = np.exp(level + noise(rng, shape, 0.16))
        self.sales: Values = np.where(dormant, 0, np.minimum(np.rint(sales), 2e9)).astype(np.float32)
        self.tax: Values = np.rint(self.sales * _TAX[e.industry] * np.exp(noise(rng, shape, 0.3))).astype(np.float32)
        margin = 0.06 + np.float32(0.045) * e.business + noise(rng, shape, 0.035)
        self.profit: Values = np.rint(self.sales * margin).astype(np.float32)
        self.arrears = _spells(-3.4 - 0.8 * e.business - 0.8 * e.conduct, 90, rng)
        staff = np.log(e.employees) + np.float32(0.22) * e.business + trend / 2 + noise(rng, shape, 0.06)
        self.insured: Values = np.rint(0.85 * np.exp(staff)).astype(np.float32)
        self.insurance_arrears = _spells(-3.6 - 0.9 * e.business - 0.5 * e.conduct, 3, rng)
        has_fund = rng.random(len(e)) < chance(-1.4 + 0.55 * np.log(e.employees))
        share = chance(0.8 + 0.5 * e.business[0] + rng.normal(0, 0.8, len(e)))
        self.fund: Values = np.where(has_fund, np.rint(self.insured * share), np.nan).astype(np.float32)


def _spells(logit: NDArray[Any], longest: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """0 in most quarters, else 1 to ``longest``, with probability and length rising together."""
    likely = chance(logit)
    draw = rng.random(logit.shape, dtype=np.float32)
    depth = 1 - draw / np.maximum(likely, 1e-9)
    return np.where(depth > 0, np.ceil(longest * np.maximum(depth, 0) ** 1.5), 0).astype(np.int16)


def quarter_rows(e: Enterprises, d: Declarations) -> Rows:
    """One row per enterprise and quarter on the register."""
    known = e.known
    quarter, who = np.nonzero(known)
    return {
        "subject": who,
        "quarter": quarter,
        "sales_invoiced": d.sales[known],
        "tax_paid": d.tax[known],
        "profit_declared": d.profit[known],
        "arrears_days": d.arrears[known],
        "insured_employees": d.insured[known],
        "insurance_arrears_months": d.insurance_arrears[known],
        "fund_employees": d.fund[known],
    }


def year_rows(e: Enterprises, d: Declarations) -> Rows:
    """One row per enterprise and whole calendar year on the register."""
    n_years = N_QUARTERS // 4
    sales, tax = (v[: 4 * n_years].astype(np.float64).reshape(n_years, 4, -1).sum(axis=1) for v in (d.sales, d.tax))
    whole = e.known[: 4 * n_years : 4]
    before = np.vstack([np.full(len(e), np.nan), np.where(whole[:-1] & (sales[:-1] > 0), sales[:-1], np.nan)])
    year, who = np.nonzero(whole)
    return {
        "subject": who,
        "year": _FIRST_YEAR + year,
        "sales_invoiced": sales[whole],
        "tax_paid": tax[whole],
        "sales_growth": np.round((sales / before - 1)[whole], 4),
    }


def draw_grades(e: Enterprises, d: Declarations, rng: np.random.Generator) -> Rows:
    """Grades with their days: one a year, and a step down within it after a long arrears."""
    parts: list[Rows] = []
    for year in range(_FIRST_YEAR, _LAST_GRADED + 1):
        quarters = slice(4 * (year - _FIRST_YEAR), 4 * (year - _FIRST_YEAR) + 4)
        who = np.flatnonzero(e.first_quarter < quarters.stop)
        conduct = e.conduct[quarters, who].mean(axis=0)
        late = d.arrears[quarters, who].sum(axis=0)
        points = 84 + 13 * conduct - 0.25 * late + rng.normal(0, 5, len(who))
        grade = np.array([0, 1, 3, 4])[np.sum([points < limit for limit in _LIMITS], axis=0)]
        new = (e.first_quarter[who] > quarters.start) | (d.sales[quarters, who].sum(axis=0) == 0)
        grade = np.where(new & (grade < 3), 2, grade)
        start = np.full(len(who), np.datetime64(f"{year + 1}-04-01", "D")) + rng.integers(0, 28, len(who))
        parts.append({"subject": who, "grade": grade, "effective_from": start, "reason": np.zeros(len(who), np.int64)})
        following = slice(quarters.stop + 1, min(quarters.stop + 4, N_QUARTERS))
        bad = d.arrears[following, who] > 45
        hit = bad.any(axis=0) & (grade < 4)
        day = add_months(STARTS[following.start + bad.argmax(axis=0)[hit] + 1], 1)
        parts.append(
            {
                "subject": who[hit],
                "grade": np.where(grade[hit] == 1, 3, grade[hit] + 1),
                "effective_from": day,
                "reason": np.ones(int(hit.sum()), np.int64),
            }
        )
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.lexsort((rows["effective_from"], rows["subject"]))
    rows = {name: values[order][rows["effective_from"][order] <= SNAPSHOT] for name, values in rows.items()}
    last = np.append(rows["subject"][1:] != rows["subject"][:-1], True)
    rows["effective_to"] = np.where(last, NEVER, np.append(rows["effective_from"][1:], NEVER))
    return rows


def tax_features(e: Enterprises, d: Declarations, grades: Rows, as_of: Dates, who: NDArray[Any]) -> Rows:
    """Features of the enterprises ``who``, each on its day of ``as_of`` (shape ``(n,)`` of the whole block)."""
    last = last_filed(as_of[who])
    quarters = last[:, None] - np.arange(8)  # newest first
    seen = (quarters >= e.first_quarter[who][:, None]) & (quarters >= 0)
    at = (np.maximum(quarters, 0), who[:, None])

    def history(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(seen, values[at].astype(np.float64), np.nan)

    def total(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(seen[:, 0], np.nansum(history(values), axis=1), np.nan)

    sales, tax, insured, fund = map(history, (d.sales, d.tax, d.insured, d.fund))
    year, year_before, tax_year = sales[:, :4].sum(axis=1), sales[:, 4:].sum(axis=1), tax[:, :4].sum(axis=1)
    grade = np.full(len(e), -1)
    ours = grades["effective_from"] <= as_of[grades["subject"]]
    grade[grades["subject"][ours]] = grades["grade"][ours]  # sorted by day: the last one stays
    return {
        "subject": who,
        "as_of": as_number(as_of[who]),
        "sales_4q": year,
        "sales_growth_4q": np.round(_ratio(year, year_before) - 1, 4),
        "sales_swing_4q": np.round(_ratio(sales[:, :4].max(axis=1) - sales[:, :4].min(axis=1), year / 4), 4),
        "zero_declarations_8q": np.where(seen[:, 0], (seen & (sales == 0)).sum(axis=1), np.nan),
        "tax_paid_4q": tax_year,
        "tax_to_sales_4q": np.round(_ratio(tax_year, year), 5),
        "profit_margin_4q": np.round(_ratio(history(d.profit)[:, :4].sum(axis=1), year), 4),
        "sales_per_employee_4q": np.round(_ratio(year, insured[:, 0])),
        "arrears_days_8q": total(d.arrears),
        "taxpayer_grade": grade[who],
        "insured_employees": insured[:, 0],
        "insured_growth_4q": np.round(_ratio(insured[:, 0], insured[:, 4]) - 1, 4),
        "insurance_arrears_8q": total(d.insurance_arrears),
        "fund_share": np.round(_ratio(fund[:, 0], insured[:, 0]), 4),
    }


def _ratio(over: NDArray[Any], under: NDArray[Any]) -> NDArray[Any]:
    """Quotient, missing where the divisor is missing or 0."""
    return over / np.where(under > 0, under, np.nan)
