"""Scores of a model that all sites have: any site gives them by itself, and tells nobody."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from federation.horizontal.closing.site import margin_of, model_of
from lab.data.sources import applicants_table
from lab.horizontal.jobs import SiteJob, is_of_sites, read_job
from lab.horizontal.own_use import on_scale
from lab.serving.answers import answer_of
from lab.serving.batch import answers_frame
from models.bundle import load
from models.scorecard.card import JointScorecard


def scores_alone(directory: Path) -> bool:
    """Whether this is the folder of a party of a run over sites whose model needs no data nodes."""
    path = directory / "job.json"
    if not is_of_sites(path):
        return False
    job = read_job(path)
    return not (isinstance(job, SiteJob) and job.hosts)


def site_scores(directory: Path, frame: pd.DataFrame, id_column: str) -> pd.DataFrame:
    """Columns as of ``batch.answers_frame``, from the model in a site's or the coordinator's folder of a run: on the
    scale of the site, if it calibrated the model; points stay those of the scorecard.

    Raises:
        ModelError: no model there.
        DataError: columns of the model are absent, or not of its kind.
    """
    data = load(directory / "model.json")
    model = model_of("averaged" if "averaged" in data else "scorecard" if "half" in data else "trees", data)
    table = applicants_table(frame, id_column, model.inputs)
    points = model.half.points(table) if isinstance(model, JointScorecard) else None
    answers = [
        answer_of(float(margin), None if points is None else float(points[row]))
        for row, margin in enumerate(on_scale(directory, margin_of(model, table)))
    ]
    return answers_frame(table, answers, 0)
