"""Credit records of a public credit centre: penalties with their repair, lists of serious dishonesty, honours.

One row per record with every date that changes what it may be used for, so that its state on any day can be told.
Classes are minor 轻微, general 一般 and serious 严重, published for at most three months, three to twelve, and one to
three years (NDRC Order 36, in force since 2026-04-01); repair is possible from the shortest term on.

A penalty hangs on conduct alone, and whether it is repaired on its class and date alone. It has no effect on default:
a repaired enterprise is as safe as any other of the same state, and conduct forgets fast (``state``). So what still
tells repaired from never penalised is age, and the little of conduct that lasts.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lab.data.synthetic.columns import Column, Rows, TableSpec
from lab.data.synthetic.quarters import N_QUARTERS, NEVER, SNAPSHOT, Dates, Ints, add_months, day_in, quarter_of
from lab.data.synthetic.state import Enterprises

KINDS: Final = ("penalty", "serious_dishonesty", "honour")
SEVERITIES: Final = ("minor", "general", "serious")
AUTHORITIES: Final = ("market_regulation", "taxation", "ecology", "emergency", "transport", "housing", "labour")

RECORDS: Final = TableSpec(
    "host:credit",
    "records",
    "信用记录",
    (
        Column("record_id", "int", "", "A70", "public", "记录编号", "number of the record"),
        Column("kind", "text", "", "A70", "public", "记录类型", "penalty, serious dishonesty list, honour", KINDS),
        Column("severity", "text", "", "A71", "public", "失信程度", "as first decided; honours have none", SEVERITIES),
        Column("authority", "text", "", "A28", "public", "作出机关", "department that decided", AUTHORITIES),
        Column("amount", "int", "CNY", "A70", "public", "处罚金额", "fine; 0: a warning"),
        Column("effective_from", "date", "", "A70", "public", "决定日期", "day of the decision"),
        Column("reported_on", "date", "", "A28", "public", "报送日期", "day it arrived; due in 7 days"),
        Column("publicity_end", "date", "", "A71", "public", "公示期截止", "last planned day of publicity"),
        Column("repair_applied_on", "date", "", "A72", "authorised", "修复申请日期", "day repair was applied for"),
        Column("repaired_on", "date", "", "A72", "public", "修复日期", "repair granted, or off the list"),
        Column("withdrawn_on", "date", "", "A74", "public", "撤销日期", "day the decision was withdrawn"),
        Column("disputed_from", "date", "", "A30", "authorised", "异议开始", "day an objection was lodged"),
        Column("disputed_to", "date", "", "A30", "authorised", "异议办结", "day it was settled; empty: open"),
        Column("corrected_on", "date", "", "A30", "public", "更正日期", "day from which the corrected class holds"),
        Column("corrected_severity", "text", "", "A30", "public", "更正后程度", "class after correction", SEVERITIES),
    ),
)

_SHORTEST_MONTHS: Final = np.array([1, 3, 12])
_LONGEST_MONTHS: Final = np.array([3, 12, 36])
_MONTHS_TO_REPAIR: Final = np.array([0, 3, 12])
_REPAIR_SHARE: Final = np.array([0.25, 0.55, 0.50])


def draw_records(enterprises: Enterprises, first_id: int, rng: np.random.Generator) -> Rows:
    """All records known on the last day, one block."""
    penalties = _penalties(enterprises, rng)
    parts = [penalties, _listed(penalties, rng), _honours(enterprises, rng)]
    rows = {name: np.concatenate([part[name] for part in parts]) for name in penalties}
    known = rows["reported_on"] <= SNAPSHOT
    rows = {name: values[known] for name, values in rows.items()}
    for name in ("repair_applied_on", "repaired_on", "withdrawn_on", "disputed_from", "disputed_to", "corrected_on"):
        rows[name][rows[name] > SNAPSHOT] = NEVER
    rows["corrected_severity"][np.isnat(rows["corrected_on"])] = -1
    return {"record_id": first_id + np.arange(len(rows["subject"])), **rows}


def in_force(records: Rows, on: Dates) -> NDArray[np.bool_]:
    """Whether each record may be used on its day of ``on``: reported, and neither over, repaired, withdrawn nor under
    objection."""
    gone = (records["publicity_end"] < on) | (records["repaired_on"] <= on) | (records["withdrawn_on"] <= on)
    settled = records["disputed_to"] <= on
    return (records["reported_on"] <= on) & ~gone & ~((records["disputed_from"] <= on) & ~settled)


def severity_on(records: Rows, on: Dates) -> NDArray[Any]:
    """Class of each record on its day, after corrections; -1: none."""
    corrected = (records["corrected_on"] <= on) & (records["corrected_severity"] >= 0)
    return np.where(corrected, records["corrected_severity"], records["severity"])


def _penalties(enterprises: Enterprises, rng: np.random.Generator) -> Rows:
    likely = 0.009 * np.exp(-0.7 * enterprises.conduct)
    quarter, who = _struck(enterprises, likely, rng)
    n = len(who)
    severity = rng.choice(3, n, p=[0.5, 0.36, 0.14])
    rows = _blank(0, who, severity, day_in(quarter, rng), rng)
    rows["amount"] = np.where(
        severity == 0, 0, 100 * np.exp(rng.normal(3.0 + 1.1 * severity, 0.8)).astype(np.int64)
    ).astype(np.int64)
    months = rng.integers(_SHORTEST_MONTHS[severity], _LONGEST_MONTHS[severity] + 1)
    start, end = rows["effective_from"], add_months(rows["effective_from"], months)
    rows["publicity_end"] = end

    path, share = rng.random(n), _REPAIR_SHARE[severity] * (0.7 + 0.015 * quarter)
    first = np.maximum(add_months(start, _MONTHS_TO_REPAIR[severity]), rows["reported_on"])
    room = (end - first).astype(np.int64)
    applied = first + (rng.random(n) * np.maximum(room - 20, 0)).astype(np.int64)
    granted = applied + rng.integers(3, 20, n)
    refused = rng.random(n) < 0.1
    repair = (path < share) & (room > 25)
    rows["repair_applied_on"] = np.where(repair, applied, NEVER)
    rows["repaired_on"] = np.where(repair & ~refused, granted, NEVER)

    rows["withdrawn_on"] = np.where(path > 0.98, rows["reported_on"] + rng.integers(5, 170, n), NEVER)
    disputed = (path > 0.93) & (path <= 0.98)
    opened = rows["reported_on"] + rng.integers(1, 60, n)
    rows["disputed_from"] = np.where(disputed, opened, NEVER)
    rows["disputed_to"] = np.where(disputed, opened + rng.integers(5, 40, n), NEVER)
    corrected = disputed & (severity > 0) & (rng.random(n) < 0.35)
    rows["corrected_on"] = np.where(corrected, rows["disputed_to"], NEVER)
    rows["corrected_severity"] = np.where(corrected, severity - 1, -1)
    return rows


def _listed(penalties: Rows, rng: np.random.Generator) -> Rows:
    """Entries on the list of serious dishonesty, which follow some serious penalties that stand."""
    stands = np.isnat(penalties["withdrawn_on"]) & np.isnat(penalties["disputed_from"])
    chosen = (penalties["severity"] == 2) & stands & (rng.random(len(penalties["subject"])) < 0.3)
    n = int(chosen.sum())
    start = penalties["effective_from"][chosen] + rng.integers(10, 60, n)
    rows = _blank(1, penalties["subject"][chosen], np.full(n, 2), start, rng)
    rows["publicity_end"] = add_months(start, 36)
    applied = add_months(start, rng.integers(12, 34, n))
    removed = rng.random(n) < 0.6
    rows["repair_applied_on"] = np.where(removed, applied, NEVER)
    rows["repaired_on"] = np.where(removed, applied + rng.integers(5, 30, n), NEVER)
    return rows


def _honours(enterprises: Enterprises, rng: np.random.Generator) -> Rows:
    quarter, who = _struck(enterprises, 0.015 * np.exp(0.8 * enterprises.conduct), rng)
    rows = _blank(2, who, np.full(len(who), -1), day_in(quarter, rng), rng)
    rows["publicity_end"] = add_months(rows["effective_from"], 24)
    return rows


def _struck(enterprises: Enterprises, likely: NDArray[Any], rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Quarters and enterprises in which an event of this probability falls, on the register at the time."""
    hit = rng.random((N_QUARTERS, len(enterprises)), dtype=np.float32) < likely
    quarter, who = np.nonzero(hit & enterprises.known)
    return quarter.astype(np.int64), who.astype(np.int64)


def _blank(kind: int, who: Ints, severity: Ints, start: Dates, rng: np.random.Generator) -> Rows:
    """Records that nothing has happened to yet; nine of ten are reported in time, and more with the years."""
    n = len(who)
    late = rng.random(n) < 0.14 - 0.003 * quarter_of(start)
    never = np.full(n, NEVER)
    return {
        "subject": who,
        "kind": np.full(n, kind),
        "severity": severity,
        "authority": rng.integers(0, len(AUTHORITIES), n),
        "amount": np.zeros(n, dtype=np.int64),
        "effective_from": start,
        "reported_on": start + np.where(late, rng.integers(8, 60, n), rng.integers(1, 8, n)),
        "publicity_end": never,
        "repair_applied_on": never.copy(),
        "repaired_on": never.copy(),
        "withdrawn_on": never.copy(),
        "disputed_from": never.copy(),
        "disputed_to": never.copy(),
        "corrected_on": never.copy(),
        "corrected_severity": np.full(n, -1),
    }
