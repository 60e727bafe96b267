"""Figures of a pack: reliability, grades, swap set, periods, groups, party values. They need its JSON only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lab.validation.drawing import (
    BAD,
    BANK,
    INK,
    JOINT,
    LIGHTS,
    PALE,
    POOLED,
    error_bars,
    panels,
    percent_axis,
    styled,
)
from models.validation.fairness import FOUR_FIFTHS

Json = Mapping[str, Any]


def draw_reliability(calibration: Json) -> Any:
    """Stated against observed default rate, and by how much they differ, with Jeffreys intervals."""
    rows, raw = calibration["reliability"], calibration["raw_reliability"]
    stated = [r["mean_probability"] for r in rows]
    observed = [r["default_rate"] for r in rows]
    top = max([*stated, *(o["high"] for o in observed)]) * 1.05
    with styled():
        figure, (left, right) = panels(2)
        left.plot([0, top], [0, top], ":", color=INK, linewidth=0.9, label="as stated")
        if calibration["method"] != "raw":
            left.plot(
                [r["mean_probability"] for r in raw],
                [r["default_rate"]["value"] for r in raw],
                "x",
                color=BANK,
                label="before calibration",
            )
        _intervals(left, stated, observed, label="held out, 95 % interval")
        left.set(xlim=(0, top), ylim=(0, top), xlabel="stated default probability", ylabel="observed default rate")
        left.set_title("Stated and observed")
        left.legend(loc="best")
        right.axhline(0, color=INK, linestyle=":", linewidth=0.9)
        shifted = [{k: o[k] - p for k in ("value", "low", "high")} for o, p in zip(observed, stated, strict=True)]
        _intervals(right, list(range(1, len(rows) + 1)), shifted)
        right.set_xticks(range(1, len(rows) + 1))
        right.set(xlabel="band of applicants, 1 = safest", ylabel="observed minus stated")
        right.set_title("Above zero: risk understated")
        for axis in (left.xaxis, left.yaxis, right.yaxis):
            percent_axis(axis)
    return figure


def draw_grades(grades: Json) -> Any:
    """Stated and observed default rate per grade, and how rows fall into grades."""
    rows = grades["rows"]
    places = np.arange(len(rows))
    names = [r["name"] for r in rows]
    with styled():
        figure, (left, right) = panels(2, width_ratios=[1.25, 1.0])
        left.bar(places, [r["default_probability"] for r in rows], color=PALE, width=0.7, label="stated")
        for light, (colour, marker) in LIGHTS.items():
            at = [k for k, r in enumerate(rows) if r["light"] == light and r["default_rate"]]
            if at:
                observed = [rows[k]["default_rate"] for k in at]
                _intervals(left, at, observed, colour=colour, marker=marker, label=f"observed: {light}")
        left.set_xticks(places, names)
        left.set(xlabel="grade, safest first", ylabel="default rate")
        left.set_title("Stated and observed, with Jeffreys intervals")
        left.legend(loc="upper left")
        right.bar(places - 0.2, [r["development_share"] for r in rows], 0.38, color=BANK, label="development")
        right.bar(places + 0.2, [r["holdout_share"] for r in rows], 0.38, color=JOINT, label="held out")
        right.set_xticks(places, names)
        right.set(xlabel="grade, safest first", ylabel="share of rows")
        right.set_title("Rows per grade")
        right.margins(y=0.2)
        right.legend(loc="upper right", ncols=2)
        for axes in (left, right):
            axes.grid(False, axis="x")
            percent_axis(axes.yaxis)
    return figure


def draw_swap(swap: Json) -> Any:
    """Four quadrants: what the bank alone and the joint model approve; darker: more defaults."""
    cells = {(0, 1): "both", (1, 1): "swapped_in", (0, 0): "swapped_out", (1, 0): "neither"}
    titles = {
        "both": "approved by both",
        "swapped_in": "swapped in: joint only",
        "swapped_out": "swapped out: bank only",
        "neither": "declined by both",
    }
    highest = max((swap[c]["default_rate"] or 0.0) for c in cells.values()) or 1.0
    n_rows = sum(swap[c]["n_rows"] for c in cells.values())
    with styled():
        from matplotlib import colormaps

        figure, (axes,) = panels(1, width=7.6, height=4.4)
        for (x, y), name in cells.items():
            cell = swap[name]
            shade = 0.06 + 0.42 * (cell["default_rate"] or 0.0) / highest
            axes.fill_between([x + 0.01, x + 0.99], y + 0.015, y + 0.985, color=colormaps["Oranges"](shade), lw=0)
            rate = "no rows" if cell["default_rate"] is None else f"{cell['default_rate']:.1%} default"
            axes.text(x + 0.5, y + 0.76, titles[name], ha="center", va="center", color=INK)
            axes.text(x + 0.5, y + 0.5, rate, ha="center", va="center", fontsize=17, fontweight="bold", color=INK)
            share = f"{cell['n_rows']:,} applicants, {cell['n_rows'] / n_rows:.1%}"
            axes.text(x + 0.5, y + 0.25, share, ha="center", va="center", color=INK)
        axes.set(xlim=(0, 2), ylim=(0, 2), xlabel="bank alone", ylabel="joint model")
        axes.set_xticks([0.5, 1.5], ["approves", "declines"])
        axes.set_yticks([0.5, 1.5], ["declines", "approves"], rotation=90, va="center")
        axes.tick_params(length=0)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set_title("Swap set at equal approval rate, held-out rows")
    return figure


def draw_vintages(vintages: Sequence[Json]) -> Any:
    """Default rate, stated and observed, and AUC per period."""
    told = [v for v in vintages if v["default_rate"]]
    names = list(dict.fromkeys(v["period"] for v in told))
    place = {name: k for k, name in enumerate(names)}
    with styled():
        figure, (left, right) = panels(2)
        for part, colour, marker, nudge in (("development", BANK, "s", -0.08), ("holdout", JOINT, "o", 0.08)):
            own = [v for v in told if v["part"] == part]
            at = [place[v["period"]] + nudge for v in own]
            title = {"development": "development", "holdout": "held out"}[part]
            if own:
                _intervals(left, at, [v["default_rate"] for v in own], colour=colour, marker=marker, label=title)
                left.plot(at, [v["expected_rate"] for v in own], "_", color=BAD, markersize=13, markeredgewidth=2)
            with_auc = [(x, v["auc"]) for x, v in zip(at, own, strict=True) if v["auc"]]
            if with_auc:
                xs, intervals = zip(*with_auc, strict=True)
                _intervals(right, list(xs), list(intervals), colour=colour, marker=marker, label=title)
        left.plot([], [], "_", color=BAD, markersize=13, markeredgewidth=2, label="stated")
        for axes in (left, right):
            axes.set_xticks(range(len(names)), names, rotation=30 if len(names) > 6 else 0)
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.grid(False, axis="x")
            axes.margins(y=0.2)
            axes.legend(loc="best")
        left.set(xlabel="period", ylabel="default rate")
        left.set_ylim(0, min(1.02, max(v["default_rate"]["high"] for v in told) * 1.35))
        left.set_title("Default rate per period")
        right.set(xlabel="period", ylabel="AUC")
        right.set_title("Separation per period")
        percent_axis(left.yaxis)
    return figure


def draw_groups(groups: Sequence[Json], minimum_ratio: float = FOUR_FIFTHS) -> Any:
    """Approval rate of each group that may be shown, and four fifths of the highest.

    Names that the font of figures lacks are shown by their number in the table.
    """
    told = [(k, g) for k, g in enumerate(groups) if g["approval_rate"]]
    highest = max(g["approval_rate"]["value"] for _, g in told)
    with styled():
        figure, (left, right) = panels(2, height=3.6)
        places = range(len(told))
        names = [g["name"] if g["name"].isascii() and len(g["name"]) < 16 else f"#{k + 1}" for k, g in told]
        _intervals(left, list(places), [g["approval_rate"] for _, g in told])
        left.axhline(minimum_ratio * highest, color=BAD, linestyle="--", linewidth=1.2, label="four fifths of highest")
        left.set(ylabel="approval rate", ylim=(0, min(1.06, highest * 1.25)))
        left.set_title("Approved")
        left.legend(loc="lower right")
        rated = [(k, g["default_rate"]) for k, (_, g) in enumerate(told) if g["default_rate"]]
        if rated:
            _intervals(right, [k for k, _ in rated], [d for _, d in rated], colour=BAD)
            right.set_ylim(0, max(d["high"] for _, d in rated) * 1.2)
        right.set(ylabel="default rate")
        right.set_title("Defaults among the approved")
        for axes in (left, right):
            axes.set_xticks(places, names)
            axes.set_xlim(-0.6, len(told) - 0.4)
            axes.grid(False, axis="x")
            percent_axis(axes.yaxis)
    return figure


def draw_value(value: Json) -> Any:
    """What each data node adds: its Shapley value, and what is lost without it, in three measures."""
    titles = {"auc": "AUC", "ks": "KS", "money": "loss saved per application"}
    hosts = value["hosts"]
    with styled():
        figure, axes = panels(3, width=10.4, height=1.6 + 0.62 * len(hosts))
        for one, (measure, title) in zip(axes, titles.items(), strict=True):
            for kind, nudge, colour, name in (
                ("shapley", -0.18, JOINT, "Shapley value"),
                ("left_out", 0.18, POOLED, "lost without it"),
            ):
                intervals = [value[kind][host][measure] for host in hosts]
                places = [k + nudge for k in range(len(hosts))]
                one.barh(places, [i["value"] for i in intervals], 0.34, color=colour, label=name)
                one.errorbar(
                    [i["value"] for i in intervals], places, xerr=error_bars(intervals), fmt="none", ecolor=INK,
                    elinewidth=1, capsize=2,
                )  # fmt: skip
            one.axvline(0, color=INK, linewidth=0.8)
            one.set_yticks(range(len(hosts)), hosts if one is axes[0] else [""] * len(hosts))
            one.invert_yaxis()
            one.grid(False, axis="y")
            one.set_title(title)
            one.locator_params(axis="x", nbins=5)
        axes[-1].xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _intervals(
    axes: Any,
    places: Sequence[float],
    intervals: Sequence[Mapping[str, float]],
    colour: str = JOINT,
    marker: str = "o",
    label: str | None = None,
) -> None:
    axes.errorbar(
        places,
        [i["value"] for i in intervals],
        yerr=error_bars([dict(i) for i in intervals]),
        fmt=marker,
        color=colour,
        markersize=6,
        elinewidth=1.6,
        capsize=3,
        label=label,
    )
