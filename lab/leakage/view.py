"""The leakage report in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from lab import views
from lab.leakage.drawing import VERDICTS, attacks_of

Json = Mapping[str, Any]


def show_leakage(console: Console, found: Json) -> None:
    """Attacks beside what the attacker knew anyway, and a verdict per party."""
    views.title(console, "Leakage 泄露评估", "AUC of guesses, 95 % 区间; 0.5 is chance 为随机水平")
    grid = views.table(("attack 攻击", False), ("guess 推断", True), ("own features 自有特征", True))
    for english, chinese, guess, own in attacks_of(found):
        grid.add_row(f"{english}\n{chinese}", *(_interval(i) for i in (guess, own)))
    console.print(grid)
    for f in found["labels"]:
        console.print(
            f"{f['party']}: without any label 无需任何标签 {_interval(f['clusters'])} clusters 聚类, "
            f"{_interval(f['small_nodes'])} small nodes 小节点",
            highlight=False,
        )
    for f in found["orders"]:
        console.print(
            f"{f['party']}: order of values 数值顺序 {f['correlation']:.2f}, chance 随机 {f['chance']:.2f}",
            highlight=False,
        )
    for f in found["repairs"]:
        console.print(f"{f['party']}: repaired records 已修复记录 {_interval(f['auc'])}", highlight=False)
    for party, verdict in found["verdicts"].items():
        console.print(f"{party}: {' '.join(VERDICTS[verdict])}", highlight=False)


def _interval(interval: Json) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} – {interval['high']:.3f})"
