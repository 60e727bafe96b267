"""Cohorts from columns of a file: dates in several forms, what is young is marked, what is small is not told."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lab.config import load_config
from lab.reports import write_report
from lab.runs import train_run
from lab.validation.cohort_figures import anything_told, cohorts_reading
from lab.validation.cohorts import cohort_report, cohorts_of_run
from models.bundle import load
from models.errors import LianmoError
from tests.lab.conftest import Write


def frame() -> pd.DataFrame:
    """1,200 loans of two years; some default within two years of booking."""
    rng = np.random.default_rng(4)
    opened = pd.Period("2020-01", "M") + pd.Series(rng.integers(0, 24, 1200))
    wait = pd.Series(np.where(rng.random(1200) < 0.3, rng.integers(0, 24, 1200), -1))
    date = [str(o + w) + "-15" if w >= 0 else None for o, w in zip(opened, wait, strict=True)]
    return pd.DataFrame({"opened": opened.astype(str) + "-03", "defaulted": date, "wait": wait.where(wait >= 0)})


LOANS = frame()
LABEL = LOANS["wait"].notna().to_numpy(dtype=np.float64)


def test_the_triangle_is_what_a_pivot_of_loan_months_gives() -> None:
    report = cohort_report(LOANS["opened"], LOANS["defaulted"], LABEL, as_of="2022-05", minimum=1)
    assert (report.period, report.as_of, report.n_label_only) == ("quarter", "2022-05", 0)
    opened = pd.PeriodIndex(LOANS["opened"].str[:7], freq="M")
    seen = pd.Series([(pd.Period("2022-05", "M") - o).n for o in opened])
    loan_months = pd.DataFrame(
        [
            (str(o.asfreq("Q").year) + f" Q{o.quarter}", m, float(w <= m))
            for o, w, s in zip(opened, LOANS["wait"].fillna(np.inf), seen, strict=True)
            for m in report.months
            if m <= s
        ],
        columns=["cohort", "month", "bad"],
    )
    pivot = loan_months.pivot_table(index="cohort", columns="month", values="bad", aggfunc="mean")
    assert list(pivot.index) == list(report.names)
    for name, row in zip(report.names, report.triangle, strict=True):
        for m, cell in zip(report.months, row, strict=True):
            if cell is None:
                assert m not in pivot.columns or np.isnan(pivot.loc[name, m])
            else:
                assert cell.default_rate == pytest.approx(pivot.loc[name, m])
    assert any(c and not c.mature for row in report.triangle for c in row)


@pytest.mark.parametrize(
    ("change", "default"),
    [
        (lambda d: d.assign(opened=d["opened"].str.replace("-", "").astype(int)), "defaulted"),
        (lambda d: d.assign(opened=d["opened"].str[:7]), "defaulted"),
        (lambda d: d.assign(opened=pd.to_datetime(d["opened"])), "defaulted"),
        (lambda d: d.assign(defaulted=d["defaulted"].str.replace("-", "").astype(float)), "defaulted"),
        (lambda d: d, "wait"),
    ],
)
def test_dates_in_other_forms_and_months_say_the_same(change: object, default: str) -> None:
    first = cohort_report(LOANS["opened"], LOANS["defaulted"], LABEL, as_of="2022-05", minimum=1)
    other = change(LOANS)  # type: ignore[operator]
    assert cohort_report(other["opened"], other[default], LABEL, as_of="202205", minimum=1) == first


def test_small_cohorts_are_not_told_and_labels_that_disagree_are_counted() -> None:
    label = LABEL.copy()
    label[np.flatnonzero(label == 0)[:7]] = 1.0
    label[np.flatnonzero(LABEL == 1)[:3]] = 0.0
    report = cohort_report(LOANS["opened"], LOANS["defaulted"], label, minimum=150)
    assert (report.n_label_only, report.n_date_only) == (7, 3)
    assert None in report.sizes
    for size, row in zip(report.sizes, report.triangle, strict=True):
        told = [c for c in row if c and c.n_rows is not None]
        assert all(c.n_rows >= 150 for c in told if c.n_rows)
        if size is None:
            assert told == []
    plain = json.loads(json.dumps(asdict(report)))
    assert anything_told(plain)
    assert "months" in cohorts_reading(plain)[0]


@pytest.mark.parametrize(
    ("opened", "default", "code"),
    [
        (["03/04/2020", "2020-01-01"], [None, 3], "bad_date"),
        (["2020-01-01", None], [None, 3], "bad_date"),
        (["2020", "2020"], ["2021-01-01", None], "bad_date"),
        (["2020-05", "2020-05"], ["2020-01", None], "bad_months"),
        (["2020-05", "2020-05"], ["soon", None], "bad_date"),
    ],
)
def test_what_cannot_be_read_is_named_without_a_value(opened: list, default: list, code: str) -> None:
    with pytest.raises(LianmoError) as caught:
        cohort_report(pd.Series(opened, name="begun"), pd.Series(default, name="gone"), np.zeros(2), minimum=1)
    assert caught.value.code == code
    assert "soon" not in str(caught.value)


def test_years_alone_will_do_with_months_to_default() -> None:
    report = cohort_report(
        pd.Series([2019] * 80 + [2020] * 80), pd.Series([5] * 40 + [None] * 120), LABEL[:160], "2021-12"
    )
    assert (report.period, report.names) == ("year", ("2019", "2020"))
    assert report.triangle[0][0]
    assert report.triangle[0][-1] is not None
    last = report.triangle[0][-1]
    assert last
    assert last.default_rate == 0.5


def test_a_run_shows_its_cohorts(write_config: Write, files: Path) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    loans = LOANS.head(len(bank))
    bank.assign(opened=loans["opened"].to_numpy(), wait=loans["wait"].to_numpy()).to_csv(
        files / "bank.csv", index=False
    )
    path = write_config()
    path.write_text(path.read_text().replace('label = "bad"', 'label = "bad"\ndrop = ["opened", "wait"]'))
    result = train_run(load_config(path), Console(quiet=True))
    run = files / "runs" / "small"
    report = cohorts_of_run(run, result, "wait", "opened", "2022-06", minimum=20)
    result["validation"]["cohorts"] = json.loads(json.dumps(asdict(report)))
    _, page = write_report(run, result)
    text = page.read_text(encoding="utf-8")
    assert "账龄分析" in text
    assert "as of 2022-06" in text
    assert all(name in text for name in report.names)
    for columns, code in (((("none"), "opened"), "column_missing"), (("wait", None), "open_missing")):
        with pytest.raises(LianmoError) as caught:
            cohorts_of_run(run, load(run / "result.json"), *columns)
        assert caught.value.code == code
