"""A comparison of told and shadow for people: tables, and a figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from rich.console import Console

from lab import views
from lab.serving.publishing.shadow import Comparison, Pairs, Told
from lab.validation.drawing import BANK, INK, JOINT, panels, styled

_TOLD: Final[dict[Told, tuple[str, str]]] = {
    "joint": ("Answers by all parties 联合应答", "joint"),
    "bank_only": ("Answers by the bank alone 仅银行应答", "bank_only"),
}
_READINGS: Final = {"stable": "稳定", "some_shift": "有所偏移", "large_shift": "显著偏移"}
_COLOURS: Final[dict[Told, str]] = {"joint": JOINT, "bank_only": BANK}
#: Points that can still be told apart.
_MOST_POINTS: Final = 5000


def show(console: Console, mode: Told, found: Comparison) -> None:
    """Means, bands told and said in the shadow, who moved where, and how much they agree."""
    views.title(console, *_TOLD[mode])
    grid = views.table(("", False), ("told 实际应答", True), ("shadow 影子", True))
    grid.add_row("mean default probability 平均违约概率", f"{found.champion:.2%}", f"{found.challenger:.2%}")
    for name, told, shadow in zip(found.bands, found.moves, zip(*found.moves, strict=True), strict=True):
        grid.add_row(f"band 等级 {name}", f"{sum(told):,}", f"{sum(shadow):,}")
    console.print(grid)
    moved = views.table(("told 实际 ↓  shadow 影子 →", False), *((name, True) for name in found.bands))
    for name, row in zip(found.bands, found.moves, strict=True):
        moved.add_row(name, *(f"{n:,}" if n else "·" for n in row))
    console.print(moved)
    correlation = "–" if found.rank_correlation is None else f"{found.rank_correlation:.3f}"
    console.print(
        f"  {found.n:,} applications 笔申请; same band 等级一致 {found.agreement:.1%} (safer 更优 {found.safer:.1%}, "
        f"riskier 更差 {found.riskier:.1%}); rank correlation 秩相关 {correlation}\n"
        f"  PSI over bands 等级分布 PSI {found.stability_index:.3f} ({found.reading} {_READINGS[found.reading]}); "
        f"largest difference 最大概率差 {found.largest:.3f}",
        highlight=False,
    )


def draw(pairs: Mapping[Told, Pairs]) -> Any:
    """Default probabilities told against those of the shadow, and how many applications moved from band to band, of all
    answers together. At least one."""
    with styled():
        figure, (left, right) = panels(2)
        for mode, both in pairs.items():
            told, shadow = both.probabilities[-_MOST_POINTS:].T
            left.plot(told, shadow, ".", color=_COLOURS[mode], markersize=3, alpha=0.4, label=mode)
        ends = np.concatenate([both.probabilities.ravel() for both in pairs.values()])
        left.plot([ends.min(), ends.max()], [ends.min(), ends.max()], ":", color=INK, linewidth=0.9)
        left.set(xscale="log", yscale="log", xlabel="told", ylabel="shadow")
        left.set_title("Default probability")
        left.legend(loc="upper left")
        _draw_moves(right, Pairs.together(pairs.values()).compared())
    return figure


def _draw_moves(axes: Any, found: Comparison) -> None:
    moves = np.array(found.moves)
    axes.imshow(np.sqrt(moves), cmap="Blues", aspect="auto")  # a root, so that few are seen beside many
    for told, shadow in zip(*np.nonzero(moves), strict=True):
        dark = moves[told, shadow] > moves.max() / 2
        text = f"{moves[told, shadow]:,}"
        axes.text(shadow, told, text, ha="center", va="center", fontsize=8, color="white" if dark else INK)
    ticks = range(len(found.bands))
    axes.set(xlabel="band of the shadow", ylabel="band told")
    axes.set_xticks(ticks, found.bands)
    axes.set_yticks(ticks, found.bands)
    axes.grid(visible=False)
    axes.set_title(f"Same band {found.agreement:.1%}, PSI {found.stability_index:.3f}, n = {found.n:,}")
