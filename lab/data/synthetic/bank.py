"""What the bank holds: applications over six years, its decisions, and what became of the loans it booked.

Default is a hazard per quarter of the loan, logistic in the enterprise's hidden state of that quarter and in the loan's
terms as they were agreed. A rejected applicant has no outcome, and the bank rejects by what it sees itself, so booked
loans are safer than applications. Outcomes end with the last day of the data.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import AS_OF, Column, Rows, TableSpec
from lab.data.synthetic.quarters import (
    N_QUARTERS,
    NEVER,
    SNAPSHOT,
    Dates,
    Ints,
    add_months,
    as_number,
    day_in,
    quarter_of,
)
from lab.data.synthetic.state import City, Enterprises, Settings, chance, draw_enterprises

PRODUCTS: Final = ("credit_loan", "tax_loan", "mortgage_loan", "guaranteed_loan", "park_loan")
PURPOSES: Final = ("working_capital", "equipment", "premises", "research", "seasonal_purchase")

APPLICATIONS: Final = TableSpec(
    "bank",
    "applications",
    "贷款申请与表现",
    (
        Column("application_id", "int", "", "A03", "internal", "申请编号", "number of the application"),
        Column("applied_on", "date", "", "A03", "internal", "申请日期", "day of application and decision"),
        Column("product", "text", "", "A80", "internal", "贷款产品", "product applied for", PRODUCTS),
        Column("purpose", "text", "", "A80", "internal", "贷款用途", "use of the money", PURPOSES),
        Column("amount", "int", "CNY", "A80", "internal", "申请金额", "amount applied for"),
        Column("term_months", "int", "months", "A80", "internal", "贷款期限", "as agreed on that day"),
        Column("collateral_share", "float", "", "A80", "internal", "抵押率", "value of collateral over amount"),
        Column("annual_rate", "float", "", "A82", "internal", "年利率", "price offered; empty if rejected"),
        Column("existing_exposure", "int", "CNY", "A80", "internal", "存量授信余额", "owed to all lenders, as told"),
        Column("account_inflow", "int", "CNY", "A80", "internal", "月均账户流入", "in six months; empty: new"),
        Column("overdue_days_12m", "int", "days", "A80", "internal", "近一年逾期天数", "all debts; empty: has none"),
        Column("customer_years", "float", "years", "A80", "internal", "合作年限", "since the account was opened"),
        Column("booked", "flag", "", "A03", "internal", "是否放款", "false: rejected, no outcome"),
        Column("defaulted_12m", "flag", "", "A03", "internal", "12个月内违约", "empty: rejected, or not over yet"),
        Column("months_to_default", "int", "months", "A104", "internal", "违约月数", "empty: no default so far"),
        Column("exposure_at_default", "int", "CNY", "A81", "internal", "违约敞口", "owed on the day of default"),
        Column("loss_given_default", "float", "", "A81", "internal", "违约损失率", "share of the exposure lost"),
        Column("balance", "int", "CNY", "A104", "internal", "贷款余额", "owed on the last day of the data"),
    ),
)
FEATURES: Final = TableSpec(
    "bank",
    "features",
    "银行样本",
    (
        AS_OF,
        *(
            c
            for c in APPLICATIONS.columns
            if c.name
            in {
                "product", "purpose", "amount", "term_months", "collateral_share", "existing_exposure",
                "account_inflow", "overdue_days_12m", "customer_years",
            }
        ),
        Column("default", "int", "", "A03", "internal", "违约标签", "1: defaulted within 12 months"),
    ),
)  # fmt: skip

#: The first quarter with applications.
FIRST_APPLICATIONS: Final = 8
#: Log-odds of default per quarter for one unit of business, conduct and burden.
LOADINGS: Final = (-1.6, -1.3, 1.5)
#: Log-odds of an industry (in the order of its letters) and of a size class beside the others.
_INDUSTRY_RISK: Final = np.array([0.3, -0.3, 0.5, 0.1, 0.2, 0.6, -0.2, 0.0, -0.4, 0.3])
_SIZE_RISK: Final = np.array([-0.8, -0.4, 0.0, 0.3])
_PER_QUARTER: Final = 0.10
#: Enterprises of the trial that fixes the level of default.
_TRIAL: Final = 10_000
_TERMS: Final = (np.array([6, 12, 24, 36]), (0.15, 0.55, 0.15, 0.15))


def hidden_risk(e: Enterprises, quarter: Any, who: NDArray[Any]) -> NDArray[Any]:
    """What the state of a quarter adds to the log-odds of default."""
    business, conduct, burden = LOADINGS
    at = (quarter, who)
    return np.asarray(business * e.business[at] + conduct * e.conduct[at] + burden * e.burden[at])


def base_log_odds(city: City, settings: Settings) -> float:
    """The intercept of the hazard at which booked loans of a trial block default as often as settings say."""
    middle = -6.0
    for _ in range(2):  # once to see who is still there to apply, once more with them
        rng = settings.rng(1)
        e = draw_enterprises(city, _TRIAL, rng)
        loans = _all_applications(e, middle, rng)
        booked = np.flatnonzero(loans["booked"] & (loans["quarter"] + 4 < N_QUARTERS))
        quarter, who, risk, term = (loans[name][booked] for name in ("quarter", "subject", "risk", "term_months"))
        ahead = np.arange(1, 5)[:, None]
        odds = risk + hidden_risk(e, quarter + ahead, who)
        lasts = ahead <= term // 3 + 1
        low, high = -15.0, 2.0
        for _ in range(30):
            middle = (low + high) / 2
            rate = 1 - np.where(lasts, 1 - chance(middle + odds), 1.0).prod(axis=0).mean()
            low, high = (middle, high) if rate < settings.default_rate else (low, middle)
    return middle


def draw_applications(e: Enterprises, intercept: float, first_id: int, rng: np.random.Generator) -> Rows:
    """Every application of one block, in order of quarters, with its outcome as the last day knows it."""
    rows = _all_applications(e, intercept, rng)
    del rows["risk"], rows["quarter"]
    n = len(rows["subject"])
    booked, months, applied = rows["booked"], rows["months_to_default"], rows["applied_on"]
    over = booked & (add_months(applied, 12) <= SNAPSHOT)
    rows["defaulted_12m"] = np.where(over, (months <= 12).astype(float), np.nan)
    amount, term = rows["amount"], rows["term_months"]
    at_default = np.round(amount * (1 - 0.4 * np.minimum(months / term, 1)), -2)
    rows["exposure_at_default"] = np.where(np.isnan(months), np.nan, at_default)
    guaranteed = rows["product"] == PRODUCTS.index("guaranteed_loan")
    lost = 0.55 - 0.4 * np.minimum(rows["collateral_share"], 1) - 0.15 * guaranteed + rng.normal(0, 0.15, n)
    rows["loss_given_default"] = np.where(np.isnan(months), np.nan, np.round(np.clip(lost, 0.02, 1), 3))
    run = (SNAPSHOT - applied).astype(np.float64) / 30.4
    owed = np.where(run < term, np.round(amount * (1 - 0.4 * np.minimum(run / term, 1)), -2), 0)
    rows["balance"] = np.where(booked, np.where(np.isnan(months), owed, at_default), np.nan)
    return {"application_id": first_id + np.arange(n), **rows}


def sample(applications: Rows, n: int) -> Ints:
    """Row of each enterprise's first booked application whose 12 months are over, shape ``(n,)``; -1: none.

    Which one it is was known on its day: nothing of the outcome decides.
    """
    chosen = np.full(n, -1)
    rows = np.flatnonzero(~np.isnan(applications["defaulted_12m"]))[::-1]
    chosen[applications["subject"][rows]] = rows  # from the last to the first: the first one stays
    return chosen


def bank_features(applications: Rows, chosen: Ints) -> Rows:
    """The bank's own columns and the label, one row per enterprise of the sample."""
    rows = chosen[chosen >= 0]
    columns = {c.name: applications[c.name][rows] for c in FEATURES.columns if c.name in applications}
    return {
        "subject": applications["subject"][rows],
        "as_of": as_number(applications["applied_on"][rows]),
        **columns,
        "default": applications["defaulted_12m"][rows],
    }


