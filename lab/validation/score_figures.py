"""Figures of held-out scores: curves, what the riskiest tenths catch, how scores are spread."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab.validation.drawing import BAD, BANK, GOOD, INK, JOINT, POOLED, panels, percent_axis, styled
from models.losses import Floats
from models.scorecard.card import ScorecardRules
from models.validation import metrics

#: Column of scores → (English name, colour, line).
CURVES: Final = {
    "bank_only": ("bank alone", BANK, "-"),
    "joint": ("joint", JOINT, "-"),
    "pooled": ("pooled (comparison only)", POOLED, "--"),
}


def draw_separation(scores: pd.DataFrame) -> Any:
    """ROC of every model and the KS curves of the joint one, on held-out rows.

    Args:
        scores: columns ``part``, ``label`` and one margin column per model named in ``CURVES``.
    """
    held_out = scores[scores["part"] == "holdout"]
    label = _numbers(held_out, "label")
    with styled():
        figure, (left, right) = panels(2)
        for column, (name, colour, line) in CURVES.items():
            if column in held_out:
                margin = _numbers(held_out, column)
                x, y = metrics.roc_curve(label, margin)
                left.plot(x, y, line, color=colour, linewidth=2, label=f"{name}: AUC {metrics.auc(label, margin):.3f}")
        left.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8)
        left.set(xlabel="share of good applicants rejected", ylabel="share of defaults caught")
        left.set_title("ROC, held-out rows")
        left.legend(loc="lower right")
        _draw_ks(right, label, _numbers(held_out, "joint"))
        for axes in (left, right):
            percent_axis(axes.xaxis)
            percent_axis(axes.yaxis)
    return figure


def _draw_ks(axes: Any, label: Floats, margin: Floats) -> None:
    """Shares of defaults and of the rest reached, from the riskiest applicant on, and where they are furthest apart."""
    x, y = metrics.roc_curve(label, margin)
    reached = x * (1 - label.mean()) + y * label.mean()
    widest = int(np.argmax(np.abs(y - x)))
    axes.plot(reached, y, color=BAD, linewidth=2, label="defaults")
    axes.plot(reached, x, color=GOOD, linewidth=2, linestyle="--", label="non-defaults")
    axes.vlines(reached[widest], x[widest], y[widest], color=INK, linewidth=1)
    axes.annotate(
        f"KS {abs(y[widest] - x[widest]):.3f}",
        (reached[widest], (x[widest] + y[widest]) / 2),
        (6, 0),
        textcoords="offset points",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    axes.set(xlabel="share of applicants, riskiest first", ylabel="share reached")
    axes.set_title("KS of the joint model, held-out rows")
    axes.legend(loc="lower right")


def draw_deciles(scores: pd.DataFrame, deciles: list[dict[str, Any]]) -> Any:
    """Default rate and lift per tenth of applicants; share of all defaults caught, joint and bank alone."""
    held_out = scores[scores["part"] == "holdout"]
    label = _numbers(held_out, "label")
    overall = float(label.mean())
    with styled():
        figure, (left, right) = panels(2)
        numbers = [d["number"] for d in deciles]
        rates = [d["default_rate"] for d in deciles]
        left.bar(numbers, rates, color=JOINT, width=0.78)
        for d in deciles:
            left.annotate(
                f"{d['lift']:.1f}×",
                (d["number"], d["default_rate"]),
                (0, 3),
                textcoords="offset points",
                ha="center",
                fontsize=8.5,
            )
        left.axhline(overall, color=BAD, linestyle="--", linewidth=1.2, label=f"all applicants: {overall:.1%}")
        left.legend(loc="upper right")
        left.set_xticks(numbers)
        left.set(xlabel="tenth of applicants, 1 = riskiest", ylabel="default rate")
        left.set_title("Default rate per tenth, and lift over all")
        left.grid(False, axis="x")
        percent_axis(left.yaxis)
        for column, (name, colour, line) in CURVES.items():
            if column in held_out:
                x, y = metrics.roc_curve(label, _numbers(held_out, column))
                right.plot(x * (1 - overall) + y * overall, y, line, color=colour, linewidth=2, label=name)
        right.plot([0, overall, 1], [0, 1, 1], color=INK, linewidth=0.8, linestyle="-.", label="perfect")
        right.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8, label="chance")
        right.set(xlabel="share of applicants, riskiest first", ylabel="share of all defaults caught")
        right.set_title("Defaults caught")
        right.legend(loc="lower right")
        for axis in (right.xaxis, right.yaxis):
            percent_axis(axis)
    return figure


def draw_spread(scores: pd.DataFrame, scale: ScorecardRules | None = None) -> Any:
    """Points of fitted and held-out rows, and of held-out defaults and others."""
    points = points_of(_numbers(scores, "joint"), scale)
    part, label = scores["part"].to_numpy(), _numbers(scores, "label")
    late = part == "holdout"
    low, high = np.quantile(points, [0.002, 0.998])
    edges = np.linspace(low, high, 31)
    with styled():
        figure, (left, right) = panels(2, height=3.8)
        _spread(left, edges, points[part == "fit"], BANK, "fitted", filled=True)
        _spread(left, edges, points[late], JOINT, "held out", filled=False)
        left.set_title("Has the population moved?")
        _spread(right, edges, points[late & (label == 0)], GOOD, "non-defaults", filled=True)
        _spread(right, edges, points[late & (label == 1)], BAD, "defaults", filled=False)
        right.set_title("Does the score part them? (held out)")
        for axes in (left, right):
            axes.set(xlabel="points, higher is safer", ylabel="share of rows")
            axes.legend(loc="upper left")
            axes.margins(y=0.15)
            percent_axis(axes.yaxis)
    return figure


def points_of(margin: Floats, scale: ScorecardRules | None = None) -> Floats:
    """Points before rounding, shape ``(n_rows,)``, on the scale of ``models.scale`` unless another is given."""
    scale = scale or ScorecardRules()
    return np.asarray(scale.offset - scale.factor * margin)


def _spread(axes: Any, edges: Floats, points: Floats, colour: str, name: str, *, filled: bool) -> None:
    share = np.histogram(np.clip(points, edges[0], edges[-1]), edges)[0] / max(len(points), 1)
    if filled:
        axes.stairs(share, edges, fill=True, color=colour, alpha=0.35, label=name)
    else:
        axes.stairs(share, edges, color=colour, linewidth=2, label=name)


def _numbers(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].to_numpy(dtype=np.float64)
