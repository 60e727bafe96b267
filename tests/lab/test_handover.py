"""A finished run leaves the bank a model of its own, calibrated apart, and examples by which both are tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from rich.console import Console
from sklearn.metrics import roc_auc_score

from federation.vertical.guest import Arrangement
from lab.bank_only import bank_only
from lab.config import load_config
from lab.finish import report_run
from lab.runs import train_run
from lab.serving.batch import score_frame
from lab.serving.hosts import Hosts
from lab.serving.loaded import Calibrated
from lab.serving.nodes import scoring_wire
from lab.serving.publishing.selftest import answers_alone
from lab.serving.publishing.stored import loaded_from
from models.bundle import load, save
from models.errors import ModelError
from models.table import Table
from models.validation.calibrators import fit_platt
from tests.lab.conftest import Write

CARD = "[scorecard]\nl2 = 1.0\nmin_information_value = 0.0\n"
FILES = ("bank_only.json", "calibration.json", "selftest.json")


def train(path: Path, task: Any = "train") -> dict[str, Any]:
    return train_run(load_config(path), Console(quiet=True), task=task)


@pytest.fixture
def telling(files: Path) -> Path:
    """The bank's own columns tell something of the outcome, and there are enough rows to see it."""
    rng = np.random.default_rng(3)
    n = 900
    own, theirs = rng.normal(size=(2, n))
    ids = [f"{i:018d}" for i in range(n)]
    bad = (own + theirs + rng.normal(size=n) > 0.7).astype(int)
    bank = pd.DataFrame({"id": ids, "bad": bad, "amount": own, "sector": rng.choice(["trade", "farm"], n)})
    bank.to_csv(files / "bank.csv", index=False)
    pd.DataFrame({"id": ids, "late": theirs}).to_csv(files / "tax.csv", index=False)
    pd.DataFrame({"id": ids, "cases": rng.normal(size=n)}).to_csv(files / "court.csv", index=False)
    return files


def bank_table(telling: Path) -> tuple[Table, pd.DataFrame]:
    frame = pd.read_csv(telling / "bank.csv", dtype={"id": str})
    columns = {"amount": frame["amount"].to_numpy(), "sector": frame["sector"].to_numpy(dtype=object)}
    return Table(tuple(frame["id"]), columns), frame


@pytest.mark.parametrize("extra", ["", CARD])
def test_the_banks_own_model_ranks_as_lightgbm_does_and_is_calibrated_apart(
    write_config: Write, telling: Path, extra: str
) -> None:
    config = load_config(write_config(boosting="reg_lambda = 0.5", extra=extra))
    result = train_run(config, Console(quiet=True), finish=(report_run,))
    bank = telling / "runs" / "small" / "nodes" / "bank"
    loaded = loaded_from(bank)
    assert loaded.bank_only
    model, served = loaded.bank_only.model, result["served"]["bank_only"]
    assert model.needed_hosts == []
    page = (telling / "runs" / "small" / "report.html").read_text(encoding="utf-8")
    told = served["auc"]
    assert f"AUC {told['value']:.3f} ({told['low']:.3f} – {told['high']:.3f})" in page
    assert (model.digest(), model.model_id) == (served["digest"], result["model_id"] + "-bank-only")
    assert model.model_id != loaded.joint.model.model_id
    assert served["calibration"]["source"] == "out_of_fold"
    # Three trees shrink too much; a scorecard's margins are log-odds already.
    assert served["calibration"]["method"] == ("raw" if extra else "platt")

    table, _ = bank_table(telling)
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    row_of = {i: k for k, i in enumerate(table.ids)}
    held_out, fit = (scores[scores["part"] == part] for part in ("holdout", "fit"))
    rows = np.array([row_of[i] for i in held_out["id"]])
    answers = answers_alone(model, loaded.bank_only.calibrator, table.take(rows))
    probability = np.array([a.default_probability for a in answers])
    assert served["auc"]["value"] == pytest.approx(roc_auc_score(held_out["label"], probability), abs=2e-3)
    frame = pd.DataFrame({"amount": table.columns["amount"], "sector": pd.Categorical(table.columns["sector"])})
    oracle = LGBMClassifier(n_estimators=3, max_depth=3, min_child_samples=5, verbose=-1, n_jobs=1)
    oracle.fit(frame.iloc[[row_of[i] for i in fit["id"]]], fit["label"])
    theirs = roc_auc_score(held_out["label"], oracle.predict_proba(frame.iloc[rows])[:, 1])
    assert served["auc"]["value"] > theirs - 0.03
    assert probability.mean() == pytest.approx(held_out["label"].mean(), abs=0.05)


