"""A column without a legal basis, or of a forbidden kind, goes nowhere."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lab.errors import GovernanceError
from lab.governance.catalogue import SAMPLE, Catalogue, cite, load_catalogue
from lab.governance.detectors import detect
from lab.governance.quality import QualityRules, SourceReport, judge
from models.errors import ModelError
from models.table import Column, Table
from tests.builders import numbers, texts

CATALOGUE = load_catalogue(SAMPLE)


def table(**columns: Column) -> Table:
    return Table(tuple(str(k) for k in range(len(next(iter(columns.values()))))), columns)


def refused(columns: dict[str, Column], citations: dict[str, str]) -> GovernanceError:
    with pytest.raises(GovernanceError) as caught:
        cite(table(**columns), citations, CATALOGUE)
    return caught.value


def test_columns_bring_the_scopes_that_consents_must_name() -> None:
    x = numbers(1.0, 2.0)
    cited = cite(
        table(insured=x, paid_tax=x, patents=x, tax_grade=texts("A", "B")),
        {"insured": "SOC-01", "paid_tax": "TAX-01", "patents": "PAT-01", "tax_grade": "TAX-02"},
        CATALOGUE,
    )
    assert cited.scopes == ("social", "tax", "written:tax-01")
    assert cited.version == "2026.1-sample"


def test_columns_that_cite_nothing_or_what_is_not_shared_are_refused_by_name() -> None:
    x = numbers(1.0, 2.0)
    error = refused({"insured": x, "mystery": x, "other": x}, {"insured": "SOC-01", "other": "NO-99"})
    assert error.code == "uncatalogued"
    assert "mystery, other" in error.english
    assert refused({"remarks_score": x}, {"remarks_score": "INT-01"}).code == "not_shared"


@pytest.mark.parametrize(
    ("name", "values", "code"),
    [
        ("owner_religion", numbers(0.0, 1.0), "forbidden_kind"),
        ("法人宗教信仰", numbers(0.0, 1.0), "forbidden_kind"),
        ("x7", texts("佛教", "道教", None), "forbidden_kind"),
        ("group_code", texts("A", "O", "AB"), "forbidden_kind"),
        ("diagnosisCode", texts("a", "b"), "forbidden_kind"),
        ("x8", texts("J45.0", "E11", "I10"), "forbidden_kind"),
        ("contact", numbers(13812345678.0, 13912345679.0), "forbidden_kind"),
        ("ref", texts("11010519491231002X", "440524188001010014"), "forbidden_kind"),
        ("owner_income", numbers(1.0, 2.0), "undeclared_kind"),
        ("银行存款余额", numbers(1.0, 2.0), "undeclared_kind"),
        ("纳税额", numbers(1.0, 2.0), "undeclared_kind"),
    ],
)
def test_forbidden_kinds_are_found_by_name_and_by_content(name: str, values: Column, code: str) -> None:
    error = refused({name: values}, {name: "SOC-01"})
    assert error.code == code
    assert name in error.english
    assert "13812345678" not in str(error)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tax_grade", texts("A", "B", "M", "C", "D")),
        ("employees", numbers(1.0, 20.0)),
        ("generation", numbers(1.0, 2.0)),
        ("grade", texts("A", "B", "O")),
        ("turnover", numbers(13812345678.5, 2.0)),
        ("registered_capital", numbers(1e7, 5e7)),
        ("社保人数", numbers(3.0, 4.0)),
        ("industry", texts("C13", "F51", "制造业")),
        ("arrears_days", numbers(np.nan, 3.0)),
    ],
)
def test_ordinary_columns_are_of_no_kind(name: str, values: Column) -> None:
    assert detect(name, values) is None


def test_what_is_declared_to_need_written_consent_may_be_used_with_it() -> None:
    cited = cite(table(tax_paid_2023=numbers(1.0, 2.0)), {"tax_paid_2023": "TAX-01"}, CATALOGUE)
    assert cited.scopes == ("written:tax-01",)


# -- files that are none -----------------------------------------------------------------------------------------


def test_a_catalogue_that_is_none_is_refused_with_one_reason(tmp_path: Path) -> None:
    good = SAMPLE.read_text(encoding="utf-8")
    path = tmp_path / "city.toml"
    for spoilt in (
        "",
        "[",
        good.replace('sharing = "open"', 'sharing = "all"', 1),
        good.replace('item = "REG-01"', 'item = "TAX-01"'),
        good.replace('kind = "tax_amount"', 'kind = "shoe_size"'),
        good + "\nmore = 1\n",
        good.replace('basis = "Patent Law, art. 21"', 'basis = ""'),
    ):
        path.write_text(spoilt, encoding="utf-8")
        with pytest.raises(GovernanceError) as caught:
            load_catalogue(path)
        assert caught.value.code == "catalogue_unreadable"
        assert "\n" not in caught.value.english.strip()
    with pytest.raises(GovernanceError) as caught:
        load_catalogue(tmp_path / "absent.toml")
    assert caught.value.code == "catalogue_missing"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_catalogue_with_random_damage_is_refused_or_still_one(data: st.DataObject) -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    at = data.draw(st.integers(0, len(text) - 1))
    damaged = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 40)) :]
    path = Path(SAMPLE.name)

    class Given:
        name = path.name

        @staticmethod
        def read_text(encoding: str) -> str:
            return damaged

    code = ""
    try:
        assert isinstance(load_catalogue(Given()), Catalogue)  # type: ignore[arg-type]
    except GovernanceError as error:
        code = error.code
    assert code in ("", "catalogue_unreadable")


# -- quality -----------------------------------------------------------------------------------------------------

TODAY = date(2026, 6, 1)


def report(**changes: Any) -> SourceReport:
    told = {"source": "tax", "due": 100, "reported": 100, "compliant": 100, "on_time": 100, "newest": TODAY}
    return SourceReport(**{**told, **changes})


@pytest.mark.parametrize(
    ("changes", "verdict", "why"),
    [
        ({}, "good", ()),
        ({"compliant": 99}, "flagged", ("compliance",)),
        ({"on_time": 95, "compliant": 97}, "flagged", ("compliance", "timeliness")),
        ({"on_time": 80, "compliant": 97}, "blocked", ("timeliness",)),
        ({"reported": 0, "compliant": 0, "on_time": 0}, "blocked", ("reporting", "compliance", "timeliness")),
        ({"newest": TODAY - timedelta(days=367)}, "blocked", ("age",)),
        ({"newest": TODAY - timedelta(days=366)}, "good", ()),
    ],
)
def test_a_source_is_judged_by_its_rates_and_its_age(
    changes: dict[str, Any], verdict: str, why: tuple[str, ...]
) -> None:
    [found] = judge([report(**changes)], QualityRules(), TODAY)
    assert (found.verdict, found.why) == (verdict, why)


@pytest.mark.parametrize("changes", [{"reported": 101}, {"compliant": 101}, {"due": 0}, {"newest": "soon"}], ids=str)
def test_what_is_no_report_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        report(**changes)


@pytest.mark.parametrize("changes", [{"block_under": 1.1}, {"flag_under": 0.5}, {"max_age_days": -1}], ids=str)
def test_rules_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        QualityRules(**changes)
