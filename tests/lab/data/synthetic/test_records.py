"""Credit records: dates follow each other as the rules on publicity and repair have it, and decide what may be used."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from lab.data.synthetic.records import in_force, severity_on

MONTHS = {"minor": (1, 3), "general": (3, 12), "serious": (12, 36)}
SNAPSHOT = date(2026, 6, 30)


@pytest.fixture(scope="module")
def records(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return tables["host-credit/records"]


def test_publicity_lasts_as_long_as_the_class_says(records: pd.DataFrame) -> None:
    penalties = records[records["kind"] == "penalty"]
    assert set(penalties["severity"]) == set(MONTHS)
    for severity, (shortest, longest) in MONTHS.items():
        rows = penalties[penalties["severity"] == severity]
        start, end = pd.to_datetime(rows["effective_from"]), pd.to_datetime(rows["publicity_end"])
        assert (end >= start + pd.DateOffset(months=shortest)).all()
        assert (end <= start + pd.DateOffset(months=longest)).all()


def test_dates_follow_each_other(records: pd.DataFrame) -> None:
    register = records["effective_from"]
    assert (records["reported_on"] > register).all()
    for earlier, later in (
        ("effective_from", "repair_applied_on"),
        ("repair_applied_on", "repaired_on"),
        ("reported_on", "withdrawn_on"),
        ("reported_on", "disputed_from"),
        ("disputed_from", "disputed_to"),
    ):
        both = records[records[later].notna()]
        assert len(both) > 0
        assert both[earlier].notna().all()
        assert (both[earlier] < both[later]).all()
    repaired = records[records["repaired_on"].notna()]
    assert (repaired["repaired_on"] <= repaired["publicity_end"]).all()
    for name in records.select_dtypes(exclude="number"):
        if name.endswith(("_on", "_from", "_to")):
            assert (records[name].dropna() <= SNAPSHOT).all()


def test_serious_penalties_are_repaired_after_a_year_at_the_earliest(records: pd.DataFrame) -> None:
    for severity, months in (("general", 3), ("serious", 12)):
        rows = records[(records["severity"] == severity) & records["repair_applied_on"].notna()]
        assert len(rows) > 0
        earliest = pd.to_datetime(rows["effective_from"]) + pd.DateOffset(months=months)
        assert (pd.to_datetime(rows["repair_applied_on"]) >= earliest).all()


def test_nothing_happens_before_registration(tables: dict[str, pd.DataFrame]) -> None:
    born = tables["host-credit/enterprises"].set_index("subject")["registered_on"]
    for name, day in (
        ("host-credit/records", "effective_from"),
        ("host-credit/patents", "granted_on"),
        ("host-credit/bids", "won_on"),
        ("host-guarantee/guarantees", "starts_on"),
        ("bank/applications", "applied_on"),
        ("ledger/consents", "starts_on"),
    ):
        frame = tables[name]
        assert (frame[day].to_numpy() > born[frame["subject"]].to_numpy()).all()


def record(**days: str | int) -> dict[str, np.ndarray]:
    dates = (
        "reported_on",
        "publicity_end",
        "repaired_on",
        "withdrawn_on",
        "disputed_from",
        "disputed_to",
        "corrected_on",
    )
    return {name: np.array([days.get(name, "NaT")], dtype="datetime64[D]") for name in dates} | {
        "severity": np.array([days.get("severity", 2)]),
        "corrected_severity": np.array([days.get("corrected_severity", -1)]),
    }


OPEN = {"reported_on": "2024-01-10", "publicity_end": "2024-12-31"}


@pytest.mark.parametrize(
    ("days", "used", "unused"),
    [
        (OPEN, ["2024-01-10", "2024-12-31"], ["2024-01-09", "2025-01-01"]),
        (OPEN | {"repaired_on": "2024-06-01"}, ["2024-05-31"], ["2024-06-01"]),
        (OPEN | {"withdrawn_on": "2024-06-01"}, ["2024-05-31"], ["2024-06-01"]),
        (
            OPEN | {"disputed_from": "2024-03-01", "disputed_to": "2024-04-01"},
            ["2024-02-29", "2024-04-01"],
            ["2024-03-01", "2024-03-31"],
        ),
        (OPEN | {"disputed_from": "2024-03-01"}, ["2024-02-29"], ["2024-03-01", "2024-12-31"]),
    ],
)
def test_what_may_be_used_on_a_day(days: dict[str, str], used: list[str], unused: list[str]) -> None:
    for day, expected in [*((d, True) for d in used), *((d, False) for d in unused)]:
        assert in_force(record(**days), np.array([day], dtype="datetime64[D]")).tolist() == [expected], day


def test_a_corrected_class_holds_from_its_day() -> None:
    corrected = record(**OPEN, severity=2, corrected_on="2024-05-01", corrected_severity=1)
    for day, expected in (("2024-04-30", 2), ("2024-05-01", 1)):
        assert severity_on(corrected, np.array([day], dtype="datetime64[D]")).tolist() == [expected]


def test_grades_cover_time_without_gaps(tables: dict[str, pd.DataFrame]) -> None:
    grades = tables["host-tax/grades"].sort_values(["subject", "effective_from"])
    following = grades.groupby("subject")["effective_from"].shift(-1)
    assert (grades["effective_to"].isna() == following.isna()).all()
    closed = grades[following.notna()]
    assert (closed["effective_to"] == following[following.notna()]).all()
    assert (closed["effective_to"] > closed["effective_from"]).all()
    assert set(grades["grade"]) == {"A", "B", "M", "C", "D"}
    assert set(grades["reason"]) == {"annual", "adjusted"}
