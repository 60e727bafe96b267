"""What was repaired, withdrawn, disputed or has run out is not used, as of whichever day."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine

from lab.errors import GovernanceError
from lab.governance.record_states import TRANSITIONS, USABLE, Change, Event, State, spans, state_after
from lab.governance.records import Record, RecordBook, RecordChange

FIRST, LAST = date(2025, 1, 1), date(2026, 1, 1)
ENDS = date(2027, 6, 1)


def record(number: str = "R-1", **changes: Any) -> Record:
    told = {
        "record": number,
        "subject": "S-1",
        "item": "penalty",
        "severity": "serious",
        "published": FIRST,
        "term_ends": ENDS,
        "amount": 5000.0,
    }
    return Record(**{**told, **changes})


def change(kind: str, on: date, number: str = "R-1", amount: float | None = None) -> RecordChange:
    return RecordChange(record=number, change=kind, on=on, amount=amount)  # type: ignore[arg-type]


def count(book: RecordBook, as_of: date, used_on: date, subject: str = "S-1") -> float:
    return float(book.features([subject], [as_of], used_on, ["penalty"])["penalty_count"][0])


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("kind", get_args(Change))
def test_every_state_meets_every_change(state: State, kind: Change) -> None:
    ways: dict[str, list[Change]] = {
        "active": [],
        "in_repair": ["repair_requested"],
        "disputed": ["disputed"],
        "repaired": ["repair_requested", "repaired"],
        "withdrawn": ["withdrawn"],
    }
    if state == "expired":
        return  # by its term, not by an event
    events = [Event(c, FIRST + timedelta(days=k)) for k, c in enumerate(ways[state])]
    assert state_after(events) == state
    after = [*events, Event(kind, LAST)]
    if (state, kind) in TRANSITIONS:
        assert state_after(after) == TRANSITIONS[state, kind]
    else:
        with pytest.raises(GovernanceError) as caught:
            state_after(after)
        assert caught.value.code == "record_change"


def test_nothing_happens_before_what_happened() -> None:
    with pytest.raises(GovernanceError):
        state_after([Event("disputed", LAST), Event("dispute_settled", LAST - timedelta(days=1))])


kinds = st.sampled_from(get_args(Change))


@given(st.lists(st.tuples(kinds, st.integers(0, 1200)), max_size=6), st.integers(-10, 1200))
def test_a_day_lies_in_a_span_exactly_if_the_record_is_usable_then(steps: list[tuple[Change, int]], day: int) -> None:
    events: list[Event] = []
    for kind, offset in sorted(steps, key=lambda step: step[1]):
        try:
            state_after([*events, Event(kind, FIRST + timedelta(days=offset))])
        except GovernanceError:
            continue
        events.append(Event(kind, FIRST + timedelta(days=offset)))
    at = FIRST + timedelta(days=day)
    usable = FIRST <= at < ENDS and state_after(e for e in events if e.on <= at) in USABLE
    found = spans(FIRST, ENDS, None, events)
    assert any(s.start <= at < s.end for s in found) == usable
    assert all(a.end <= b.start for a, b in pairwise(found))


def test_a_repaired_record_is_gone_from_the_past_too(store: Engine) -> None:
    book = RecordBook(store)
    assert book.add([record()]) == 1
    applied = date(2025, 6, 1)
    assert count(book, FIRST - timedelta(days=1), LAST) == 0  # not known yet
    assert count(book, applied, LAST) == 1
    book.change(change("repair_requested", date(2025, 9, 1)))
    assert count(book, applied, LAST) == 1
    assert book.change(change("repaired", date(2025, 12, 1))) == "S-1"
    assert count(book, applied, date(2025, 11, 30)) == 1
    assert count(book, applied, date(2025, 12, 1)) == 0
    assert book.state("R-1", date(2025, 10, 1)) == "in_repair"
    assert book.state("R-1", LAST) == "repaired"


@pytest.mark.parametrize("kind", ["withdrawn", "disputed"])
def test_withdrawn_and_disputed_records_drop_out(store: Engine, kind: str) -> None:
    book = RecordBook(store)
    book.add([record()])
    book.change(change(kind, date(2025, 9, 1)))
    assert count(book, date(2025, 6, 1), LAST) == 0
    if kind == "disputed":
        book.change(change("dispute_settled", date(2025, 10, 1)))
        assert count(book, date(2025, 6, 1), LAST) == 1
        assert count(book, date(2025, 9, 15), LAST) == 0  # it was in dispute when the application came


def test_a_record_past_its_term_drops_out(store: Engine) -> None:
    book = RecordBook(store)
    book.add([record(severity="minor", term_ends=date(2025, 3, 1))])
    assert count(book, date(2025, 2, 1), date(2025, 2, 28)) == 1
    assert count(book, date(2025, 2, 1), date(2025, 3, 1)) == 0
    assert book.state("R-1", date(2025, 3, 1)) == "expired"


def test_features_are_counts_months_and_amounts_as_of_each_date(store: Engine) -> None:
    book = RecordBook(store)
    book.add(
        [
            record("R-1", amount=100.0),
            record("R-2", published=date(2025, 4, 1), amount=None),
            record("R-3", subject="S-2", item="arrears", amount=7.0),
        ]
    )
    book.change(change("corrected", date(2025, 8, 1), amount=40.0))
    found = book.features(
        ["S-1", "S-1", "S-1", "S-2", "S-9"],
        [date(2025, 2, 1), date(2025, 5, 1), date(2025, 9, 1), date(2025, 5, 1), date(2025, 5, 1)],
        LAST,
        ["penalty", "arrears"],
    )
    assert found["penalty_count"].tolist() == [1, 2, 2, 0, 0]
    assert found["penalty_amount"].tolist() == [100, 100, 40, 0, 0]
    np.testing.assert_allclose(found["penalty_months"], np.array([31, 30, 153, np.nan, np.nan]) * 12 / 365.25)
    assert found["arrears_count"].tolist() == [0, 0, 0, 1, 0]


def test_who_is_affected_by_changes_and_ended_terms(store: Engine) -> None:
    book = RecordBook(store)
    book.add([record(), record("R-2", subject="S-2", severity="minor", term_ends=date(2025, 3, 1))])
    book.change(change("withdrawn", date(2025, 5, 1)))
    assert book.changed(date(2025, 3, 1), date(2025, 5, 1)) == ["S-1", "S-2"]
    assert book.changed(date(2025, 3, 2), date(2025, 5, 1)) == ["S-1"]
    assert book.changed(date(2025, 5, 2), date(2025, 6, 1)) == []


def test_imports_may_be_repeated_but_not_contradicted(store: Engine) -> None:
    book = RecordBook(store)
    assert book.add([record(), record("R-2")]) == 2
    assert book.add([record(), record("R-3")]) == 1
    for wrong, code in (([record(amount=1.0)], "record_exists"), ([record("R-9"), record("R-9")], "record_repeated")):
        with pytest.raises(GovernanceError) as caught:
            book.add(wrong)
        assert caught.value.code == code
    with pytest.raises(GovernanceError) as caught:
        book.change(change("disputed", LAST, "R-8"))
    assert caught.value.code == "record_unknown"
    with pytest.raises(GovernanceError) as caught:
        book.change(change("disputed", FIRST - timedelta(days=1)))
    assert caught.value.code == "record_change"
    with pytest.raises(GovernanceError) as caught:
        book.state("R-1", FIRST - timedelta(days=1))
    assert caught.value.code == "record_unknown"


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "minor"},
        {"severity": "grave"},
        {"term_ends": FIRST},
        {"term_ends": date(2029, 1, 1)},
        {"amount": -1.0},
        {"amount": float("nan")},
        {"published": "2025-02-30"},
        {"subject": ""},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_record_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record(**changes)
