"""The model document of a run whose label is an amount, a share or a count: one page, offline, in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
from rich.table import Table

from lab.jobs import load_job, node_directory
from lab.validation.amount_figures import draw_amounts, draw_gain
from lab.validation.amounts import NAMES
from lab.validation.drawing import Picture, percent, svg_of

Json = Mapping[str, Any]
#: Section → English and Chinese heading, and its template, in the order of the page.
SECTIONS: Final = {
    "purpose": ("Purpose", "用途", "amounts/purpose.html"),
    "data": ("Data and parties", "数据与参与方", "amounts/data.html"),
    "model": ("Model", "模型", "document/trees.html"),
    "accuracy": ("How close it comes", "预测精度", "amounts/accuracy.html"),
    "bands": ("Predicted and observed", "预测与实际", "amounts/bands.html"),
    "disclosures": ("What each party learnt", "各方获知的信息", "document/disclosures.html"),
    "limits": ("Limits", "局限", "amounts/limits.html"),
    "approvals": ("Approvals", "审批", "document/approvals.html"),
}
#: Objective → what its mean deviance is.
DEVIANCES: Final = {
    "regression": ("squared error", "平方误差"),
    "poisson": ("Poisson", "泊松"),
    "tweedie": ("Tweedie", "Tweedie"),
}
MODELS_ZH: Final = {"bank_only": ("bank alone", "仅银行"), "joint": ("joint", "联合")}


def write_amounts(
    run: Path, result: dict[str, Any], environment: jinja2.Environment, shares: Json
) -> tuple[Path, Path]:
    """``curves.png`` and ``report.html`` of such a run.

    Args:
        shares: where the model's cuts lie, as ``lab.reports.model_shares``.
    """
    bank = node_directory(run, result["guest"])
    scores = pd.read_csv(bank / "scores.csv", dtype={"id": str})
    report = result["amounts"]
    figure, page = run / "curves.png", run / "report.html"
    drawn = draw_amounts(scores, report)
    drawn.savefig(figure, dpi=150)
    environment.filters |= {"number": number_text, "spread": spread_text}
    html = environment.get_template("amounts.html").render(
        r=result,
        a=report,
        pictures={
            "bands": Picture("bands", svg_of(drawn), *bands_reading(report)),
            "gain": Picture("gain", svg_of(draw_gain(report)), *gain_reading(report)),
        },
        sections=SECTIONS,
        names=NAMES,
        models=MODELS_ZH,
        deviance=DEVIANCES[result["objective"]],
        shares=shares,
        split=load_job(bank / "job.json").model_dump().get("split", {}),
    )
    page.write_text(html, encoding="utf-8")
    return figure, page


def number_text(value: float) -> str:
    """Three figures, thousands set apart, whatever the size of the amounts."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".")


def spread_text(interval: Json) -> str:
    """A value with its interval."""
    return "{} ({} – {})".format(*(number_text(interval[k]) for k in ("value", "low", "high")))


def bands_reading(report: Json) -> tuple[str, str]:
    """What the figure of tenths shows of this model."""
    bands, n = report["bands"]["joint"], len(report["bands"]["joint"])
    inside = sum(b["observed"]["low"] <= b["expected"] <= b["observed"]["high"] for b in bands)
    stated, seen = number_text(report["expected"]["joint"]), spread_text(report["observed"])
    return (
        f"In {inside} of {n} tenths the mean prediction lies within the interval of what came; overall {stated} "
        f"predicted, {seen} observed.",
        f"{n} 个分组中有 {inside} 组的平均预测落在实际均值的区间内；总体预测 {stated}，实际 {seen}。",
    )


def gain_reading(report: Json) -> tuple[str, str]:
    """What the data nodes' columns add."""
    gain, alone = report["gain"]["rmse"], report["measures"]["bank_only"]["rmse"]["value"]
    share = percent(gain["value"] / alone) if alone else "–"
    gini = report["gain"]["gini"]
    low, value, high = (f"{gini[k]:+.3f}" for k in ("low", "value", "high"))
    return (
        f"Data nodes' columns remove {share} of the bank's RMSE and change Gini by {value} ({low} to {high}).",
        f"加入数据方特征后，RMSE 降低 {share}，基尼系数变化 {value}（{low} 至 {high}）。",
    )


def show_measures(grid: Table, result: dict[str, Any]) -> None:
    """Rows of the printed table: one measure a line, bank alone, joint, and how much better."""
    report = result["amounts"]
    for name, (english, chinese) in NAMES.items():
        cells = [spread_text(report["measures"][who][name]) for who in MODELS_ZH]
        grid.add_row(f"{english} {chinese}", *cells, spread_text(report["gain"][name]))
    observed = f"observed 实际 {number_text(report['observed']['value'])}"
    grid.add_row("mean 均值", *(number_text(report["expected"][who]) for who in MODELS_ZH), observed)
