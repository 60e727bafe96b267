"""Trees added to an earlier run through its configuration: the same bits, honest tests, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from lab.coalitions import value_of_run
from lab.config import load_config
from lab.continuation import unmixed
from lab.party_value import MoneyTerms
from lab.reports import write_report
from lab.runs import train_run
from models.bundle import Half, JointModel, load
from models.errors import DataError, LianmoError
from tests.lab.conftest import Write

#: The label of these files is 0/1; squared error is measured sooner.
QUICK = 'objective = "regression"'


def run(
    write: Write, trees: int, directory: str, *, continues: str = "", boosting: str = QUICK, **changes: Any
) -> dict[str, Any]:
    path = write(boosting=boosting, **changes)
    text = path.read_text(encoding="utf-8").replace("n_estimators = 3", f"n_estimators = {trees}")
    more = f'\ncontinues = "{continues}"' if continues else ""
    path.write_text(text.replace('directory = "runs/small"', f'directory = "runs/{directory}"{more}'), encoding="utf-8")
    return train_run(load_config(path), Console(quiet=True))


def model(files: Path, directory: str) -> JointModel:
    return JointModel.from_json(load(files / "runs" / directory / "nodes" / "bank" / "model.json"))


def halves(files: Path, directory: str) -> list[Half]:
    return [
        Half.from_json(load(files / "runs" / directory / "nodes" / f"host-{host}" / "half.json"))
        for host in ("tax", "court")
    ]


@pytest.mark.parametrize(
    ("transport", "boosting"),
    [
        ("memory", ""),
        ("memory", QUICK + "\nbagging_fraction = 0.7"),
        ("memory", QUICK + "\nearly_stopping_rounds = 4\n[split]\nvalid = 0.2"),
        pytest.param("relay", QUICK, marks=pytest.mark.slow),
    ],
)
def test_five_trees_and_five_more_are_ten_at_once(
    write_config: Write, files: Path, transport: str, boosting: str
) -> None:
    five = run(write_config, 5, "five", boosting=boosting)
    more = run(write_config, 10, "more", continues="runs/five", boosting=boosting, transport=transport)
    ten = run(write_config, 10, "ten", boosting=boosting)
    found, expected = model(files, "more"), model(files, "ten")
    assert found.trees == expected.trees
    assert found.base_margin == expected.base_margin
    assert [h.splits for h in halves(files, "more")] == [h.splits for h in halves(files, "ten")]
    scores = [(files / "runs" / d / "nodes" / "bank" / "scores.csv").read_bytes() for d in ("more", "ten")]
    assert scores[0] == scores[1]
    assert more["continues"] == five["digest"] == model(files, "five").digest()
    assert found.details["continues"] == five["digest"]
    assert "continues" not in ten
    assert len(more["tree_seconds"]) == len(ten["tree_seconds"]) - five["trees"]
    _, page = write_report(files / "runs" / "more", more)
    assert five["digest"][:24] in page.read_text(encoding="utf-8")


def test_rows_the_earlier_run_saw_do_not_test_the_new_one(write_config: Write, files: Path) -> None:
    run(write_config, 2, "first", boosting=QUICK + "\n[split]\nvalid = 0.2")
    earlier = pd.read_csv(files / "runs" / "first" / "nodes" / "bank" / "scores.csv", dtype={"id": str})
    run(write_config, 4, "second", continues="runs/first", boosting=QUICK + "\nrandom_state = 9\n[split]\nvalid = 0.2")
    later = pd.read_csv(files / "runs" / "second" / "nodes" / "bank" / "scores.csv", dtype={"id": str})
    both = later.merge(earlier[["id", "part"]], on="id", suffixes=("", "_before"))
    assert set(both.loc[both["part"] == "holdout", "part_before"]) == {"holdout"}
    assert "fit" not in set(both.loc[both["part"] == "valid", "part_before"])
    assert (both["part"] == "holdout").sum() > 10


def test_what_moves_goes_to_the_rows_that_fit() -> None:
    ids = list("abcdefg")
    fit, valid, held_out = (np.array(p, dtype=np.intp) for p in ([0, 1], [2, 3], [4, 5, 6]))
    earlier = {"c": "fit", "d": "valid", "e": "fit", "f": "valid", "g": "holdout"}
    parts = unmixed((fit, valid, held_out), ids, earlier)
    assert [p.tolist() for p in parts] == [[0, 1, 2, 4, 5], [3], [6]]
    with pytest.raises(DataError) as caught:
        unmixed((fit, valid[:0], held_out[:2]), ids, earlier)
    assert caught.value.code == "nothing_unseen"


def other_objective(files: Path) -> dict[str, Any]:
    return {"boosting": 'objective = "poisson"'}


def other_bins(files: Path) -> dict[str, Any]:
    path = files / "runs" / "first" / "result.json"
    result = load(path)
    path.write_text(json.dumps({**result, "parameters": {**result["parameters"], "max_bin": 16}}))
    return {}


def no_run(files: Path) -> dict[str, Any]:
    shutil.rmtree(files / "runs" / "first")
    return {}


def no_half(files: Path) -> dict[str, Any]:
    (files / "runs" / "first" / "nodes" / "host-tax" / "half.json").unlink()
    return {}


def other_half(files: Path) -> dict[str, Any]:
    path = files / "runs" / "first" / "nodes" / "host-tax" / "half.json"
    path.write_text(json.dumps({**load(path), "salt": "another"}))
    return {}


def other_hosts(files: Path) -> dict[str, Any]:
    return {"extra": '[[hosts]]\nparty = "host:new"\ndata = "tax.csv"\ninsecure_allow_plaintext = true'}


def scorecard(files: Path) -> dict[str, Any]:
    return {"extra": "[scorecard]", "boosting": ""}


def from_scorecard(files: Path) -> dict[str, Any]:
    path = files / "runs" / "first" / "result.json"
    path.write_text(json.dumps({**load(path), "kind": "scorecard"}))
    return {}


def unseen_level(files: Path) -> dict[str, Any]:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    bank.assign(amount=bank["amount"].where(bank.index % 3 > 0)).to_csv(files / "bank.csv", index=False)
    return {}


def column_gone(files: Path) -> dict[str, Any]:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    bank.rename(columns={"amount": "sum"}).to_csv(files / "bank.csv", index=False)
    return {}


@pytest.mark.parametrize(
    ("code", "exit_code", "change"),
    [
        ("continues_objective", 2, other_objective),
        ("continues_bins", 2, other_bins),
        ("continues_missing", 2, no_run),
        ("continues_missing", 2, no_half),
        ("continues_parties", 2, other_hosts),
        ("continues_scorecard", 2, scorecard),
        ("continues_scorecard", 2, from_scorecard),
        ("bins_do_not_fit", 3, unseen_level),
        ("missing_columns", 4, column_gone),
        ("unknown_model", 6, other_half),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(
    write_config: Write, files: Path, code: str, exit_code: int, change: Callable[[Path], dict[str, Any]]
) -> None:
    run(write_config, 1, "first")
    changes = change(files)
    with pytest.raises(LianmoError) as caught:
        run(write_config, 2, "second", continues="runs/first", **changes)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    assert any("\u4e00" <= c <= "\u9fff" for c in caught.value.chinese)
    assert not (files / "runs" / "second").exists()


def test_as_many_trees_or_its_own_directory_are_refused(write_config: Write) -> None:
    run(write_config, 2, "first")
    for trees, directory, code in ((2, "second", "continues_trees"), (4, "first", "continues_itself")):
        with pytest.raises(LianmoError) as caught:
            run(write_config, trees, directory, continues="runs/first")
        assert caught.value.code == code


def test_no_coalition_goes_on_from_a_model_of_all(write_config: Write) -> None:
    path = write_config(boosting=QUICK)
    text = path.read_text(encoding="utf-8").replace("[boosting]", 'continues = "runs/first"\n[boosting]')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LianmoError) as caught:
        value_of_run(load_config(path), Console(quiet=True), MoneyTerms())
    assert caught.value.code == "value_continues"
