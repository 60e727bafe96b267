"""The page of a search: what was tried, what was chosen and why, what it cost and told; one file, offline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.reports import page_environment
from lab.validation.drawing import BANK, INK, JOINT, PALE, Picture, panels, styled, svg_of

Json = Mapping[str, Any]


def write_page(run: Path, name: str, account: Json) -> Path:
    """Write ``auto.html`` into the run's directory; returns its path.

    Args:
        account: content of ``auto.json``.
    """
    tried = [c for c in account["candidates"] if c["mean"]]
    picture = Picture("search", svg_of(draw_search(account)), *_reading(account, len(tried)))
    page = run / "auto.html"
    html = page_environment().get_template("auto.html").render(a=account, name=name, picture=picture)
    page.write_text(html, encoding="utf-8")
    return page


def draw_search(account: Json) -> Any:
    """Mean AUC of every candidate with its standard error, simplest first, and one standard error below the best."""
    tried = [c for c in account["candidates"] if c["mean"]]
    with styled():
        figure, (axes,) = panels(1, width=9.4, height=1.5 + 0.42 * len(tried))
        for place, c in enumerate(tried):
            colour = JOINT if c["role"] == "chosen" else INK if not c["dropped"] else BANK
            axes.errorbar(
                c["mean"]["auc"], place, xerr=c["mean"]["error"], fmt="o" if not c["dropped"] else "x", color=colour,
                markersize=9 if c["role"] == "chosen" else 6, elinewidth=1.6, capsize=3,
            )  # fmt: skip
            axes.plot([t["auc"] for t in c["trials"]], [place] * len(c["trials"]), "|", color=PALE, markersize=9)
        axes.axvline(
            account["threshold"], color=INK, linestyle="--", linewidth=1, label="best minus one standard error"
        )
        axes.plot([], [], "o", color=JOINT, markersize=9, label="chosen")
        axes.plot([], [], "o", color=INK, label="on all folds")
        axes.plot([], [], "x", color=BANK, label="dropped earlier")
        axes.plot([], [], "|", color=PALE, markersize=9, label="one fold")
        axes.set_yticks(range(len(tried)), [c["name"] for c in tried])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set(xlabel="AUC on rows the model was not fitted on")
        axes.set_title("Simplest first")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


def _reading(account: Json, n_tried: int) -> tuple[str, str]:
    n_in = sum(not c["dropped"] for c in account["candidates"])
    return (
        f"{n_tried} candidates were tried, {n_in} of them on all folds; of these, {account['chosen']} is the simplest "
        "that reaches the line.",
        f"共试验 {n_tried} 个候选，其中 {n_in} 个完成全部折；{account['chosen']} 是其中达到虚线的最简单的一个。",
    )
