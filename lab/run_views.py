"""A finished run as tables for people, in Chinese and English."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from lab import views
from lab.amount_reports import show_measures
from lab.horizontal.views import over_sites
from lab.reports import NAMES_ZH, interval_text
from lab.scorecard_views import scorecard_result
from lab.validation.amounts import is_amounts
from lab.validation.score_figures import CURVES


def finished(console: Console, found: dict[str, Any]) -> None:
    """A finished run, of whichever kind."""
    kinds = {"scorecard": scorecard_result, "horizontal": over_sites}
    kinds.get(found.get("kind", ""), trees)(console, found)


def trees(console: Console, result: dict[str, Any]) -> None:
    """Metrics, cost per party, and what each party learnt of a run of trees."""
    rows = result["rows"]
    views.title(
        console, "Model 模型", f"{rows['fit']:,} fit 拟合, {rows['holdout']:,} held out 留出; 95 % bootstrap 自助法区间"
    )
    if is_amounts(result):
        grid = views.table(("", False), ("bank alone 仅银行", True), ("joint 联合", True), ("gain 提升", True))
        show_measures(grid, result)
    else:
        grid = views.table(("", False), ("AUC", True), ("KS", True))
        for who in result["auc"]:
            grid.add_row(
                f"{CURVES[who][0]} {NAMES_ZH[who]}", interval_text(result["auc"][who]), interval_text(result["ks"][who])
            )
        grid.add_row("gain 提升", interval_text(result["gain"]["auc"]), interval_text(result["gain"]["ks"]))
        if stand_in := result.get("served", {}).get("bank_only"):
            served = "bank alone, as served 仅银行（服务备用）"
            grid.add_row(served, interval_text(stand_in["auc"]), interval_text(stand_in["ks"]))
    console.print(grid)
    for leak in result.get("leaks", []):
        name = leak["feature"].removeprefix(leak["party"]).strip()
        said = f"  {leak['party']} {name}: may know the outcome 疑似泄漏结果 (AUC {leak['auc']:.3f})"
        console.print(said, style="yellow", highlight=False)

    views.cost(console, result, f"{result['trees']} trees 棵树, {result['seconds_per_tree']:.2f} s/tree 秒/棵")
