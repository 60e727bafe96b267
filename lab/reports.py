"""Pictures and a page of a finished run, for people: curves, metrics with intervals, what each party learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import markupsafe
import numpy as np
import pandas as pd

from lab.jobs import node_directory
from models import metrics
from models.losses import Floats

#: Curve → (English name, colour); colour-blind safe (Okabe & Ito 2008).
CURVES: Final = {
    "bank_only": ("bank alone", "#999999"),
    "joint": ("joint", "#0072B2"),
    "pooled": ("pooled (comparison only)", "#E69F00"),
}
NAMES_ZH: Final = {"bank_only": "仅银行", "joint": "联合", "pooled": "合并数据（仅供对比）"}


def draw_curves(scores: pd.DataFrame, path: Path) -> None:
    """ROC of every model and the KS curves of the joint one, on held-out rows, as PNG or SVG.

    Args:
        scores: columns ``part``, ``label`` and one margin column per model named in ``CURVES``.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    held_out = scores[scores["part"] == "holdout"]
    label = held_out["label"].to_numpy(dtype=np.float64)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    for column, (name, colour) in CURVES.items():
        if column in held_out:
            margin = held_out[column].to_numpy(dtype=np.float64)
            x, y = metrics.roc_curve(label, margin)
            dash = "--" if column == "pooled" else "-"
            left.plot(x, y, dash, color=colour, label=f"{name}: AUC {metrics.auc(label, margin):.3f}")
    left.plot([0, 1], [0, 1], ":", color="black", linewidth=0.8)
    left.set(xlabel="share of good applicants rejected", ylabel="share of defaults caught", title="ROC, held-out rows")
    left.legend(loc="lower right", frameon=False)
    _draw_ks(right, label, held_out["joint"].to_numpy(dtype=np.float64))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _draw_ks(axes: Any, label: Floats, margin: Floats) -> None:
    """Shares of defaults and of the rest reached, from the riskiest applicant on, and where they are furthest apart."""
    x, y = metrics.roc_curve(label, margin)
    rejected = x * (1 - label.mean()) + y * label.mean()
    widest = int(np.argmax(np.abs(y - x)))
    axes.plot(rejected, y, color="#D55E00", label="defaults")
    axes.plot(rejected, x, color="#009E73", label="non-defaults")
    axes.vlines(rejected[widest], x[widest], y[widest], color="black", linewidth=1)
    axes.annotate(
        f"KS {y[widest] - x[widest]:.3f}",
        (rejected[widest], (x[widest] + y[widest]) / 2),
        (6, 0),
        textcoords="offset points",
    )
    axes.set(
        xlabel="share of applicants, riskiest first",
        ylabel="share reached",
        title="KS of the joint model, held-out rows",
    )
    axes.legend(loc="lower right", frameon=False)


def curves_of(run: Path, guest: str) -> pd.DataFrame:
    """Held-out scores of a run, with the pooled comparison if the run has one."""
    scores = pd.read_csv(node_directory(run, guest) / "scores.csv", dtype={"id": str})
    pooled = run / "pooled.csv"
    if pooled.exists():
        scores["pooled"] = pd.read_csv(pooled)["pooled"].to_numpy()
    return scores


def write_report(run: Path, result: dict[str, Any]) -> tuple[Path, Path]:
    """``curves.png`` and ``report.html`` (one file, no outside assets) into the run's directory; returns both paths."""
    scores = curves_of(run, result["guest"])
    figure, drawing, page = run / "curves.png", run / "curves.svg", run / "report.html"
    draw_curves(scores, figure)
    draw_curves(scores, drawing)
    svg = drawing.read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["interval"] = interval_text
    html = environment.get_template("report.html").render(
        r=result,
        svg=markupsafe.Markup(svg[svg.index("<svg") :]),  # noqa: S704 - our own drawing
        curves={name: english for name, (english, _) in CURVES.items()},
        names_zh=NAMES_ZH,
    )
    page.write_text(html, encoding="utf-8")
    return figure, page


def interval_text(interval: Mapping[str, float]) -> str:
    """A point estimate with its interval, three decimals."""
    return f"{interval['value']:.3f} ({interval['low']:.3f} – {interval['high']:.3f})"
