"""The rejected applicants of a bank beside a finished run: scored by its model, measured, and as rows to train with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from lab.data.sources import applicants_table, read_frame
from lab.jobs import GuestJob, load_job, node_directory
from lab.serving.answers import Answer
from lab.serving.batch import score_table
from lab.serving.hosts import Hosts
from lab.serving.nodes import bank_record, joint_model, scoring_wire
from lab.validation.calibrated import probability_of
from lab.validation.rejects import FACTORS, RejectReport, reject_report
from lab.validation.sample import sample_of
from models.errors import DataError
from models.losses import Floats
from models.validation.calibrators import calibrator_from_json
from models.validation.reject_inference import parcelling

#: Columns of the file to train with: which rows this run held out, and how much each row weighs.
HELD_OUT: Final = "lianmo_held_out"
WEIGHT: Final = "lianmo_weight"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rejected applicants that the run's model could score.

    Attributes:
        frame: their rows as they stand in their file, those without a score left out.
        probability: calibrated default probability of each, shape ``(n_rejected,)``.
        n_unscored: how many a party does not hold.
    """

    frame: pd.DataFrame
    probability: Floats
    n_unscored: int


def score_rejected(run: Path, result: Mapping[str, Any], path: Path, at: Hosts, *, local: bool) -> Rejected:
    """Score the file of rejected applicants with all parties, as ``lianmo score`` does.

    Raises:
        DataError: ``rejected_accepted`` if an applicant of the run is among them, ``nobody_scored``; and what reading
            and scoring raise.
    """
    bank = node_directory(run, result["guest"])
    job = load_job(bank / "job.json")
    model, _ = joint_model(bank)
    frame = read_frame(path, job.party.id)
    frame[job.party.id] = frame[job.party.id].astype(str).str.strip()
    known = pd.read_csv(bank / "scores.csv", dtype={"id": str})["id"]
    n_both = int(frame[job.party.id].isin(set(known)).sum())
    if n_both:
        raise DataError(
            "rejected_accepted",
            f"{n_both} of the rejected applicants have an outcome in this run. An applicant is one or the other.",
            f"有 {n_both} 名被拒申请人在本次运行中已有结果。同一申请人不能既被拒又有结果。",
        )
    table = applicants_table(frame, job.party.id, model.inputs)
    with scoring_wire(bank, model, at, local=local) as wire:
        answers = score_table(model, table, wire, note=bank_record(bank, model).answered)
    scored = np.array([isinstance(a, Answer) for a in answers])
    if not scored.any():
        raise DataError(
            "nobody_scored",
            "None of the rejected applicants is known to all parties, so none can be scored.",
            "没有被拒申请人为各方共有，无法评分。",
        )
    p = np.clip([a.default_probability for a in answers if isinstance(a, Answer)], 1e-12, 1 - 1e-12)
    return Rejected(frame[scored], _calibrated(result)(np.log(p) - np.log1p(-p)), int((~scored).sum()))


def report_rejected(
    run: Path, result: Mapping[str, Any], rejected: Rejected, factors: Sequence[float] = FACTORS
) -> RejectReport:
    """What ``rejected`` could mean for all applicants, from the run's scores."""
    scores = pd.read_csv(node_directory(run, result["guest"]) / "scores.csv", dtype={"id": str})
    return reject_report(
        sample_of(scores),
        _calibrated(result),
        rejected.probability,
        factors=sorted(factors),
        n_unscored=rejected.n_unscored,
        seed=_seed(result),
    )


def augmented(
    run: Path, result: Mapping[str, Any], rejected: Rejected, factor: float, rejected_weight: float = 1.0
) -> pd.DataFrame:
    """The bank's rows, then the rejected with labels by parcelling, once each: parties know an applicant once only.

    Rows this run held out are marked in the column ``HELD_OUT``: a model of all rows is then judged by the same real
    outcomes, and never by a label that was assumed. A time column is left out.

    Args:
        factor: how much riskier than the accepted of their score band the rejected are held to be.
        rejected_weight: how many applicants a rejected row stands for.

    Raises:
        DataError: ``column_missing``: the rejected lack a feature of the bank's file.
    """
    bank = node_directory(run, result["guest"])
    job = load_job(bank / "job.json")
    assert isinstance(job, GuestJob)
    assert job.party.label
    party, when, weight = job.party, job.split.time_column, job.party.weight or WEIGHT
    own = read_frame(party.data, party.id)
    own = own.drop(columns=[when] if when else [])
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    held_out = set(scores.loc[scores["part"] == "holdout", "id"])
    no_feature = {party.label, party.id, weight, *party.drop}
    features = [c for c in own.columns if c not in no_feature and (party.columns is None or c in party.columns)]
    absent = [c for c in features if c not in rejected.frame]
    if absent:
        raise DataError(
            "column_missing",
            f"The rejected applicants have no column {', '.join(absent)}.",
            f"被拒申请人数据缺少列 {'、'.join(absent)}。",
        )
    judged = scores[scores["part"] == "holdout"]
    y, p = judged["label"].to_numpy(dtype=np.float64), _calibrated(result)(judged["joint"].to_numpy(dtype=np.float64))
    drawn = parcelling(y, p, rejected.probability, factor, seed=_seed(result)).label[len(y) :]
    added = rejected.frame.reindex(columns=own.columns)
    added[party.label] = drawn.astype(int)
    rows = pd.concat([own, added], ignore_index=True)
    rows[HELD_OUT] = rows[party.id].astype(str).str.strip().isin(held_out).astype(int)
    outcomes = own[weight].to_numpy() if weight in own else np.ones(len(own))
    rows[weight] = np.concatenate([outcomes, np.full(len(added), rejected_weight)])
    return rows


def _calibrated(result: Mapping[str, Any]) -> Callable[[Floats], Floats]:
    stored = result["validation"]["calibration"]["calibrator"]
    return calibrator_from_json(stored).apply if stored else probability_of


def _seed(result: Mapping[str, Any]) -> int:
    return int(result["parameters"].get("random_state", 0))
