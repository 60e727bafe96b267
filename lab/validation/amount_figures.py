"""Figures of predicted amounts: mean by tenth, concentration curve, joint model against the bank alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lab.validation.amounts import NAMES, numbers
from lab.validation.drawing import BANK, INK, JOINT, error_bars, panels, percent_axis, styled
from models.validation.amounts import MEASURES, concentration_curve

Json = Mapping[str, Any]
#: Column of scores → name, colour, marker.
MODELS = {"bank_only": ("bank alone", BANK, "s"), "joint": ("joint", JOINT, "o")}


def draw_amounts(scores: pd.DataFrame, report: Json) -> Any:
    """Mean outcome against mean prediction by tenth, and the concentration curve.

    Args:
        scores: columns ``part``, ``label``, ``bank_only``, ``joint``.
        report: JSON of an ``AmountReport`` of its held-out rows.
    """
    held_out = scores[scores["part"] == "holdout"]
    with styled():
        figure, (left, right) = panels(2)
        _draw_bands(left, report)
        _draw_concentration(right, held_out, report)
    return figure


def _draw_bands(axes: Any, report: Json) -> None:
    ends = [b["expected"] for bands in report["bands"].values() for b in bands]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], ":", color=INK, linewidth=0.9, label="as predicted")
    for name, (english, colour, marker) in MODELS.items():
        bands = report["bands"][name]
        observed = [b["observed"] for b in bands]
        axes.errorbar(
            [b["expected"] for b in bands],
            [o["value"] for o in observed],
            error_bars(observed),
            fmt=marker,
            color=colour,
            markersize=5,
            linewidth=1.2,
            label=english,
        )
    axes.set(xlabel="mean prediction of a tenth", ylabel="mean outcome, 95 % interval")
    axes.set_title("Predicted and observed by tenth, held out")
    axes.legend(loc="upper left")


def _draw_concentration(axes: Any, held_out: pd.DataFrame, report: Json) -> None:
    """Of outcomes that are at least 0; else it says why there is none."""
    label = numbers(held_out, "label")
    axes.set_title("Share of the total caught, held out")
    if label.min() < 0:
        axes.text(0.5, 0.5, "some outcomes are negative:\nshares have no meaning", ha="center", va="center")
        axes.set_axis_off()
        return
    axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=0.8, label="chance")
    axes.plot(*concentration_curve(label, label), "-.", color=INK, linewidth=0.8, label="perfect")
    for name, (english, colour, _) in MODELS.items():
        gini = report["measures"][name]["gini"]["value"]
        x, y = concentration_curve(label, numbers(held_out, name))
        axes.plot(x, y, color=colour, linewidth=2, label=f"{english}: Gini {gini:.3f}")
    axes.set(xlabel="share of rows, largest prediction first", ylabel="share of the total outcome")
    axes.legend(loc="lower right")
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis)


def draw_gain(report: Json) -> Any:
    """By how much errors fall, and measures of fit and rank, joint beside the bank alone, with 95 % intervals."""
    errors = [m for m, sign in MEASURES.items() if sign < 0]
    ranks = [m for m, sign in MEASURES.items() if sign > 0]
    with styled():
        figure, (left, right) = panels(2, height=3.4)
        alone = report["measures"]["bank_only"]
        falls = [
            {k: v / alone[m]["value"] for k, v in report["gain"][m].items()} if alone[m]["value"] else None
            for m in errors
        ]
        for place, fall in enumerate(falls):
            if fall:
                _bar(left, place, fall, JOINT, "o", "")
        left.axvline(0, color=INK, linestyle=":", linewidth=0.9)
        left.set_title("Errors fall by")
        left.set(xlabel="share of the bank's error that the data nodes remove")
        percent_axis(left.xaxis)
        for name, (english, colour, marker) in MODELS.items():
            shift = -0.12 if name == "bank_only" else 0.12
            for place, m in enumerate(ranks):
                _bar(right, place + shift, report["measures"][name][m], colour, marker, english if not place else "")
        right.set_title("Fit and rank, more is better")
        right.axvline(0, color=INK, linestyle=":", linewidth=0.9)
        right.legend(loc="best")
        for axes, names in ((left, errors), (right, ranks)):
            axes.set_yticks(range(len(names)), [NAMES[m][0] for m in names])
            axes.set_ylim(len(names) - 0.4, -0.6)
            axes.grid(False, axis="y")
    return figure


def _bar(axes: Any, place: float, interval: Json, colour: str, marker: str, label: str) -> None:
    bars = error_bars([dict(interval)])
    axes.errorbar(
        [interval["value"]], [place], xerr=bars, fmt=marker, color=colour, linewidth=1.6, capsize=3, label=label or None
    )
