"""A scorecard run as tables for people, in Chinese and English."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from lab import views
from lab.reports import NAMES_ZH, interval_text
from lab.scorecard_document import shown_name, why
from lab.validation.score_figures import CURVES


def scorecard_result(console: Console, result: dict[str, Any]) -> None:
    """Features with their information value, coefficients, quality, cost."""
    views.title(
        console,
        "Features 特征",
        "information value, highest first 按信息值降序; hosts' features have numbers 数据方特征仅有编号",
    )
    grid = views.table(("feature 特征", False), ("IV", True), ("AUC alone 单变量", True), ("", False))
    for f in sorted(result["features"], key=lambda f: -f["information_value"]):
        name = shown_name(f["party"], f["variable"])
        grid.add_row(name, f"{f['information_value']:.3f}", f"{f['single_auc']:.3f}", " ".join(why(f)))
    console.print(grid)

    views.title(console, "Scorecard 评分卡", "margin = log-odds of default 违约对数几率; WOE = ln(goods / bads)")
    grid = views.table(("", False), ("coefficient 系数", True), ("std. error 标准误", True), ("p", True), ("", False))
    for c in result["coefficients"]:
        name = shown_name(c["party"], c["name"])
        error = "–" if c["standard_error"] is None else f"{c['standard_error']:.3f}"
        p_value = "–" if c["p_value"] is None else f"{c['p_value']:.4f}"
        turned = c["name"] != "intercept" and c["value"] > 0
        grid.add_row(name, f"{c['value']:+.4f}", error, p_value, "against its WOE 符号与 WOE 相反" if turned else "")
    console.print(grid)

    rows = result["rows"]
    views.title(
        console,
        "Quality 质量",
        f"{rows['fit']:,} fit 拟合, {rows['holdout']:,} held out 留出; 95 % 区间",
    )
    grid = views.table(("", False), ("AUC", True), ("KS", True))
    for who in result["auc"]:
        grid.add_row(
            f"{CURVES[who][0]} {NAMES_ZH[who]}", interval_text(result["auc"][who]), interval_text(result["ks"][who])
        )
    grid.add_row("gain 提升", interval_text(result["gain"]["auc"]), interval_text(result["gain"]["ks"]))
    console.print(grid)
    seconds = result["stage_seconds"]
    binning, fitting = seconds["binning"], seconds["fitting"]
    views.cost(
        console, result, f"binning 分箱 {binning:.1f} s, fitting 拟合 {fitting:.1f} s, {result['rounds']} rounds 轮"
    )
