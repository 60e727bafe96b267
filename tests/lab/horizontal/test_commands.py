"""The same commands for runs over sites: train, report, score, and the list of runs."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from lab.cli import app
from lab.jobs import load_job
from models.bundle import load
from models.errors import ModelError
from tests.lab.horizontal.cities import SITES, write_sites

FILE = """
[run]
name = "cities"
directory = "runs/cities"
transport = "memory"

[horizontal]

[standard]
numbers = ["a", "b"]
levels = { c = ["none", "own", "rent"] }

[averaging]
model = "SGDClassifier"
rounds = 2
""" + "".join(
    f'\n[[sites]]\nparty = "{site}"\ndata = "{site.removeprefix("site:")}.csv"\nlabel = "bad"\n' for site in SITES
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cities")
    write_sites(folder)
    (folder / "run.toml").write_text(FILE, "utf-8")
    done = CliRunner().invoke(app, ["train", str(folder / "run.toml"), "--no-record", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model_kind"] == "averaged"
    return folder


def test_a_run_is_shown_and_its_page_written_anew(folder: Path) -> None:
    run = folder / "runs" / "cities"
    before = (run / "report.html").read_text("utf-8")
    (run / "report.html").unlink()
    done = CliRunner().invoke(app, ["report", str(run)])
    assert done.exit_code == 0, done.output
    assert "全部站点" in done.stdout
    assert "with those of all other contributors" in " ".join(done.stdout.split())
    assert (run / "report.html").read_text("utf-8") == before
    for said in ("site:d", "coordinator learnt", "alone", "单独", load(run / "result.json")["digest"]):
        assert said in before
    assert "http" not in before.replace("http-equiv", "")


def test_any_site_scores_a_file(folder: Path) -> None:
    out = folder / "scores.csv"
    node = folder / "runs" / "cities" / "nodes" / "site-a"
    done = CliRunner().invoke(app, ["score", str(node), str(folder / "b.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    scores = pd.read_csv(out)
    assert scores["default_probability"].between(0, 1).all()
    assert set(scores["band"]) <= set("ABCDEF")


def test_the_list_of_runs_has_it(folder: Path) -> None:
    done = CliRunner().invoke(app, ["runs", "ls", "--directory", str(folder / "runs"), "--json"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert told["phase"] == "finished"
    assert told["parties"] == ["coordinator", *SITES]


def test_what_is_for_a_bank_and_its_data_nodes_says_so(folder: Path) -> None:
    with pytest.raises(ModelError, match="of a run over sites"):
        load_job(folder / "runs" / "cities" / "nodes" / "site-a" / "job.json")


@pytest.mark.slow
def test_a_run_is_recorded_with_a_child_per_party(folder: Path) -> None:
    text = FILE.replace("[averaging]", "[boosting]\nn_estimators = 2\nmin_child_weight = 1.0\n").replace(
        'model = "SGDClassifier"\nrounds = 2\n', ""
    )
    (folder / "trees.toml").write_text(text.replace("runs/cities", "recorded/trees"), "utf-8")
    done = CliRunner().invoke(app, ["train", str(folder / "trees.toml"), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    import mlflow
    from mlflow.tracking import MlflowClient

    store = MlflowClient(result["mlflow"]["tracking_uri"])
    parent = store.get_run(result["mlflow"]["run_id"])
    assert parent.data.metrics["auc"] == result["pooled"]["auc"]["value"]
    children = store.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert {run.data.tags["party"] for run in children} == {"coordinator", *SITES}
    mlflow.set_tracking_uri(result["mlflow"]["tracking_uri"])
    scorer = mlflow.pyfunc.load_model(result["mlflow"]["model_uri"])
    frame = pd.read_csv(folder / "b.csv", dtype={"id": str})
    found = scorer.predict(frame[["id", "a", "b", "c"]]).set_index("id")["default_probability"]
    out = folder / "trees.csv"
    node = folder / "recorded" / "trees" / "nodes" / "site-c"
    CliRunner().invoke(app, ["score", str(node), str(folder / "b.csv"), "--out", str(out)])
    expected = pd.read_csv(out, dtype={"id": str}).set_index("id")["default_probability"]
    pd.testing.assert_series_equal(found, expected, check_exact=False, rtol=0, atol=1e-12)
