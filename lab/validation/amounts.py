"""What a run whose label is an amount, a share or a count says of itself: the joint model beside the bank alone."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from lab.errors import ConfigError
from models.boosting.parameters import BoostingParameters
from models.losses import Floats
from models.validation.amounts import amount_report

#: Of such a run in ``result.json``.
KIND: Final = "amounts"
#: Measure → English and Chinese name, in the order of ``models.validation.amounts.MEASURES``.
NAMES: Final = {
    "rmse": ("RMSE", "均方根误差"),
    "mae": ("MAE", "平均绝对误差"),
    "r_squared": ("R²", "决定系数"),
    "deviance": ("mean deviance", "平均偏差"),
    "rank_correlation": ("Spearman", "秩相关"),
    "gini": ("Gini", "基尼系数"),
}


def measured_amounts(scores: pd.DataFrame, parameters: BoostingParameters) -> dict[str, Any]:
    """Metrics on the held-out rows, for ``result.json``; no value of an applicant.

    Args:
        scores: as ``lab.outcome.scores_frame`` under an objective that is not binary.

    Raises:
        DataError: those of ``amount_report``.
    """
    held_out = scores[scores["part"] == "holdout"]
    models = {name: numbers(held_out, name) for name in ("bank_only", "joint")}
    report = amount_report(numbers(held_out, "label"), models, parameters.loss, seed=parameters.random_state)
    return {
        "kind": KIND,
        "objective": parameters.objective,
        "amounts": report.to_json(),
        "parts": [_part(name, scores[scores["part"] == name]) for name in ("fit", "valid", "holdout")],
    }


def is_amounts(result: dict[str, Any]) -> bool:
    """Whether a run's label is an amount."""
    return bool(result.get("kind") == KIND)


def amount_metrics(result: dict[str, Any]) -> list[tuple[str, float]]:
    """The figures two such runs are compared by."""
    report = result["amounts"]
    series: list[tuple[str, float]] = []
    for who, measures in report["measures"].items():
        for name, interval in measures.items():
            series += [(f"{name}_{who}", interval["value"]), (f"{name}_{who}_low", interval["low"])]
            series.append((f"{name}_{who}_high", interval["high"]))
        series.append((f"mean_expected_{who}", report["expected"][who]))
    series += [(f"gain_{name}", interval["value"]) for name, interval in report["gain"].items()]
    return [*series, ("mean_observed", report["observed"]["value"])]


def need_default(objective: str, what: str) -> None:
    """Raises ``ConfigError`` ``objective_not_binary`` if ``what`` is asked of a model that does not tell defaults."""
    if objective != "binary":
        raise ConfigError(
            "objective_not_binary",
            f"{what} is for a 0/1 outcome; this one has objective {objective}. Use lianmo report and lianmo score.",
            f"{what} 仅适用于 0/1 标签，而此处的目标为 {objective}。请使用 lianmo report 与 lianmo score。",
        )


def numbers(frame: pd.DataFrame, column: str) -> Floats:
    """A column as float64."""
    return frame[column].to_numpy(dtype=np.float64)


def _part(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    label = numbers(rows, "label")
    told: dict[str, Any] = {"mean": float(label.mean()), "zero_share": float((label == 0).mean())} if len(rows) else {}
    if "period" in rows and len(rows):
        told["periods"] = [float(rows["period"].min()), float(rows["period"].max())]
    return {"name": name, "n_rows": len(rows), **told}
