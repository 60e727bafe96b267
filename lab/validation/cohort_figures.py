"""The figure of a vintage analysis and its reading."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.validation.drawing import panels, percent, percent_axis, styled
from lab.validation.readings import Reading

Json = Mapping[str, Any]


def draw_cohorts(report: Json) -> Any:
    """Cumulative default rate by months on book, one curve per cohort; hollow where not all loans are that old."""
    from matplotlib import colormaps

    with styled():
        figure, (axes,) = panels(1, width=9.4, height=4.6)
        for k, (name, row) in enumerate(zip(report["names"], report["triangle"], strict=True)):
            told = [(m, c) for m, c in zip(report["months"], row, strict=True) if c and c["default_rate"] is not None]
            if not told:
                continue
            colour = colormaps["viridis"](0.92 * k / max(1, len(report["names"]) - 1))
            axes.plot(
                [m for m, _ in told], [c["default_rate"] for _, c in told], color=colour, linewidth=1.4, label=name
            )
            for m, c in told:
                axes.plot(m, c["default_rate"], "o", color=colour, markerfacecolor=colour if c["mature"] else "white")
        axes.set(xlabel="months on book", ylabel="defaulted so far")
        axes.set_xticks(report["months"])
        axes.set_ylim(bottom=0)
        axes.set_title("Cumulative default rate per cohort; hollow: not all its loans are so old yet")
        percent_axis(axes.yaxis, 1)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper")
    return figure


def cohorts_reading(report: Json) -> Reading:
    """Compares all cohorts at the longest time for which at least two are mature."""
    rows = list(zip(report["names"], report["triangle"], strict=True))
    for k in range(len(report["months"]) - 1, -1, -1):
        told = [
            (n, r[k]["default_rate"]) for n, r in rows if r[k] and r[k]["mature"] and r[k]["default_rate"] is not None
        ]
        if len(told) > 1:
            (best, low), (worst, high) = min(told, key=lambda x: x[1]), max(told, key=lambda x: x[1])
            month = report["months"][k]
            return (
                f"After {month} months {percent(low)} of {best} had defaulted, the least, and {percent(high)} of "
                f"{worst}, the most.",
                f"账龄 {month} 个月时，{best} 的累计违约率最低（{percent(low)}），{worst} 最高（{percent(high)}）。",
            )
    return "No two cohorts are old enough to compare.", "尚无两个批次可供比较。"


def anything_told(report: Json | None) -> bool:
    """Whether there is a rate to draw."""
    return bool(report) and any(c and c["default_rate"] is not None for row in report["triangle"] for c in row)  # type: ignore[index]
