"""Nothing comes through the door that should not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE, load_catalogue
from lab.governance.consents import Consent, ConsentLedger
from lab.governance.gate import Asked, Gate
from lab.governance.policy import PolicyBook, Terms, Use
from lab.governance.quality import SourceReport
from lab.governance.records import Record, RecordBook, RecordChange
from lab.governance.settings import RecordFeatures, load_settings
from models.table import Table
from tests.builders import numbers, texts

NOW = datetime(2026, 6, 1, 4, tzinfo=UTC)
TABLE = Table(
    ("S-0", "S-1", "S-2", "S-3"),
    {"insured": numbers(1, 2, 3, 4), "tax_grade": texts("A", "B", "C", "D")},
)
CITATIONS = {"insured": "SOC-01", "tax_grade": "TAX-02"}
ASKED = Asked(project="p", party="bank", purpose="loan_model", algorithm="boosting")
TAX = "tax bureau 税务"


def consent(k: int, **changes: Any) -> Consent:
    told = {
        "consent": f"C-{k}",
        "subject": f"S-{k}",
        "purpose": "loan_model",
        "parties": ["bank"],
        "scopes": ["social", "tax"],
        "starts": NOW - timedelta(days=1),
        "ends": NOW + timedelta(days=1),
        "evidence": "0" * 64,
    }
    return Consent(**{**told, **changes})


def gate(store: Engine, **changes: Any) -> Gate:
    book = PolicyBook(store)
    book.propose("p", Terms(parties=["bank"], purposes=["loan_model"], algorithms=["boosting"]), "Li", NOW)
    book.decide("p", "approved", "Wang", NOW)
    ConsentLedger(store).add([consent(0), consent(1), consent(2, scopes=["tax"])])
    return replace(Gate(store, load_catalogue(SAMPLE), CITATIONS, clock=lambda: NOW), **changes)


def refusal(door: Gate, table: Table = TABLE, asked: Asked = ASKED) -> str:
    with pytest.raises(GovernanceError) as caught:
        door.admit(table, asked)
    return caught.value.code


def test_only_rows_with_consent_for_all_their_columns_come_through(store: Engine) -> None:
    door = gate(store)
    admitted = door.admit(TABLE, ASKED)
    assert admitted.table.ids == ("S-0", "S-1")
    assert admitted.table.columns["insured"].tolist() == [1, 2]
    assert admitted.n_without_consent == 2
    assert door.admit(TABLE.select(("tax_grade",)), ASKED).table.ids == ("S-0", "S-1", "S-2")


def test_a_revocation_counts_at_the_next_use(store: Engine) -> None:
    door = gate(store)
    admitted = door.admit(TABLE, ASKED)
    ConsentLedger(store).revoke("C-1", NOW)
    assert door.admit(TABLE, ASKED).table.ids == ("S-0",)
    assert door.permitted(admitted.table.ids, ASKED, admitted.cited).tolist() == [True, False]
    ConsentLedger(store).revoke("C-0", NOW)
    assert refusal(door) == "no_consent"


def test_a_column_without_an_item_stops_everything(store: Engine) -> None:
    door = gate(store, citations={"insured": "SOC-01"})
    assert refusal(door) == "uncatalogued"


def test_a_project_that_is_not_allowed_stops_everything(store: Engine) -> None:
    door = gate(store)
    assert refusal(door, asked=replace(ASKED, project="q")) == "project_unknown"
    assert refusal(door, asked=replace(ASKED, purpose="marketing")) == "purpose_not_allowed"
    PolicyBook(store).decide("p", "stopped", "Wang", NOW)
    assert refusal(door) == "project_not_approved"


def test_a_source_that_is_not_good_enough_stops_everything(store: Engine) -> None:
    poor = SourceReport(source=TAX, due=100, reported=100, compliant=80, on_time=100, newest=NOW.date())
    door = gate(store, reports=[poor])
    assert refusal(door) == "source_blocked"
    assert door.admit(TABLE.select(("insured",)), ASKED).flagged == ()
    fair = poor.model_copy(update={"compliant": 95})
    [flagged] = replace(door, reports=[fair]).admit(TABLE, ASKED).flagged
    assert (flagged.source, flagged.why) == (TAX, ("compliance",))


def test_repaired_records_never_come_through(store: Engine) -> None:
    door = gate(store, records=RecordFeatures(items=("PEN-01",), as_of="applied"))
    book = RecordBook(store)
    record = {"item": "PEN-01", "severity": "serious", "published": date(2025, 3, 1), "term_ends": date(2027, 3, 1)}
    book.add([Record(record=f"R-{k}", subject=f"S-{k}", amount=9.0, **record) for k in (0, 1)])
    for change, on in (("repair_requested", date(2026, 1, 1)), ("repaired", date(2026, 5, 1))):
        book.change(RecordChange(record="R-1", change=change, on=on))  # type: ignore[arg-type]
    applied = texts("2025-06-01", "2025-06-01", "2025-01-01", "2025-01-01")
    table = Table(TABLE.ids, {**TABLE.columns, "applied": applied})
    admitted = door.admit(table, ASKED)
    assert "applied" not in admitted.table.columns
    assert admitted.table.columns["PEN-01_count"].tolist() == [1, 0]  # repaired since: gone from the past, too
    early = replace(door, clock=lambda: datetime(2026, 4, 30, tzinfo=UTC))
    assert early.with_records(table).columns["PEN-01_count"].tolist() == [1, 1, 0, 0]
    assert door.with_records(table, today=True).columns["PEN-01_count"].tolist() == [1, 0, 0, 0]
    assert "PEN-01" in {item.item for item in admitted.cited.items.values()}
    days = Table(TABLE.ids, {**TABLE.columns, "applied": numbers(20250601, 20250601, 20250101, 20250101)})
    assert door.admit(days, ASKED).table.columns["PEN-01_count"].tolist() == [1, 0]
    wrong = Table(TABLE.ids, {**TABLE.columns, "applied": texts("soon", "soon", "soon", "soon")})
    assert refusal(door, wrong) == "as_of_unreadable"
    assert refusal(door, TABLE) == "as_of_missing"


def test_a_column_called_like_an_item_of_records_needs_its_own_consent_too(store: Engine) -> None:
    door = gate(store, records=RecordFeatures(items=("PEN-01",)))
    door = replace(door, citations={**door.citations, "PEN-01": "TAX-01"})
    cited = door.cite(Table(TABLE.ids, {"PEN-01": numbers(1, 2, 3, 4)}))
    assert {item.item for item in cited.items.values()} == {"PEN-01", "TAX-01"}


def test_records_of_no_item_of_the_catalogue_are_not_used(store: Engine) -> None:
    assert refusal(gate(store, records=RecordFeatures(items=("NO-99",)))) == "uncatalogued"


def test_a_node_is_its_folder(tmp_path: Path, address: str) -> None:
    (tmp_path / "catalogue.toml").write_text(SAMPLE.read_text("utf-8"), "utf-8")
    (tmp_path / "sources.jsonl").write_text(
        SourceReport(source=TAX, due=1, reported=1, compliant=1, on_time=1, newest=NOW.date()).model_dump_json(),
        "utf-8",
    )
    (tmp_path / "node.toml").write_text(
        f'party = "host:tax"\nstore = "{address}"\nreports = "sources.jsonl"\n[citations]\ninsured = "SOC-01"\n',
        "utf-8",
    )
    door = Gate.at(tmp_path, clock=lambda: NOW)
    assert door.citations == {"insured": "SOC-01"}
    assert [r.source for r in door.reports] == [TAX]
    door.engine.dispose()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("", "party"),
        ("[", "TOML"),
        ('party = "bank"', "party"),
        ('party = "host:tax"\nmore = 1', "more"),
        ('party = "host:tax"\n[quality]\nblock_under = 2.0', "block_under"),
    ],
)
def test_settings_that_are_none_are_refused_by_their_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(GovernanceError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "node_missing"
    (tmp_path / "node.toml").write_text(text, "utf-8")
    with pytest.raises(GovernanceError) as caught:
        load_settings(tmp_path)
    assert caught.value.code == "node_unreadable"
    assert field in caught.value.english


def test_a_store_without_a_path_lies_in_the_folder(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('party = "host:tax"\n', "utf-8")
    assert load_settings(tmp_path).store == f"sqlite:///{tmp_path.resolve()}/node.db"


def test_who_gets_nothing_pays_nothing(store: Engine) -> None:
    """Each refusal of the gate leaves the project's budgets as they were; who gets rows pays for those alone."""
    door, book = gate(store, records=RecordFeatures(items=("PEN-01",), as_of="applied")), PolicyBook(store)

    def left() -> tuple[int, int]:
        use = Use(project="p", party="bank", purpose="loan_model", algorithm="boosting", n_rows=1, at=NOW)
        found = book.dry_run(use)[1]
        return found.uses, found.rows

    uses, rows = left()
    stranger = Table(tuple(f"X-{k}" for k in range(4)), TABLE.columns)
    wrong = Table(TABLE.ids, {**TABLE.columns, "applied": texts("soon", "soon", "soon", "soon")})
    for table, asked, code in (
        (stranger, ASKED, "no_consent"),
        (TABLE, ASKED, "as_of_missing"),
        (wrong, ASKED, "as_of_unreadable"),
        (TABLE, replace(ASKED, party="other"), "party_not_allowed"),
        (TABLE, replace(ASKED, algorithm="scorecard"), "algorithm_not_allowed"),
    ):
        assert refusal(door, table, asked) == code
        assert left() == (uses, rows)
    dated = Table(TABLE.ids, {**TABLE.columns, "applied": texts(*["2025-06-01"] * 4)})
    n_admitted = len(door.admit(dated, ASKED).table)
    assert 0 < n_admitted < len(TABLE)
    assert left() == (uses - 1, rows - n_admitted)