def test_rows_that_watch_calibrate_both_models(write_config: Write, telling: Path) -> None:
    path = write_config(extra="[split]\nvalid = 0.4\n")
    result = train(path)
    bank = telling / "runs" / "small" / "nodes" / "bank"
    stored = load(bank / "calibration.json")
    assert stored["joint"]["source"] == stored["bank_only"]["source"] == "valid"
    watched = pd.read_csv(bank / "scores.csv").query("part == 'valid'")
    assert result["validation"]["calibration"]["method"] == stored["joint"]["method"] == "platt"
    assert loaded_from(bank).joint.calibrator == fit_platt(watched["label"], watched["joint"])


def test_joint_scores_are_told_as_calibrated(write_config: Write, telling: Path) -> None:
    train(write_config(extra="[split]\nvalid = 0.4\n"))
    bank = telling / "runs" / "small" / "nodes" / "bank"
    loaded, (table, _) = loaded_from(bank), bank_table(telling)
    with scoring_wire(bank, loaded.joint.model, Hosts(), local=True) as wire:
        raw = score_frame(Calibrated(model=loaded.joint.model), table, wire)
        told = score_frame(loaded.joint, table, wire)
    assert (set(raw["calibration"]), set(told["calibration"])) == ({"none"}, {"valid"})
    assert told["points"].tolist() != raw["points"].tolist()
    assert loaded.joint.calibrator
    margin = np.log(raw["default_probability"]) - np.log1p(-raw["default_probability"])
    assert told["default_probability"].to_numpy() == pytest.approx(loaded.joint.calibrator.apply(margin), rel=1e-9)


def test_a_run_without_rows_apart_calibrates_its_joint_model_on_those_held_out(
    write_config: Write, telling: Path
) -> None:
    """Three trees shrink too much; the answer of the service says on what that was set right."""
    result = train(write_config())
    bank = telling / "runs" / "small" / "nodes" / "bank"
    scores = pd.read_csv(bank / "scores.csv").query("part == 'holdout'")
    joint = loaded_from(bank).joint
    assert (joint.calibration, loaded_from(bank).bank_only.calibration) == ("holdout", "out_of_fold")  # type: ignore[union-attr]
    assert joint.calibrator == fit_platt(scores["label"], scores["joint"])
    by = {m["method"]: m for m in result["validation"]["calibration"]["methods"]}
    assert by["platt"]["judged"] == "folds"
    assert by["platt"]["log_loss"] < by["raw"]["log_loss"]
    assert abs(by["platt"]["cox"]["slope"]["value"] - 1) < abs(by["raw"]["cox"]["slope"]["value"] - 1)
    told = joint.calibrator.apply(scores["joint"])
    assert roc_auc_score(scores["label"], told) == roc_auc_score(scores["label"], scores["joint"])


def test_a_trial_does_not_pay_for_what_is_served(write_config: Write, telling: Path) -> None:
    for extra in ("", CARD):
        train(write_config(extra=extra), task="trial")
        bank = telling / "runs" / "small" / "nodes" / "bank"
        assert not any((bank / name).exists() for name in FILES)


