"""A finished run over sites as tables for people, in Chinese and English."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console

from lab import views
from lab.horizontal.texts import KINDS, cities_of, interval_or_dash, sites_of


def over_sites(console: Console, result: dict[str, Any]) -> None:
    """What the model is worth at all sites together and at each, cost, and what each party learnt."""
    english, chinese = KINDS[result["model_kind"]]
    n = len(result["contributors"])
    views.title(console, f"Model 模型 {english} {chinese}", f"{n} sites 个站点; 95 % bootstrap 自助法区间")
    grid = views.table(
        ("", False),
        ("fit 拟合", True),
        ("held out 留出", True),
        ("AUC", True),
        ("KS", True),
        ("alone 单独 AUC", True),
        ("gain 提升", True),
        ("it would use 拟采用", False),
    )
    for row in sites_of(result):
        grid.add_row(
            row["name"],
            *(f"{row[part]:,}" if row[part] is not None else "–" for part in ("fit", "holdout")),
            *(interval_or_dash(row[figure]) for figure in ("auc", "ks", "alone", "gain")),
            row["use"] or "–",
        )
    console.print(grid)
    if cities := cities_of(result):
        _cities(console, cities)
    for party in result["left"]:
        said = f"  {party} left before the end, and has no model 中途离开，未获得模型"
        console.print(said, style="yellow", highlight=False, markup=False)
    views.title(console, "Sums 求和", "all that the coordinator learnt of rows 协调方所获知的全部数据信息")
    grid = views.table(
        ("what 内容", False), ("times 次数", True), ("numbers 数值个数", True), ("over at least 至少涉及站点", True)
    )
    for told in result["sums"]:
        counts = (f"{told[name]:,}" for name in ("times", "numbers", "fewest_sites"))
        grid.add_row(f"{told['reveals']}\n{told['reveals_zh']}", *counts)
    console.print(grid)
    views.cost(console, result, steps_text(result))


def _cities(console: Console, cities: list[dict[str, Any]]) -> None:
    views.title(console, "Cities 城市", "data nodes hold features of the applicants there 数据方持有当地申请人的特征")
    grid = views.table(
        ("city 城市", False), ("banks 银行", False), ("data node 数据方", False), ("cuts in the model 模型切分数", True)
    )
    for city in cities:
        shown = city["name"], "\n".join(city["banks"])
        for host in city["hosts"]:
            cuts = "–" if host["cuts"] is None else f"{host['cuts']:,}"
            grid.add_row(*shown, f"{host['party']} ({host['kind']})", cuts)
            shown = "", ""
    console.print(grid)


_STEPS: Final = {
    "trees": ("trees", "trees 棵树"),
    "scorecard": ("steps", "steps 步"),
    "averaged": ("rounds", "rounds 轮"),
}


def steps_text(result: dict[str, Any]) -> str:
    """How much was trained."""
    field, words = _STEPS[result["model_kind"]]
    return f"{result[field]} {words}"
