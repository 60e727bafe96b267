"""A search on the console: every candidate, the choice in words, what it all cost and told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from lab.reports import interval_text
from lab.views import cost, table, title

Json = Mapping[str, Any]


def show_search(console: Console, account: Json, result: Json) -> None:
    """``account``: content of ``auto.json``; ``result``: of the chosen run, with all sessions' disclosures."""
    title(console, "Candidates 候选", "simplest first 由简到繁; means over folds 各折均值")
    grid = table(
        ("", False), ("folds 折", True), ("AUC ± s.e. 标准误", True), ("KS", True), ("bank 仅银行", True),
        ("size 规模", True), ("s", True), ("", False),
    )  # fmt: skip
    for c in account["candidates"]:
        m, fate = c["mean"], _fate(c, account["threshold"])
        if not m:
            grid.add_row(c["name"], "0", "–", "–", "–", "–", "–", fate)
            continue
        size = f"{m['n_parameters']:.0f} {'leaves 叶' if c['kind'] == 'trees' else 'coef. 系数'}"
        error = f"{m['auc']:.4f} ± {m['error']:.4f}"
        others = (f"{m['ks']:.3f}", f"{m['bank_auc']:.4f}", size, f"{m['seconds']:.1f}")
        grid.add_row(c["name"], str(len(c["trials"])), error, *others, fate)
    console.print(grid)
    for leak in (*account["left_out"]["leaks"], *account["left_out"]["host_leaks"]):
        console.print(
            f"  {leak['party']} {leak['feature']}: AUC {leak['auc']:.3f} alone, may know the outcome "
            f"单变量 AUC 过高，可能已知结果",
            style="yellow",
            highlight=False,
        )
    console.print(f"  {account['explanation']['english']}\n  {account['explanation']['chinese']}", highlight=False)
    told = account["held_out"]
    title(console, "Held-out rows 留出样本", "looked at once, at the end 仅在最后使用一次")
    grid = table(("", False), ("AUC", True), ("KS", True))
    for who, name in (("bank_only", "bank alone 仅银行"), ("joint", "chosen 选用模型")):
        grid.add_row(name, interval_text(told["auc"][who]), interval_text(told["ks"][who]))
    grid.add_row("gain 提升", interval_text(told["gain"]["auc"]), interval_text(told["gain"]["ks"]))
    console.print(grid)
    seconds = sum(s["seconds"] for s in account["stages"])
    total = {**result, "bytes": account["bytes"], "seconds_total": seconds}
    cost(console, total, f"{account['sessions']} sessions 次会话")


def _fate(candidate: Json, threshold: float) -> str | Text:
    if candidate["role"] == "chosen":
        return Text("chosen 选用", "bold")
    if candidate["dropped"]:
        return f"{candidate['dropped']['english']}\n{candidate['dropped']['chinese']}"
    if candidate["role"] == "best":
        return "best mean AUC 平均最高"
    return "over one s.e. below 低于一个标准误" if candidate["mean"]["auc"] < threshold else "not simpler 并非更简单"
