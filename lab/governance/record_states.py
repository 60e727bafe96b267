"""The life of a credit record: from publication through dispute and repair to where it may no longer be used.

Measures for the Management of Credit Repair (NDRC Order 36, in force since 2026-04-01): a record that is repaired,
withdrawn or past its term of publicity is not to be used, and what was assessed with it is to be assessed again. Terms
by severity: up to three months, three to twelve months, one to three years.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

import pandas as pd

from lab.errors import GovernanceError

State = Literal["active", "in_repair", "disputed", "repaired", "withdrawn", "expired"]
Change = Literal[
    "repair_requested", "repaired", "repair_denied", "disputed", "dispute_settled", "corrected", "withdrawn"
]
Severity = Literal["minor", "ordinary", "serious"]

#: Records in these states count.
USABLE: Final[frozenset[State]] = frozenset({"active", "in_repair"})
#: Severity → shortest and longest term of publicity, months.
TERMS: Final[Mapping[Severity, tuple[int, int]]] = {"minor": (0, 3), "ordinary": (3, 12), "serious": (12, 36)}

#: (state, change) → state; what is absent cannot happen. A settled dispute goes back to where it began.
TRANSITIONS: Final[Mapping[tuple[State, Change], State]] = {
    ("active", "repair_requested"): "in_repair",
    ("in_repair", "repaired"): "repaired",
    ("in_repair", "repair_denied"): "active",
    ("active", "disputed"): "disputed",
    ("in_repair", "disputed"): "disputed",
    ("disputed", "dispute_settled"): "active",
    ("active", "corrected"): "active",
    ("in_repair", "corrected"): "in_repair",
    ("disputed", "corrected"): "active",
    ("active", "withdrawn"): "withdrawn",
    ("in_repair", "withdrawn"): "withdrawn",
    ("disputed", "withdrawn"): "withdrawn",
}


@dataclass(frozen=True, slots=True)
class Event:
    """Attributes:
    on: the day from which it counts.
    amount: of a correction: what the amount is from then on.
    """

    change: Change
    on: date
    amount: float | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Days ``start`` to before ``end`` on which a record counts, with its amount then."""

    start: date
    end: date
    amount: float | None


def check_term(severity: Severity, published: date, term_ends: date) -> None:
    """Raises ``GovernanceError`` (``record_term``) for a term of publicity that the severity does not allow."""
    shortest, longest = TERMS[severity]
    earliest, latest = ((pd.Timestamp(published) + pd.DateOffset(months=m)).date() for m in (shortest, longest))
    if not (earliest <= term_ends <= latest and published < term_ends):
        raise GovernanceError(
            "record_term",
            f"A record of severity {severity} is published for {shortest} to {longest} months; its term ends outside.",
            f"严重程度为 {severity} 的记录公示期应为 {shortest} 至 {longest} 个月，所给期限不符。",
        )


def state_after(events: Iterable[Event]) -> State:
    """The state that a published record's events lead to, in order, its term aside.

    Raises:
        GovernanceError: ``record_change`` for one that cannot happen where it stands, or lies before another.
    """
    state: State = "active"
    before = date.min
    for event in events:
        if (state, event.change) not in TRANSITIONS or event.on < before:
            raise impossible(state, event.change)
        state, before = TRANSITIONS[state, event.change], event.on
    return state


def spans(published: date, term_ends: date, amount: float | None, events: Iterable[Event]) -> list[Span]:
    """When the record counts, in order: while it is usable and within its term. Raises as ``state_after``."""
    found: list[Span] = []
    past: list[Event] = []
    start, usable = published, True
    for event in [*events]:
        past.append(event)
        on = min(max(event.on, start), term_ends)
        if usable and on > start:
            found.append(Span(start, on, amount))
        start, usable = on, state_after(past) in USABLE
        amount = event.amount if event.change == "corrected" else amount
    if usable and term_ends > start:
        found.append(Span(start, term_ends, amount))
    return found


def impossible(state: str, change: Change) -> GovernanceError:
    """A change that cannot happen where the record stands."""
    return GovernanceError(
        "record_change",
        f"A record that is {state} cannot become '{change}' then. Look at its history.",
        f"状态为 {state} 的记录此时不能发生“{change}”，请核对其历史。",
    )
