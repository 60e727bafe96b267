"""Runs whose label is an amount, a share or a count: from file to document, and what is refused on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn import metrics as oracle
from typer.testing import CliRunner

from lab import cli, run_views
from lab.amount_reports import SECTIONS, number_text
from lab.config import load_config
from lab.config_sections import SplitSection
from lab.evaluation import arrange
from lab.finish import report_run
from lab.reports import write_report
from lab.runs import train_run
from models.bundle import JointModel, load
from models.errors import DataError, LianmoError
from tests.lab.conftest import Write
from tests.lab.test_reports import Page

POWERS = {"regression": 0.0, "poisson": 1.0, "tweedie": 1.3}


@pytest.fixture
def amounts(files: Path) -> Path:
    """The bank's file with labels for each objective, which data of the hosts explain."""
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    late = pd.read_csv(files / "tax.csv", dtype={"id": str}).set_index("id")["late"]
    signal = late.reindex(bank["id"]).fillna(1).to_numpy()
    rng = np.random.default_rng(1)
    n = len(bank)
    bank = bank.assign(
        regression=np.clip(0.1 + 0.15 * signal + 0.15 * rng.normal(size=n), -0.1, 1.2),
        poisson=rng.poisson(0.3 * signal),
        tweedie=np.where(rng.random(n) < 0.2, 0.0, rng.gamma(9.0, 50.0 * (0.2 + signal))),
        exposure=rng.uniform(0.5, 2.0, n),
        month=np.arange(n) % 12,
    )
    bank.to_csv(files / "bank.csv", index=False)
    return files


def config_of(write: Write, objective: str, boosting: str = "", label: str = "", guest: str = "") -> Path:
    power = "tweedie_variance_power = 1.3" if objective == "tweedie" else ""
    path = write(
        boosting=f'objective = "{objective}"\nlearning_rate = 0.3\n{power}\n{boosting}', label=label or objective
    )
    labels = ["bad", "exposure", "month", *POWERS]
    drop = json.dumps([name for name in labels if name != (label or objective)])
    text = path.read_text(encoding="utf-8").replace('party = "bank"', f'party = "bank"\ndrop = {drop}\n{guest}')
    path.write_text(text, encoding="utf-8")
    return path


def train(path: Path, **options: Any) -> dict[str, Any]:
    return train_run(load_config(path), Console(quiet=True), **options)


def scores_of(files: Path) -> pd.DataFrame:
    return pd.read_csv(files / "runs" / "small" / "nodes" / "bank" / "scores.csv", dtype={"id": str})


@pytest.mark.parametrize("objective", POWERS)
def test_measures_of_a_run_are_those_of_scikit_learn_on_its_scores(
    write_config: Write, amounts: Path, objective: str
) -> None:
    result = train(config_of(write_config, objective))
    scores = scores_of(amounts)
    held_out = scores[scores["part"] == "holdout"]
    assert (result["kind"], result["objective"]) == ("amounts", objective)
    assert result["rows"]["holdout"] == len(held_out) == pytest.approx(0.3 * len(scores), abs=6)
    for who in ("bank_only", "joint"):
        told = result["amounts"]["measures"][who]
        y, expected = held_out["label"], held_out[who]
        assert told["rmse"]["value"] == pytest.approx(oracle.root_mean_squared_error(y, expected))
        assert told["r_squared"]["value"] == pytest.approx(oracle.r2_score(y, expected))
        deviance = oracle.mean_tweedie_deviance(y, expected, power=POWERS[objective])
        assert told["deviance"]["value"] == pytest.approx(deviance)
        assert all(i["low"] <= i["high"] for i in told.values())
    assert result["amounts"]["gain"]["gini"]["low"] > 0
    assert json.loads(json.dumps(result)) == result
    model = JointModel.from_json(load(amounts / "runs" / "small" / "nodes" / "bank" / "model.json"))
    assert model.objective == objective