def test_columns_that_tell_nothing_make_no_model(write_config: Write, files: Path) -> None:
    bank = pd.read_csv(files / "bank.csv", dtype={"id": str})
    one = np.arange(len(bank)) == 0  # a column that varies, but too little to cut
    bank = bank.assign(amount=np.where(one, 1.0, 2.0), sector=np.where(one, "farm", "trade"))
    bank.to_csv(files / "bank.csv", index=False)
    result = train_run(load_config(write_config()), Console(quiet=True), finish=(report_run,))
    assert result["served"]["bank_only"] is None
    assert "referred to a person" in (files / "runs" / "small" / "report.html").read_text(encoding="utf-8")
    folder = files / "runs" / "small" / "nodes" / "bank"
    assert not (folder / "bank_only.json").exists()
    assert loaded_from(folder).bank_only is None


def test_no_group_is_in_two_of_the_folds_that_calibrate() -> None:
    rng = np.random.default_rng(2)
    label, group = (rng.random(600) < 0.4).astype(float), np.arange(600) // 4
    seen: list[tuple[set[int], set[int]]] = []

    def fit(a: Arrangement) -> None:
        seen.append((set(group[a.rows[: a.n_fit]].tolist()), set(group[a.rows[a.n_fit :]].tolist())))

    def first_only(a: Arrangement) -> Any:
        return fit(a) or (SOME_MODEL, rng.normal(size=len(a.rows)))

    found = bank_only(first_only, label, Arrangement(np.arange(500), 500, 0), 0, group)
    assert found
    assert found.out_of_fold is not None
    assert np.isfinite(found.out_of_fold).all()
    assert len(seen) == 6
    assert all(not fitted & judged for fitted, judged in seen[1:])


SOME_MODEL: Any = object()


def test_no_applicant_and_no_host_is_in_what_is_kept(write_config: Write, telling: Path) -> None:
    train(write_config())
    bank = telling / "runs" / "small" / "nodes" / "bank"
    _, frame = bank_table(telling)
    for name in FILES:
        text = (bank / name).read_text(encoding="utf-8")
        assert (bank / name).stat().st_mode & 0o777 == 0o600
        assert not any(i in text for i in frame["id"])
        assert "late" not in text
    rows = json.loads((bank / "selftest.json").read_text(encoding="utf-8"))["bank_only"]["columns"]["amount"]
    assert not {v for v in rows if v is not None} & set(frame["amount"])


@pytest.mark.parametrize("extra", ["", CARD])
def test_what_is_changed_after_it_was_stored_is_not_loaded(write_config: Write, telling: Path, extra: str) -> None:
    train(write_config(extra=extra))
    bank = telling / "runs" / "small" / "nodes" / "bank"
    loaded_from(bank)

    def changed(name: str, change: Any) -> None:
        before = load(bank / name)
        data = json.loads(json.dumps(before))
        change(data)
        save(bank / name, data)
        with pytest.raises(ModelError) as caught:
            loaded_from(bank)
        assert caught.value.code in {"selftest_failed", "scorecard_unreadable"}, name
        save(bank / name, before)

    def steeper(data: Any) -> None:
        data["bank_only"]["calibrator"]["slope"] *= 1.0000001

    def calibrated(data: Any) -> None:
        data["joint"] = {"calibrator": {"format": 1, "kind": "platt", "intercept": 0.0, "slope": 1.01, "floor": 0.0}}

    changed("calibration.json", calibrated)
    if extra:
        changed("bank_only.json", lambda data: data["half"].update(intercept=data["half"]["intercept"] + 1e-9))
        changed("model.json", lambda data: data["half"].update(intercept=data["half"]["intercept"] + 1e-9))
    else:
        changed("calibration.json", steeper)
        changed("bank_only.json", lambda data: data.update(base_margin=data["base_margin"] + 1e-12))
        changed("model.json", lambda data: data.update(base_margin=data["base_margin"] + 1e-12))
    (bank / "bank_only.json").unlink()
    with pytest.raises(ModelError):
        loaded_from(bank)


def test_a_folder_of_an_earlier_release_has_the_joint_model_alone(write_config: Write, telling: Path) -> None:
    train(write_config())
    bank = telling / "runs" / "small" / "nodes" / "bank"
    for name in FILES:
        (bank / name).unlink()
    loaded = loaded_from(bank)
    assert loaded.bank_only is loaded.joint.calibrator is None
