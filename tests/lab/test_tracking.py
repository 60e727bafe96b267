"""The record holds the bank's half and numbers; nothing of a host's half, no row."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

from lab.config import load_config
from lab.finish import record_run, report_run
from lab.runs import train_run
from lab.serving.host_api import create_host_app
from lab.serving.nodes import hosts_beside, scoring_endpoint
from lab.serving.server import running
from models.bundle import load
from models.losses import default_probability
from tests.lab.conftest import Write
from tests.lab.serving.papers import Papers


@pytest.mark.slow
def test_a_run_is_recorded_registered_and_scores_through_mlflow(write_config: Write, files: Path) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    config = load_config(write_config())
    result = train_run(config, Console(quiet=True), finish=(report_run, record_run))
    uri = result["mlflow"]["tracking_uri"]
    store = MlflowClient(uri)
    parent = store.get_run(result["mlflow"]["run_id"])
    assert parent.data.metrics["auc_joint"] == result["auc"]["joint"]["value"]
    assert parent.data.metrics["stability_index"] == result["validation"]["stability"]["index"]
    assert parent.data.metrics["gini"] == pytest.approx(2 * parent.data.metrics["auc_joint"] - 1)
    assert parent.data.metrics["approval_gain"] == result["validation"]["comparison"]["approval"]["gain"]["value"]
    assert {a.path for a in store.list_artifacts(parent.info.run_id)} >= {"curves.png", "report.html"}
    assert parent.data.tags["data_digest"] == result["data_digest"]
    children = store.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {run.data.tags["party"] for run in children} == {"bank", "host:tax", "host:court"}
    assert len(store.get_metric_history(parent.info.run_id, "tree_seconds")) == result["trees"]
    version = store.get_model_version_by_alias("lianmo-small", "champion")
    assert str(version.version) == result["mlflow"]["model_version"]

    ids = set(pd.read_csv(files / "bank.csv", dtype={"id": str})["id"])
    stored = [p for p in (files / "runs" / "mlartifacts").rglob("*") if p.is_file()]
    assert any(p.name == "model.json" for p in stored)
    for path in stored:
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert not any(i in text for i in ids), path
        assert "seized" not in text, path

    mlflow.set_tracking_uri(uri)
    scorer = mlflow.pyfunc.load_model(result["mlflow"]["model_uri"])
    frame = pd.read_csv(files / "bank.csv", dtype={"id": str}).drop(columns="bad").astype({"amount": float})
    folders = hosts_beside(files / "runs" / "small" / "nodes" / "bank")
    tax, court = (running(create_host_app(scoring_endpoint(folders[host]))) for host in ("host:tax", "host:court"))
    with tax as tax_url, court as court_url:
        hosts = json.dumps({"host:tax": tax_url, "host:court": court_url})
        scored = scorer.predict(frame, params={"hosts": hosts})
    assert scored["default_probability"].notna().sum() == result["rows"]["common"]


@pytest.mark.slow
def test_a_run_of_amounts_is_recorded_with_its_own_measures(write_config: Write, files: Path) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    first = write_config(boosting='objective = "poisson"', label="bad")
    train_run(load_config(first), Console(quiet=True))
    text = first.read_text(encoding="utf-8").replace("n_estimators = 3", "n_estimators = 4")
    text = text.replace('directory = "runs/small"', 'directory = "runs/more"\ncontinues = "runs/small"')
    first.write_text(text, encoding="utf-8")
    result = train_run(load_config(first), Console(quiet=True), finish=(report_run, record_run))
    parent = MlflowClient(result["mlflow"]["tracking_uri"]).get_run(result["mlflow"]["run_id"])
    assert parent.data.metrics["deviance_joint"] == result["amounts"]["measures"]["joint"]["deviance"]["value"]
    assert parent.data.metrics["gain_gini"] == result["amounts"]["gain"]["gini"]["value"]
    assert parent.data.tags["continues"] == result["continues"]
    mlflow.set_tracking_uri(result["mlflow"]["tracking_uri"])
    scorer = mlflow.pyfunc.load_model(result["mlflow"]["model_uri"])
    frame = pd.read_csv(files / "bank.csv", dtype={"id": str}).drop(columns="bad").astype({"amount": float})
    folders = hosts_beside(files / "runs" / "more" / "nodes" / "bank")
    tax, court = (running(create_host_app(scoring_endpoint(folders[host]))) for host in ("host:tax", "host:court"))
    with tax as tax_url, court as court_url:
        scored = scorer.predict(frame, params={"hosts": json.dumps({"host:tax": tax_url, "host:court": court_url})})
    assert list(scored) == ["id", "expected", "unknown_at"]
    assert scored["expected"].min() > 0


def test_a_scorecard_is_recorded_alike_and_scores_through_mlflow(write_config: Write, files: Path) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    extra, exact = "[scorecard]\nl2 = 1.0\nmin_information_value = 0.0\n", 'csv"\nround_parts = 0\nid = "id'
    config = load_config(write_config(tax=f"tax.{exact}", court=f"court.{exact}", extra=extra))
    result = train_run(config, Console(quiet=True), finish=(report_run, record_run))
    uri = result["mlflow"]["tracking_uri"]
    store = MlflowClient(uri)
    parent = store.get_run(result["mlflow"]["run_id"])
    assert parent.data.metrics["auc_joint"] == result["auc"]["joint"]["value"]
    assert parent.data.metrics["features_used"] == len(result["coefficients"]) - 1
    assert parent.data.metrics["information_value_host-tax"] > 0
    assert parent.data.params["l2"] == "1.0"
    assert {a.path for a in store.list_artifacts(parent.info.run_id)} >= {"curves.png", "report.html"}
    children = store.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {run.data.tags["party"] for run in children} == {"bank", "host:tax", "host:court"}

    ids = set(pd.read_csv(files / "bank.csv", dtype={"id": str})["id"])
    for path in (p for p in (files / "runs" / "mlartifacts").rglob("*") if p.is_file()):
        text = path.read_bytes().decode("utf-8", errors="ignore")
        assert not any(i in text for i in ids), path
        assert "seized" not in text, path

    mlflow.set_tracking_uri(uri)
    scorer = mlflow.pyfunc.load_model(result["mlflow"]["model_uri"])
    bank = files / "runs" / "small" / "nodes" / "bank"
    frame = pd.read_csv(files / "bank.csv", dtype={"id": str}).drop(columns="bad").astype({"amount": float})
    folders = hosts_beside(bank)
    tax, court = (running(create_host_app(scoring_endpoint(folders[host]))) for host in ("host:tax", "host:court"))
    with tax as tax_url, court as court_url:
        hosts = json.dumps({"host:tax": tax_url, "host:court": court_url})
        scored = scorer.predict(frame, params={"hosts": hosts}).set_index("id")
    papers, endpoints = Papers(files), {host: scoring_endpoint(folder) for host, folder in folders.items()}
    door = papers.door(papers.bank())  # nodes that ask for the bank's certificate
    with papers.node(endpoints["host:tax"], door) as tax_url, papers.node(endpoints["host:court"], door) as court_url:
        path = papers.hosts_file({"host:tax": tax_url, "host:court": court_url})
        again = scorer.predict(frame, params={"hosts": str(path)}).set_index("id")
    assert again.equals(scored)
    assert set(scored["calibration"].dropna()) == {load(bank / "calibration.json")["joint"]["source"]}
    own = pd.read_csv(bank / "scores.csv", dtype={"id": str}).set_index("id")
    probability = default_probability(own["joint"].to_numpy())
    assert scored["default_probability"].loc[own.index].tolist() == probability.tolist()
    assert scored["points"].notna().sum() == scored["band"].notna().sum() == result["rows"]["common"]
