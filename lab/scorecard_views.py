"""A scorecard run as tables for people, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

from lab import views
from lab.reports import NAMES_ZH, interval_text
from lab.validation.score_figures import CURVES

REASONS: Final = {
    "": "used 采用",
    "weak": "little information 信息量低",
    "flagged": "one bin only 无法分箱",
    "leak": "may know the outcome 疑似泄漏",
    "surplus": "enough stronger ones 已有更强特征",
    "correlated": "goes with 相关于",
    "collinear": "follows from others 多重共线, VIF",
    "reversed": "against its WOE 符号与 WOE 相反",
    "insignificant": "adds nothing 不显著, p",
}


def why(feature: Mapping[str, Any]) -> str:
    """Why a feature is used or not, with the number that decided."""
    figure, other = feature["figure"], feature["other"]
    told = "" if figure is None else f" {figure:.2g}" if abs(figure) < 0.1 else f" {figure:.2f}"
    return f"{REASONS[feature['reason']]}{f' {other}' if other else ''}{told}"


def scorecard_result(console: Console, result: dict[str, Any]) -> None:
    """Features with their information value, coefficients, quality, cost."""
    views.title(
        console,
        "Features 特征",
        "information value, highest first 按信息值降序; hosts' features have numbers 数据方特征仅有编号",
    )
    grid = views.table(("feature 特征", False), ("IV", True), ("AUC alone 单变量", True), ("", False))
    for f in sorted(result["features"], key=lambda f: -f["information_value"]):
        name = f["variable"] if f["variable"].startswith(f["party"]) else f"{f['party']} {f['variable']}"
        grid.add_row(name, f"{f['information_value']:.3f}", f"{f['single_auc']:.3f}", why(f))
    console.print(grid)

    views.title(console, "Scorecard 评分卡", "margin = log-odds of default 违约对数几率; WOE = ln(goods / bads)")
    grid = views.table(("", False), ("coefficient 系数", True), ("std. error 标准误", True), ("p", True), ("", False))
    for c in result["coefficients"]:
        name = c["name"] if c["name"].startswith(c["party"]) else f"{c['party']} {c['name']}"
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
