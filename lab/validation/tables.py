"""A pack and the parties' worth on the console, as aligned tables in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from lab.reports import interval_text, money_text, percent_text
from lab.validation.drawing import moved_text, p_text, p_value, percent
from lab.validation.readings import READINGS
from lab.views import table, title

Json = Mapping[str, Any]
_METHODS: Final = {"raw": "as the model says 模型原始", "platt": "Platt", "isotonic": "isotonic 保序回归"}
_LIGHTS: Final = {
    "green": Text.assemble(("●", "green"), " green 绿"),
    "amber": Text.assemble(("■", "yellow"), " amber 黄"),
    "red": Text.assemble(("◆", "red"), " red 红"),
}


def show_pack(console: Console, pack: Json) -> None:
    """All parts of a pack that have something to tell."""
    _separation(console, pack)
    _calibration(console, pack["calibration"])
    if pack["grades"]:
        _grades(console, pack["grades"])
    _stability(console, pack)
    if pack["comparison"]:
        _decisions(console, pack)
    if pack["vintages"]:
        _vintages(console, pack["vintages"])
    if pack["cohorts"]:
        _cohorts(console, pack["cohorts"])
    if pack["rejects"]:
        show_rejects(console, pack["rejects"])
    if pack["groups"]:
        _groups(console, pack["groups"])
    for note in pack["notes"]:
        console.print(f"  {note['english']}\n  {note['chinese']}", style="dim", highlight=False)


def show_value(console: Console, value: Json) -> None:
    """Worth of every data node."""
    terms = value["money"]
    for kind, name in (("shapley", "Shapley value 沙普利值"), ("left_out", "Lost without it 缺少该方的损失")):
        title(console, name, "")
        grid = table(("", False), ("AUC", True), ("KS", True), ("loss saved 减少的损失", True))
        rows = [(host, value[kind][host]) for host in value["hosts"]]
        if kind == "shapley":
            rows.append(("together 合计", value["together"]))
        for host, worth in rows:
            grid.add_row(host, interval_text(worth["auc"]), interval_text(worth["ks"]), money_text(worth["money"]))
        console.print(grid)
    console.print(
        f"  loss saved per application 每笔申请减少的损失: approved 批准 {terms['approval_rate']:.0%}, "
        f"{terms['amount']:,.0f} per loan 每笔敞口, loss given default 违约损失率 {terms['loss_given_default']:.0%}",
        style="dim",
        highlight=False,
    )


def _cohorts(console: Console, report: Json) -> None:
    title(
        console,
        "Vintages 账龄分析",
        f"cumulative default rate 累计违约率, as of 截至 {report['as_of']}; * not all loans so old 部分未达账龄; "
        f"· < {report['minimum']}",
    )
    grid = table(("booked 批次", False), ("loans 笔数", True), *((str(m), True) for m in report["months"]))
    for name, size, row in zip(report["names"], report["sizes"], report["triangle"], strict=True):
        cells = [
            ""
            if c is None
            else "·"
            if c["default_rate"] is None
            else percent(c["default_rate"]) + " *" * (not c["mature"])
            for c in row
        ]
        grid.add_row(name, f"< {report['minimum']}" if size is None else f"{size:,}", *cells)
    console.print(grid)


def show_rejects(console: Console, report: Json) -> None:
    """What the rejected could mean."""
    bounds = report["bounds"]
    title(
        console,
        "With the rejected 纳入被拒申请人",
        f"{report['n_accepted']:,} accepted 批准, {report['n_rejected']:,} rejected 被拒, "
        f"{report['n_unscored']:,} unscored 无法评分",
    )
    console.print(
        f"  default rate of all 全体违约率: {percent(bounds['all_good'])} – {percent(bounds['all_bad'])} whatever is "
        f"assumed 无论作何假设; accepted only 仅批准者 {percent(bounds['accepted'])}",
        highlight=False,
    )
    grid = table(
        ("factor 倍数", True), ("rejected 被拒", True), ("all, fuzzy 模糊增广", True),
        ("all, parcelling 分组赋值", True), ("cut-off 准入上限", True), ("approved 批准率", True),
    )  # fmt: skip
    for a in report["assumptions"]:
        cutoff = "–" if a["cutoff"] is None else percent(a["cutoff"])
        rates = (percent(a[key]) for key in ("rejected_rate", "fuzzy_rate", "parcelled_rate"))
        grid.add_row(f"{a['factor']:g}", *rates, cutoff, percent(a["approval_rate"]))
    console.print(grid)


def _separation(console: Console, pack: Json) -> None:
    rows, late = pack["holdout"]["n_rows"], "out of time 跨期" if pack["out_of_time"] else "held out 留出"
    title(console, "Separation 区分度", f"{rows:,} {late}, {pack['holdout']['n_defaults']:,} defaults 违约")
    grid = table(("", False), ("AUC", True), ("Gini", True), ("KS", True), ("top tenth 最高十分位", True))
    named = [("joint 联合", pack["holdout"]), ("fitted rows 拟合样本", pack["development"])]
    if pack["comparison"]:
        named.insert(1, ("bank alone 仅银行", pack["comparison"]["reference"]))
    for name, s in named:
        gini = f"{2 * s['auc_bootstrap']['value'] - 1:.3f}"
        grid.add_row(name, interval_text(s["auc_bootstrap"]), gini, interval_text(s["ks"]), f"{s['lift']:.2f}×")
    console.print(grid)


def _calibration(console: Console, report: Json) -> None:
    test = report["hosmer_lemeshow"]
    detail = f"Hosmer–Lemeshow {p_text(test['p_value'])}" if test else ""
    title(console, "Calibration 校准", detail)
    grid = table(("", False), ("Brier", True), ("in the large 整体偏差", True), ("slope 斜率", True))
    for m in report["methods"]:
        mark = " ✓" if m["method"] == report["method"] else ""
        by = " (by folds 交叉)" if m["judged"] == "folds" else ""
        cox = m["cox"]
        ends = (interval_text(cox["in_the_large"]), interval_text(cox["slope"])) if cox else ("–", "–")
        grid.add_row(_METHODS[m["method"]] + by + mark, f"{m['brier']:.4f}", *ends)
    console.print(grid)


def _grades(console: Console, report: Json) -> None:
    title(console, "Grades 评级", "safest first 由低到高风险")
    grid = table(
        ("", False), ("stated 预测", True), ("rows 行数", True), ("observed 实际", True), ("binomial p", True),
        ("Jeffreys p", True), ("", False),
    )  # fmt: skip
    for g in report["rows"]:
        grid.add_row(
            g["name"],
            percent(g["default_probability"], 2),
            f"{g['n_rows']:,}",
            percent_text(g["default_rate"]) if g["default_rate"] else "–",
            p_value(g["binomial_p"]),
            p_value(g["jeffreys_p"]),
            _LIGHTS[g["light"]],
        )
    console.print(grid)


def _stability(console: Console, pack: Json) -> None:
    title(console, "Stability 稳定性", "fitted against held out 拟合对留出; < 0.1 stable 稳定, ≥ 0.25 large 明显")
    grid = table(("", False), ("stability index 稳定性指标", True), ("", False), ("moved most 变动最大", True))
    for f in [{"name": "score 评分", "stability": pack["stability"]}, *pack["features"]]:
        if s := f["stability"]:
            most = moved_text(s["most_moved"])
            grid.add_row(f["name"], f"{s['index']:.3f}", " ".join(READINGS[s["reading"]]), most)
        elif f.get("withheld"):
            grid.add_row(f["name"], "–", "withheld 未提供", "")
    console.print(grid)


def _decisions(console: Console, pack: Json) -> None:
    approval, swap = pack["comparison"]["approval"], pack["comparison"]["swap_set"]
    title(console, "Decisions 决策", f"bank alone approves 仅银行批准 {percent(pack['rules']['approval_rate'], 0)}")
    grid = table(("", False), ("rows 行数", True), ("default rate 违约率", True))
    for key, name in (
        ("both", "approved by both 均批准"),
        ("swapped_in", "swapped in 换入"),
        ("swapped_out", "swapped out 换出"),
        ("neither", "declined by both 均拒绝"),
    ):
        rate = swap[key]["default_rate"]
        grid.add_row(name, f"{swap[key]['n_rows']:,}", "–" if rate is None else percent(rate))
    console.print(grid)
    console.print(
        f"  approved at a bad rate of {percent(approval['bad_rate'])} 同等坏账率下的批准率: "
        f"{percent(approval['reference_rate'])} → {percent(approval['rate'])}, {percent_text(approval['gain'])}",
        highlight=False,
    )


def _vintages(console: Console, vintages: list[Json]) -> None:
    title(console, "Periods 各期", "")
    grid = table(("", False), ("", False), ("rows 行数", True), ("observed 实际", True), ("AUC", True))
    for v in vintages:
        part = "held out 留出" if v["part"] == "holdout" else "development 开发"
        rate = percent_text(v["default_rate"]) if v["default_rate"] else "–"
        grid.add_row(v["period"], part, f"{v['n_rows']:,}", rate, interval_text(v["auc"]) if v["auc"] else "–")
    console.print(grid)


def _groups(console: Console, groups: list[Json]) -> None:
    title(console, "Fairness 公平性", "")
    grid = table(("", False), ("approved 批准率", True), ("of highest 相对最高", True), ("defaults 违约率", True))
    for g in groups:
        if g["suppressed"]:
            grid.add_row(g["name"], "too few rows 样本过少", "", "")
            continue
        ratio = "–" if g["approval_ratio"] is None else percent(g["approval_ratio"], 0)
        rate = percent_text(g["default_rate"]) if g["default_rate"] else "–"
        grid.add_row(g["name"], percent_text(g["approval_rate"]), ratio, rate)
    console.print(grid)
