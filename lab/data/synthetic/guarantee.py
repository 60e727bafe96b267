"""What a guarantor holds: guarantees for loans of this bank and of others, claims paid, counter-guarantees, ratings."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.bank import PRODUCTS, default_days, hidden_risk
from lab.data.synthetic.columns import AS_OF, Column, Rows, TableSpec
from lab.data.synthetic.quarters import N_QUARTERS, NEVER, SNAPSHOT, Dates, Ints, add_months, as_number, day_in
from lab.data.synthetic.state import Enterprises, chance

LENDERS: Final = ("bank", "other")
GUARANTEES: Final = TableSpec(
    "host:guarantee",
    "guarantees",
    "担保业务",
    (
        Column("guarantee_id", "int", "", "A81", "authorised", "担保编号", "number of the guarantee"),
        Column("lender", "text", "", "A81", "authorised", "债权人", "this bank, or another", LENDERS),
        Column("amount", "int", "CNY", "A81", "authorised", "担保金额", "amount guaranteed"),
        Column("guaranteed_share", "float", "", "A81", "authorised", "担保比例", "of the loan; lender bears the rest"),
        Column("counter_guarantee", "flag", "", "A81", "authorised", "是否反担保", "secured by the enterprise in turn"),
        Column("rating", "int", "", "A81", "authorised", "担保方内部评级", "1 best to 5, as given on the first day"),
        Column("starts_on", "date", "", "A81", "authorised", "担保起始日", "first day"),
        Column("ends_on", "date", "", "A81", "authorised", "担保到期日", "last day unless a claim ends it"),
        Column("claimed_on", "date", "", "A82", "authorised", "代偿日期", "day the guarantor paid; empty: it has not"),
        Column("claim_amount", "int", "CNY", "A82", "authorised", "代偿金额", "what it paid"),
    ),
)
FEATURES: Final = TableSpec(
    "host:guarantee",
    "features",
    "担保特征",
    (
        AS_OF,
        Column("guarantees_open", "int", "", "A81", "authorised", "在保笔数", "guarantees in force"),
        Column("guaranteed_open", "int", "CNY", "A81", "authorised", "在保余额", "empty: none in force"),
        Column("counter_share", "float", "", "A81", "authorised", "反担保占比", "of those in force; empty: none"),
        Column("guarantees_3y", "int", "", "A81", "authorised", "近三年担保笔数", "begun in three years"),
        Column("rating", "int", "", "A81", "authorised", "最近内部评级", "1 best to 5; empty: none"),
        Column("claims", "int", "", "A82", "authorised", "历史代偿次数", "claims paid so far"),
        Column("group_members", "int", "", "A81", "authorised", "关联集团成员数", "in its group; 1: no group"),
        Column("group_guaranteed", "int", "CNY", "A81", "authorised", "集团他方在保余额", "of its other members"),
        Column("group_claims", "int", "", "A82", "authorised", "集团他方代偿次数", "claims paid for the other members"),
    ),
)

_THREE_YEARS: Final = np.timedelta64(3 * 365, "D")
_LARGEST_GROUP: Final = 6


def draw_guarantees(e: Enterprises, applications: Rows, first_id: int, rng: np.random.Generator) -> Rows:
    """Guarantees of one block, by first day: one per guaranteed loan of the bank, others elsewhere."""
    ours = applications["booked"] & (applications["product"] == PRODUCTS.index("guaranteed_loan"))
    applied = applications["applied_on"][ours]
    defaulted = default_days(applications)[ours]
    at_bank = {
        "subject": applications["subject"][ours],
        "lender": np.zeros(int(ours.sum()), dtype=np.int64),
        "amount": 0.8 * applications["amount"][ours],
        "starts_on": applied,
        "ends_on": add_months(applied, applications["term_months"][ours]),
        "claimed_on": defaulted + 60,
        "quarter": (applied.astype("datetime64[M]") - np.datetime64("2018-01", "M")).astype(np.int64) // 3,
    }
    likely = 0.045 * np.exp(0.5 * e.burden)
    quarter, who = np.nonzero((rng.random(likely.shape, dtype=np.float32) < likely) & e.known)
    start = day_in(quarter, rng)
    term = rng.choice([6, 12, 24], len(who), p=[0.2, 0.6, 0.2])
    elsewhere = {
        "subject": who,
        "lender": np.ones(len(who), dtype=np.int64),
        "amount": np.exp(e.scale[who] - 2.2 + 0.3 * e.burden[quarter, who] + rng.normal(0, 0.6, len(who))),
        "starts_on": start,
        "ends_on": add_months(start, term),
        "claimed_on": start + _days_to_claim(e, quarter, who, term, rng),
        "quarter": quarter,
    }
    rows = {name: np.concatenate([at_bank[name], elsewhere[name]]) for name in at_bank}
    order = np.argsort(rows["starts_on"], kind="stable")
    rows = {name: values[order] for name, values in rows.items()}
    n, subject = len(order), rows["subject"]
    seen = hidden_risk(e, np.maximum(rows.pop("quarter") - 1, 0), subject)
    rating = np.clip(np.rint(3 + 0.75 * seen + rng.normal(0, 0.7, n)), 1, 5)
    rows["claimed_on"][rows["claimed_on"] > SNAPSHOT] = NEVER
    rows["amount"] = np.maximum(np.round(rows["amount"], -3), 10_000)
    paid = np.round(rows["amount"] * rng.uniform(0.4, 1.0, n), -2)
    return {
        "guarantee_id": first_id + np.arange(n),
        **rows,
        "guaranteed_share": np.where(rows["lender"] == 0, 0.8, np.round(rng.uniform(0.5, 1.0, n), 1)),
        "counter_guarantee": rng.random(n) < chance(-0.2 + 0.4 * (rating - 3)),
        "rating": rating,
        "claim_amount": np.where(np.isnat(rows["claimed_on"]), np.nan, paid),
    }


def guarantee_features(e: Enterprises, guarantees: Rows, as_of: Dates) -> Rows:
    """Features of every enterprise on its day of ``as_of``, shape ``(n,)``; where that is NaT they mean nothing.

    A guarantee that begins on the day itself, such as the applied loan's own, is not known yet.
    """
    n = len(e)
    subject = guarantees["subject"]
    begun, is_open, claimed = _known(guarantees, as_of[subject])
    recent = begun & (as_of[subject] - guarantees["starts_on"] <= _THREE_YEARS)
    n_open = _sums(subject[is_open], None, n)
    counter = _sums(subject[is_open], guarantees["counter_guarantee"][is_open], n)
    rating = np.full(n, np.nan)
    rating[subject[begun]] = guarantees["rating"][begun]  # by first day: the last one stays
    members = np.bincount(e.head, minlength=n)[e.head]
    others, claims = _others_in_group(e, guarantees, as_of)
    return {
        "subject": np.arange(n),
        "as_of": as_number(as_of),
        "guarantees_open": n_open,
        "guaranteed_open": _where(n_open > 0, _sums(subject[is_open], guarantees["amount"][is_open], n)),
        "counter_share": _where(n_open > 0, np.round(counter / np.maximum(n_open, 1), 3)),
        "guarantees_3y": _sums(subject[recent], None, n),
        "rating": rating,
        "claims": _sums(subject[claimed], None, n),
        "group_members": members,
        "group_guaranteed": _where(members > 1, others),
        "group_claims": _where(members > 1, claims),
    }


def _known(guarantees: Rows, on: Dates) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Of each guarantee on its day: has it begun, is it open, has it been claimed."""
    begun = guarantees["starts_on"] < on
    claimed = guarantees["claimed_on"] < on
    return begun, begun & (guarantees["ends_on"] >= on) & ~claimed, claimed


