"""What is done with a run before it is put in place: pictures and page, then the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.jobs import node_directory
from lab.reports import write_report
from lab.tracking import CHAMPION, record, tracking_uri
from models.bundle import save


def report_run(staging: Path, result: dict[str, Any]) -> None:
    """Write ``curves.png`` and ``report.html``."""
    write_report(staging, result)


def record_run(staging: Path, result: dict[str, Any]) -> None:
    """Record the run in the MLflow store beside it, and tell the bank's folder what its half is called there."""
    artifacts = (staging / "curves.png", staging / "report.html")
    result["mlflow"] = record(staging, result, tracking_uri(staging.parent), artifacts)
    mlflow = result["mlflow"]
    published = {"name": mlflow["model_name"], "version": mlflow["model_version"], "alias": CHAMPION}
    save(node_directory(staging, result["guest"]) / "published.json", published)
