"""What the command line shows to people: tables that align, in Chinese and English."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from models.errors import LianmoError

if TYPE_CHECKING:
    from lab.doctor import Finding


#: Beside what is as it should be, and what is not.
GOOD: Final = Text("✓", "green")
BAD: Final = Text("✗", "red")


class Grid(Table):
    """Cells are shown as they are: names of columns and groups may have brackets, which are no markup here."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def title(console: Console, text: str, detail: str) -> None:
    """One heading."""
    console.print(f"\n[bold]{escape(text)}[/bold]  [dim]{escape(detail)}[/dim]", highlight=False)


def table(*columns: tuple[str, bool]) -> Grid:
    """A grid of ``(heading, is_number)`` columns."""
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, is_number in columns:
        grid.add_column(name, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    return grid


def cost(console: Console, result: dict[str, Any], detail: str) -> None:
    """Time and traffic per party, and what each party learnt."""
    title(console, "Cost 成本", f"{detail}, {result['seconds_total']:.0f} s")
    grid = table(("party 参与方", False), ("sent 发送 MB", True), ("received 接收 MB", True))
    for party, traffic in result["bytes"].items():
        grid.add_row(party, f"{traffic['sent'] / 1e6:,.2f}", f"{traffic['received'] / 1e6:,.2f}")
    console.print(grid)

    title(console, "What each party learnt 各方获知的信息", "from the messages that passed 由实际消息生成")
    grid = table(("learnt by 获知方", False), ("times 次数", True), ("what 内容", False))
    for receivers, disclosures in _by_receivers(result["disclosures"]).items():
        shown = "\n".join(receivers)
        for d in disclosures:
            counts = d["counts"][:1] if len(set(d["counts"])) == 1 else d["counts"]
            grid.add_row(shown, "\n".join(f"{n:,}" for n in counts), f"{d['reveals']}\n{d['reveals_zh']}")
            shown = ""
    console.print(grid)


def _by_receivers(disclosures: Sequence[dict[str, Any]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Receivers of the same messages side by side, each with its own count; messages that tell nothing are left out."""
    learnt: dict[str, dict[str, dict[str, Any]]] = {}
    for d in disclosures:
        if not d["reveals"].startswith(("nothing.", "nothing;", "nothing (")):
            known = learnt.setdefault(d["receiver"], {}).setdefault(d["message"], {**d, "count": 0})
            known["count"] += d["count"]
    alike: dict[tuple[str, ...], list[str]] = {}
    for receiver, rows in learnt.items():
        alike.setdefault(tuple(rows), []).append(receiver)
    return {
        tuple(receivers): [
            {**learnt[receivers[0]][message], "counts": [learnt[r][message]["count"] for r in receivers]}
            for message in messages
        ]
        for messages, receivers in alike.items()
    }


def score_answer(console: Console, answer: dict[str, Any]) -> None:
    """One answer of the scoring endpoint."""
    title(console, "Score 评分", f"application {answer['application_id']}, {answer['latency_ms']:.1f} ms")
    grid = table(("", False), ("", False))
    grid.show_header = False
    model = answer["model"]
    for name, value in (
        ("mode 方式", answer["mode"]),
        ("default_probability 违约概率", _shown(answer["default_probability"], ".4f")),
        ("points 分数", _shown(answer["points"])),
        ("band 等级", _shown(answer["band"])),
        ("model 模型", f"{model['name']} version {model['version']}"),
        ("parties used 参与方", ", ".join(answer["parties_used"])),
    ):
        grid.add_row(name, value)
    console.print(grid)


def _shown(value: Any, form: str = "") -> str:
    """ "–" for what nobody scored."""
    return "–" if value is None else format(value, form)


def files(console: Console, run: Path) -> None:
    """Where to look."""
    for name in ("result.json", "report.html", "curves.png", "value.json", "auto.html", "chosen.toml"):
        if (run / name).exists():
            console.print(f"  {run / name}", style="dim", highlight=False)


def findings(console: Console, found: Sequence[Finding]) -> None:
    """What ``doctor`` saw."""
    grid = table(("", False), ("check 检查项", False), ("found 结果", False), ("what to do 建议", False))
    for f in found:
        advice = "" if f.good else f"{f.advice}\n{f.advice_zh}"
        grid.add_row(GOOD if f.good else BAD, f.name, f.found, advice)
    console.print(grid)


def error(console: Console, raised: LianmoError) -> None:
    """What happened and what to do, in two languages."""
    console.print(
        Panel(f"{raised.english}\n{raised.chinese}", title=f"error 错误 · {raised.code}", border_style="red"),
        highlight=False,
        markup=False,
    )