def test_the_page_is_whole_tells_both_languages_and_no_applicant(write_config: Write, amounts: Path) -> None:
    path = config_of(write_config, "tweedie", guest='weight = "exposure"')
    result = train(path, finish=(report_run,))
    directory = amounts / "runs" / "small"
    text = (directory / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert (page.wrong, page.open) == ([], [])
    assert page.links == set(SECTIONS) <= page.ids
    assert text.count("<svg") == 2
    assert number_text(result["amounts"]["measures"]["joint"]["rmse"]["value"]) in text
    assert "no points and no band" in text
    assert not any(i in text for i in scores_of(amounts)["id"])
    assert not any(name in text for name in ("tax, 元", "seized"))
    write_report(directory, result)
    assert (directory / "report.html").read_text(encoding="utf-8") == text
    console = Console(width=120)
    with console.capture() as shown:
        run_views.trees(console, result)
    assert "Gini 基尼系数" in shown.get()
    assert "observed 实际" in shown.get()


def test_out_of_time_and_early_stopping_go_with_amounts(write_config: Write, amounts: Path) -> None:
    path = config_of(write_config, "poisson", "early_stopping_rounds = 2")
    text = path.read_text(encoding="utf-8").replace("n_estimators = 3", "n_estimators = 200").replace("[cipher]", SPLIT)
    path.write_text(text.replace('"month", ', ""), encoding="utf-8")
    result = train(path, finish=(report_run,))
    scores = scores_of(amounts)
    assert result["trees"] < 200
    assert len(result["valid_loss"]) == result["trees"] + 2
    assert scores.loc[scores["part"] == "holdout", "period"].min() == 9
    assert scores.loc[scores["part"] != "holdout", "period"].max() == 8
    assert [p["periods"] for p in result["parts"]][2] == [9, 11]
    assert "Held out by time" in (amounts / "runs" / "small" / "report.html").read_text(encoding="utf-8")


SPLIT = '[split]\nvalid = 0.2\ntime_column = "month"\nholdout_from = 9\n[cipher]'


def test_tenths_of_the_label_are_held_out_alike() -> None:
    label = np.where(np.arange(1000) % 3, 0.0, np.exp(np.random.default_rng(0).normal(size=1000) * 2))
    ids = [f"{k:04d}" for k in range(1000)]
    a = arrange(np.arange(1000), ids, label, SplitSection(holdout=0.3), seed=1, objective="tweedie")
    held_out = a.rows[a.n_fit :]
    assert (label[held_out] == 0).mean() == pytest.approx((label == 0).mean(), abs=0.005)
    large = label > np.quantile(label, 0.95)
    assert large[held_out].sum() == pytest.approx(0.3 * large.sum(), abs=4)


def test_a_file_is_scored_with_expected_labels(write_config: Write, amounts: Path) -> None:
    train(config_of(write_config, "poisson"))
    out = amounts / "scored.csv"
    arguments = ["score", amounts / "runs" / "small" / "nodes" / "bank", amounts / "bank.csv", "--local", "--out", out]
    done = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    scored = pd.read_csv(out, dtype={"id": str})
    assert list(scored) == ["id", "expected", "unknown_at"]
    assert (scored["expected"].isna() == scored["unknown_at"].notna()).all()
    told = scores_of(amounts).merge(scored, on="id")
    assert len(told) == len(scores_of(amounts)) <= scored["expected"].notna().sum() < len(scored)
    np.testing.assert_allclose(told["expected"], told["joint"], rtol=1e-12)


def test_what_needs_a_default_refuses_in_one_sentence(write_config: Write, amounts: Path) -> None:
    path = config_of(write_config, "regression")
    train(path)
    run = amounts / "runs" / "small"
    for arguments in (["validate", run], ["value", path], ["serve", run / "nodes" / "bank"]):
        caught = CliRunner().invoke(cli.app, list(map(str, arguments))).exception
        assert isinstance(caught, LianmoError)
        assert caught.code == "objective_not_binary"
        assert f"lianmo {arguments[0]}" in caught.english
        assert "仅适用于" in caught.chinese


def spoilt(**columns: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda bank: bank.assign(**columns)


def one_wrong(name: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def spoil(bank: pd.DataFrame) -> pd.DataFrame:
        column = bank[name].astype(object)
        column[5] = value
        return bank.assign(**{name: column})

    return spoil


@pytest.mark.parametrize(
    ("code", "objective", "spoil"),
    [
        ("label_negative", "poisson", one_wrong("poisson", -1)),
        ("label_negative", "tweedie", one_wrong("tweedie", -0.01)),
        ("label_not_number", "regression", one_wrong("regression", "much")),
        ("label_not_number", "regression", one_wrong("regression", None)),
        ("label_not_number", "tweedie", one_wrong("tweedie", "inf")),
        ("constant_label", "regression", spoilt(regression=0.45)),
        ("constant_label", "poisson", spoilt(poisson=0)),
        ("too_few_rows", "regression", lambda bank: bank.head(40)),
        ("bad_weight", "regression", one_wrong("exposure", 0.0)),
        ("bad_weight", "regression", one_wrong("exposure", -2.0)),
        ("bad_weight", "tweedie", one_wrong("exposure", None)),
    ],
)
def test_labels_and_weights_that_do_not_fit_are_told_by_column_and_count(
    write_config: Write, amounts: Path, code: str, objective: str, spoil: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    bank = pd.read_csv(amounts / "bank.csv", dtype={"id": str})
    spoil(bank).to_csv(amounts / "bank.csv", index=False)
    path = config_of(write_config, objective, guest='weight = "exposure"')
    path.write_text(
        path.read_text(encoding="utf-8")
        .replace('data = "tax', 'min_rows = 1\ndata = "tax')
        .replace('data = "court', 'min_rows = 1\ndata = "court')
    )
    with pytest.raises(DataError) as caught:
        train(path)
    assert caught.value.code == code
    assert any("\u4e00" <= c <= "\u9fff" for c in caught.value.chinese)
    assert "much" not in caught.value.english
    if code.startswith(("label", "bad_weight")):
        assert "1 rows" in caught.value.english
        assert f"'{'exposure' if code == 'bad_weight' else objective}'" in caught.value.english
    assert not list((amounts / "runs").iterdir())


def test_a_part_without_any_outcome_is_refused() -> None:
    label = np.zeros(200)
    label[:1] = 1.0
    with pytest.raises(DataError) as caught:
        arrange(np.arange(200), [str(k) for k in range(200)], label, SplitSection(), seed=0, objective="poisson")
    assert caught.value.code == "constant_label"


def test_negative_shares_are_measured_and_the_figure_says_why_it_has_no_curve(
    write_config: Write, amounts: Path
) -> None:
    result = train(config_of(write_config, "regression"), finish=(report_run,))
    scores = scores_of(amounts)
    assert scores["label"].min() < 0
    assert result["amounts"]["measures"]["joint"]["gini"]["value"] > 0.2
    assert (amounts / "runs" / "small" / "curves.png").exists()
