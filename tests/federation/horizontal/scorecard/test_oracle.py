"""The outside oracle: models.woe and scikit-learn on all rows pooled make the same bins, WOE and coefficients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federation.horizontal.prebinning.columns import AgreedColumn
from models.losses import Floats
from models.scorecard.card import woe_of
from models.scorecard.logistic import LogisticRules, fit_logistic
from models.scorecard.selection import SelectionRules
from models.table import Table
from models.woe.fitting import WoeRules
from models.woe.prebins import PrebinRules
from tests.builders import Problem
from tests.federation.horizontal.boosting.cities import shares, unequal
from tests.federation.horizontal.scorecard.cities import EXACT, Trial
from tests.federation.vertical.test_oracle import as_table


def agree(table: Table, label: Floats, n_sites: int, parts: list[np.ndarray] | None = None, **options: Any) -> Trial:
    """Bins and WOE equal to those of all rows to the last bit, margins of rows held out to scikit-learn's to 1e-6."""
    n_fit = len(table) * 3 // 4
    of_sites = [rows[rows < n_fit] for rows in parts] if parts else shares(n_fit, n_sites)
    trial = Trial(table, label, of_sites, **options)
    developed = trial.fit()
    assert developed.contributors == developed.counted.contributors == trial.names
    prebins, found = trial.pooled_bins(developed, trial.names)
    assert developed.counted.prebins == tuple(prebins)
    assert developed.binned == tuple(found)
    held_out = table.take(np.arange(n_fit, len(table)))
    margin = developed.model.half.margin(held_out)
    assert np.ptp(margin) > 0.5
    np.testing.assert_allclose(margin, trial.sklearn_margin(developed, trial.names, held_out), atol=1e-6, rtol=0)
    for site in trial.sites.values():
        assert site.scorecard.scorecard == developed.model.half
    return trial


@pytest.mark.parametrize("n_sites", [3, 8])
@pytest.mark.parametrize("fitting", [EXACT, LogisticRules(l2=1.0, tolerance=1e-12)], ids=["free", "l2"])
def test_synthetic_rows_with_missing_values_and_levels(problem: Problem, n_sites: int, fitting: LogisticRules) -> None:
    agree(problem.whole, problem.label, n_sites, fitting=fitting)


@pytest.mark.parametrize("n_sites", [4, 16])
def test_skewed_sites_some_of_one_class_and_one_without_rows(problem: Problem, n_sites: int) -> None:
    parts = unequal(problem.label, n_sites)
    assert not len(parts[0])
    agree(problem.whole, problem.label, n_sites, parts)


@pytest.mark.parametrize(
    "options",
    [
        {"binning": WoeRules(method="tree")},
        {"binning": WoeRules(method="peak", small_bins="merge", min_goods=5, min_bads=5)},
        {"prebinning": PrebinRules(n_prebins=5, min_share=0.1)},
        {"prebinning": PrebinRules(n_prebins=50, min_share=0.0, min_count=3)},
    ],
    ids=str,
)
def test_rules_mean_what_they_mean_at_one_bank(problem: Problem, options: dict[str, Any]) -> None:
    agree(problem.whole, problem.label, 4, **options)


def test_special_codes_stand_apart(problem: Problem) -> None:
    name, column = next((n, c) for n, c in problem.whole.columns.items() if c.dtype == float)
    values = column.copy()
    values[::7] = -999.0
    table = Table(problem.whole.ids, {name: values})
    trial = agree(table, problem.label, 3, columns=(AgreedColumn(name, special_codes=(-999.0,)),))
    assert -999.0 not in trial.scorecard.columns[0].levels


def sba(shared_data: Path) -> tuple[Table, Floats, list[np.ndarray]]:
    """Rows, labels, and the rows of the seven largest banks and of all others."""
    frame = pd.read_csv(shared_data / "sba_loans.csv.gz").sample(frac=1, random_state=0).dropna(subset=["MIS_Status"])
    label = (frame["MIS_Status"] == "CHGOFF").to_numpy(dtype=np.float64)
    frame["sector"] = frame["NAICS"].astype(str).str[:2]
    columns = ["GrAppv", "SBA_Appv", "NoEmp", "CreateJob", "RetainedJob", "RevLineCr", "LowDoc", "State", "sector"]
    largest = frame["Bank"].value_counts().index[:7]
    parts = [np.flatnonzero(frame["Bank"] == bank) for bank in largest]
    parts.append(np.flatnonzero(~frame["Bank"].isin(largest)))
    return as_table(frame[columns].reset_index(drop=True)), label, parts


def test_sba_split_by_bank(shared_data: Path) -> None:
    table, label, parts = sba(shared_data)
    agree(table, label, 8, parts)


def test_credit_data(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "credit_data.csv.gz").sample(frac=1, random_state=0)
    label = (frame.pop("Status") == "bad").to_numpy(dtype=np.float64)
    agree(as_table(frame), label, 5, fitting=LogisticRules(l2=0.5, tolerance=1e-12))


def test_standard_errors_and_selection_are_those_of_one_bank(problem: Problem) -> None:
    """Selection drops features by sums; what stays is then fitted as one bank would, Wald's statistics with it."""
    columns = dict(problem.whole.columns)
    first = next(column for column in columns.values() if column.dtype == float)
    noise = np.random.default_rng(0).normal(size=(2, len(first)))
    columns |= {"twin": first + 0.05 * np.nanstd(first) * noise[0], "noise": noise[1]}
    table = Table(problem.whole.ids, columns)
    rules = SelectionRules(min_information_value=0.0, max_correlation=0.8, max_p_value=0.1, right_signs=True)
    trial = Trial(table, problem.label, shares(len(problem.label), 4), selection=rules)
    developed = trial.fit()
    reasons = {v.reason for v in developed.verdicts}
    assert {"", "correlated"} <= reasons
    assert {"insignificant", "reversed"} & reasons
    half = developed.model.half
    woe = woe_of(half.features, table)
    alone = fit_logistic(woe, problem.label, [f.name for f in half.features], EXACT)
    assert [c.name for c in developed.coefficients[1:]] == [c.name for c in alone.features]
    for ours, theirs in zip(developed.coefficients, (alone.intercept, *alone.features), strict=True):
        np.testing.assert_allclose([ours.value, ours.standard_error], [theirs.value, theirs.standard_error], rtol=1e-7)
    np.testing.assert_allclose(half.means, woe.mean(axis=0), atol=1e-8)