def _others_in_group(e: Enterprises, guarantees: Rows, as_of: Dates) -> tuple[NDArray[Any], NDArray[Any]]:
    """Open guarantees and claims of a group's other members, on each member's own day; groups are neighbours."""
    n, subject = len(e), guarantees["subject"]
    amount, claims = np.zeros(n), np.zeros(n)
    for step in (*range(1 - _LARGEST_GROUP, 0), *range(1, _LARGEST_GROUP)):
        near = np.clip(subject + step, 0, n - 1)
        same = (near == subject + step) & (e.head[near] == e.head[subject])
        _, is_open, claimed = _known(guarantees, as_of[near])
        amount += _sums(near[same & is_open], guarantees["amount"][same & is_open], n)
        claims += _sums(near[same & claimed], None, n)
    return amount, claims


def _days_to_claim(
    e: Enterprises, quarter: Ints, who: Ints, term: NDArray[Any], rng: np.random.Generator
) -> NDArray[np.timedelta64]:
    """Days until the guarantor pays for a loan elsewhere, NaT: it does not; the same hidden state decides."""
    ahead = np.arange(1, 9)[:, None]
    odds = -5.6 + 0.9 * hidden_risk(e, np.minimum(quarter + ahead, N_QUARTERS - 1), who[None, :])
    falls = (rng.random(odds.shape) < chance(odds)) & (ahead <= term // 3) & (quarter + ahead < N_QUARTERS)
    days = (91 * (falls.argmax(axis=0) + 1) + rng.integers(0, 90, len(who))).astype("timedelta64[D]")
    return np.where(falls.any(axis=0), days, np.timedelta64("NaT", "D"))


def _sums(subject: Ints, weights: NDArray[Any] | None, n: int) -> NDArray[Any]:
    return np.bincount(subject, weights, minlength=n)


def _where(condition: NDArray[np.bool_], values: NDArray[Any]) -> NDArray[Any]:
    return np.where(condition, values, np.nan)
