"""What is done with a run over sites before it is put in place: its page, then the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from lab.horizontal.config import HorizontalConfig
from lab.horizontal.runs import train_over_sites
from lab.horizontal.texts import KINDS, cities_of, interval_or_dash, sites_of
from lab.horizontal.tracking import record_over_sites
from lab.horizontal.views import steps_text
from lab.reports import page_environment
from lab.run_states import RunState
from lab.tracking import tracking_uri


def train_horizontally(
    config: HorizontalConfig, console: Console, *, record: bool, state: RunState | None = None
) -> dict[str, Any]:
    """As ``runs.train_over_sites``, with page and, if wanted, record."""
    finish = (report_run, record_run) if record else (report_run,)
    return train_over_sites(config, console, finish, state)


def report_run(staging: Path, result: dict[str, Any]) -> None:
    """Write ``report.html``: one file, no outside assets."""
    environment = page_environment()
    environment.filters["interval_or_dash"] = interval_or_dash
    english, chinese = KINDS[result["model_kind"]]
    page = environment.get_template("sites.html").render(
        r=result, what=f"{english} {chinese}", steps=steps_text(result), rows=sites_of(result), cities=cities_of(result)
    )
    (staging / "report.html").write_text(page, encoding="utf-8")


def record_run(staging: Path, result: dict[str, Any]) -> None:
    """Record the run in the MLflow store beside it."""
    artifacts = (staging / "report.html",)
    result["mlflow"] = record_over_sites(staging, result, tracking_uri(staging.parent), artifacts)