def _all_applications(e: Enterprises, intercept: float, rng: np.random.Generator) -> Rows:
    n = len(e)
    customer = rng.random(n) < 0.85
    since = e.registered_on + (rng.beta(1.3, 1.1, n) * (SNAPSHOT - e.registered_on).astype(np.int64)).astype(np.int64)
    free_from = np.maximum(np.maximum(e.first_quarter + 2, FIRST_APPLICATIONS), quarter_of(since))
    parts = []
    for t in range(FIRST_APPLICATIONS, N_QUARTERS):
        wish = rng.random(n) < _PER_QUARTER * (1.15 if t % 4 == 0 else 0.95)
        who = np.flatnonzero(customer & wish & (free_from <= t))
        part = _terms(e, t, who, since, rng)
        months = np.where(part["booked"], _months_to_default(e, t, part, intercept, rng), np.nan)
        months[add_months(part["applied_on"], np.nan_to_num(months)) > SNAPSHOT] = np.nan
        parts.append({**part, "months_to_default": months})
        lasts = np.where(part["booked"], part["term_months"] // 3, 2)
        free_from[who] = t + np.where(np.isnan(months), lasts, 10 * N_QUARTERS)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _terms(e: Enterprises, t: int, who: Ints, since: Dates, rng: np.random.Generator) -> Rows:
    """What is applied for in quarter ``t``, what the bank sees of the applicant, and its decision."""
    m = len(who)
    business, burden = e.business[t - 1, who], e.burden[t - 1, who]  # the quarter before: the bank knows no more
    applied = day_in(np.full(m, t), rng)
    stretch = rng.normal(0, 0.75, m) + 0.15 * burden
    amount = 10_000 * np.clip(np.exp(e.scale[who] - 2.3 + stretch) / 10_000, 5, 3_000).astype(np.int64)
    product = rng.choice(5, m, p=[0.33, 0.20, 0.22, 0.15, 0.10])
    product[(product == 4) & (e.park[who] < 0)] = 0
    secured = np.where(product == 2, 1.0, (rng.random(m) < 0.12).astype(float))
    collateral = np.round(secured * rng.uniform(0.4, 1.5, m), 2)
    purpose = rng.choice(5, m, p=[0.6, 0.14, 0.08, 0.08, 0.10])
    term = rng.choice(_TERMS[0], m, p=_TERMS[1])
    term[purpose == 4] = 6
    owes = rng.random(m) < chance(0.9 + 0.5 * burden)
    exposure = np.exp(e.scale[who] - 2.2 + 0.55 * burden + rng.normal(0, 0.9, m))
    known_years = np.maximum((applied - since[who]).astype(np.float64) / 365.25, 0)
    inflow = np.exp(e.scale[who] - np.log(12) - 0.6 + 0.55 * business + rng.normal(0, 0.65, m))
    late = rng.random(m) < chance(-2.4 - 0.35 * business + 0.3 * burden)
    overdue = np.where(late, rng.integers(1, 30, m), 0)
    view = (
        -0.35 * np.log(inflow * 12 / amount)
        + 0.25 * np.log1p(owes * exposure / amount)
        - 0.9 * np.minimum(collateral, 1)
        + 0.05 * overdue * owes
        - 0.04 * known_years
        + rng.normal(0, 0.5, m)
    )
    booked = view < -0.55 + 0.012 * t  # the bank lends more easily with the years
    rate = 0.034 + 0.004 * (view + 1) + 0.001 * (term > 12) - 0.004 * (product == 3)
    risk = (
        0.55 * stretch
        + 0.03 * (term - 12)
        - 0.9 * np.minimum(collateral, 1)
        - 0.25 * (product == 3)
        + 0.9 * np.exp(-e.age(applied, who) / 3)
        - 0.05 * np.minimum(known_years, 10)
        + _INDUSTRY_RISK[e.industry[who]]
        + _SIZE_RISK[e.size[who]]
    )
    return {
        "subject": who,
        "quarter": np.full(m, t),
        "applied_on": applied,
        "product": product,
        "purpose": purpose,
        "amount": amount,
        "term_months": term,
        "collateral_share": collateral,
        "annual_rate": np.where(booked, np.round(np.clip(rate, 0.03, 0.09), 4), np.nan),
        "existing_exposure": np.round(np.where(owes, exposure, 0), -3),
        "account_inflow": np.where(known_years > 0.5, np.round(inflow, -2), np.nan),
        "overdue_days_12m": np.where(owes, overdue, np.nan),
        "customer_years": np.round(known_years, 2),
        "booked": booked,
        "risk": risk,
    }


def _months_to_default(
    e: Enterprises, t: int, part: Rows, intercept: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Month of default after application, NaN: none; up to a quarter after a loan was due."""
    quarters = np.arange(1, 14)
    ahead = np.minimum(t + quarters, N_QUARTERS - 1)[:, None]
    odds = intercept + part["risk"] + hidden_risk(e, ahead, part["subject"][None, :])
    open_still = (quarters[:, None] <= part["term_months"] // 3 + 1) & (t + quarters[:, None] < N_QUARTERS)
    falls = (rng.random(odds.shape) < chance(odds)) & open_still
    month = 3 * falls.argmax(axis=0) + rng.integers(1, 4, len(part["subject"]))
    return np.where(falls.any(axis=0), month, np.nan).astype(np.float64)


def default_days(applications: Rows) -> Dates:
    """Day of default of each application, NaT: none so far."""
    months = applications["months_to_default"]
    return np.where(np.isnan(months), NEVER, add_months(applications["applied_on"], np.nan_to_num(months)))
