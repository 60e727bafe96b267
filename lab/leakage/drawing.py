"""The leakage report as a figure, with its attacks and verdicts in two languages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from lab.validation.drawing import BAD, BANK, INK, Picture, error_bars, panels, styled, svg_of

Json = Mapping[str, Any]

#: What was found, in the folder of the run.
FILE: Final = "leakage.json"
VERDICTS: Final = {
    "beyond_own_features": ("beyond its own features", "超出自有特征"),
    "above_chance": ("above chance", "高于随机"),
    "not_found": ("nothing found", "未发现"),
    "nothing_shown": ("sees no row sets", "看不到行集合"),
    "not_measured": ("not measured", "未测量"),
}


def attacks_of(found: Json) -> list[tuple[str, str, Json, Json]]:
    """Of each attack: English, Chinese, what it reached, and what the attacker's own features reach; AUC."""
    told = [
        (f"{f['party']}: labels", f"{f['party']}：标签", f["few_labels"], f["own_features"]) for f in found["labels"]
    ]
    views_ = {"scores": ("from scores", "仅凭评分"), "parts": ("from answers", "凭数据方应答")}
    for f in found["features"]:
        english, chinese = views_[f["view"]]
        name = f"bank: a feature of {f['party']} {english}"
        told.append((name, f"银行：{f['party']} 的特征（{chinese}）", f["guess"], f["own_features"]))
    return told


def draw_leakage(found: Json) -> Any:
    """What each attack reached, beside what the attacker knew anyway; half is chance."""
    attacks = attacks_of(found)
    with styled():
        figure, (axis,) = panels(1, width=9.0, height=1.2 + 0.55 * len(attacks))
        guesses = [dict(guess) for _, _, guess, _ in attacks]
        alone = [dict(own) for _, _, _, own in attacks]
        for intervals, kind, nudge, colour in (
            (guesses, "with what it saw", -0.18, BAD),
            (alone, "own features alone", 0.18, BANK),
        ):
            places = [place + nudge for place in range(len(attacks))]
            values = [i["value"] for i in intervals]
            axis.errorbar(values, places, xerr=error_bars(intervals), fmt="o", color=colour, label=kind, capsize=2)
        axis.axvline(0.5, color=INK, linewidth=0.8, linestyle="--")
        axis.set_yticks(range(len(attacks)), [attack[0] for attack in attacks])
        axis.invert_yaxis()
        axis.set_xlim(0.4, 1.0)
        axis.set_xlabel("AUC of the guess; dashed: chance")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def picture_of(found: Json) -> Picture | None:
    """None: there was nothing to attack."""
    if not attacks_of(found):
        return None
    return Picture(
        "leakage",
        svg_of(draw_leakage(found)),
        "Where orange lies right of grey, what passed in the run told more than the attacker's own features do.",
        "橙点在灰点右侧，说明运行中传递的信息透露的内容超出攻击方自有特征。",
    )
