"""What the figures of a document show, one line each, in English and Chinese, and whether a gain is shown at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.validation.drawing import percent

Json = Mapping[str, Any]
Reading = tuple[str, str]


def gain_reading(gain: Json) -> Reading:
    """``gain``: of the joint model's AUC over the bank alone's, with its interval."""
    told = f"{gain['value']:+.3f} ({gain['low']:+.3f} – {gain['high']:+.3f})"
    if gain["low"] > 0:
        return (
            f"The joint model ranks these applicants better than the bank alone: AUC {told}.",
            f"在这些申请人上，联合模型的区分力优于仅银行：AUC {told}。",
        )
    if gain["high"] < 0:
        return (
            f"The joint model ranks these applicants worse than the bank alone: AUC {told}.",
            f"在这些申请人上，联合模型的区分力不如仅银行：AUC {told}。",
        )
    return (
        f"These applicants do not show that the joint model ranks better than the bank alone: AUC {told}.",
        f"这些申请人不足以表明联合模型的区分力优于仅银行：AUC {told}。",
    )


def separation_reading(pack: Json) -> Reading:
    auc, other = pack["holdout"]["auc_bootstrap"]["value"], pack["comparison"]
    share = percent(auc)
    english = f"Of a default and a non-default drawn at random, the model ranks the default riskier {share} of the time"
    chinese = f"随机抽取一名违约者与一名未违约者，模型在 {share} 的情况下判定违约者风险更高"
    if other:
        alone = percent(other["reference"]["auc_bootstrap"]["value"])
        return f"{english}; the bank alone {alone}.", f"{chinese}；仅银行为 {alone}。"
    return f"{english}.", f"{chinese}。"


def deciles_reading(pack: Json) -> Reading:
    riskiest = pack["deciles"][0]
    capture, lift = percent(riskiest["share_of_defaults"]), riskiest["lift"]
    return (
        f"The riskiest band holds {capture} of all defaults: {lift:.1f} times its share.",
        f"风险最高的一组包含了 {capture} 的违约，为平均水平的 {lift:.1f} 倍。",
    )


def spread_reading(pack: Json) -> Reading:
    stability = pack["stability"]
    if not stability:
        return "Too few rows for a stability index.", "样本过少，无法计算稳定性指标。"
    english, chinese = READINGS[stability["reading"]]
    return (
        f"Stability index of the score, fitted against held out: {stability['index']:.3f}, {english}.",
        f"评分的稳定性指标（拟合对留出）：{stability['index']:.3f}，{chinese}。",
    )


READINGS: Mapping[str, Reading] = {
    "stable": ("stable", "稳定"),
    "some_shift": ("some shift", "有一定偏移"),
    "large_shift": ("a large shift", "明显偏移"),
}


def reliability_reading(pack: Json) -> Reading:
    calibration = pack["calibration"]
    rows = calibration["reliability"]
    inside = sum(r["default_rate"]["low"] <= r["mean_probability"] <= r["default_rate"]["high"] for r in rows)
    stated, observed = _stated(rows), percent(pack["holdout"]["default_rate"]["value"])
    before = _stated(calibration["raw_reliability"])
    calibrated = calibration["method"] != "raw"
    return (
        f"In {inside} of {len(rows)} bands the stated probability lies within the interval of what happened; "
        f"overall {stated} stated, {observed} observed{f'; before calibration {before} stated' * calibrated}.",
        f"{len(rows)} 个分组中有 {inside} 组的预测概率落在实际违约率的区间内；"
        f"总体预测 {stated}，实际 {observed}{f'；校准前预测 {before}' * calibrated}。",
    )


def _stated(rows: Sequence[Json]) -> str:
    """Mean of what is stated of all rows of a reliability table."""
    return percent(sum(r["mean_probability"] * r["n_rows"] for r in rows) / sum(r["n_rows"] for r in rows))


def grades_reading(pack: Json) -> Reading:
    lights = [r["light"] for r in pack["grades"]["rows"]]
    n = len(lights)
    green, amber, red = (lights.count(c) for c in ("green", "amber", "red"))
    turned = len(pack["grades"]["inversions"])
    return (
        f"{green} of {n} grades are green, {amber} amber, {red} red; "
        + ("default rates rise from grade to grade." if not turned else f"neighbours out of order: {turned}."),
        f"{n} 个等级中绿灯 {green}、黄灯 {amber}、红灯 {red}；"
        + ("违约率逐级上升。" if not turned else f"有 {turned} 对相邻等级违约率倒挂。"),
    )


def swap_reading(pack: Json) -> Reading:
    swap, approval = pack["comparison"]["swap_set"], pack["comparison"]["approval"]
    n_in, n_out = swap["swapped_in"], swap["swapped_out"]
    if not n_in["n_rows"]:
        return "Both approve the same applicants.", "两者批准的申请人相同。"
    inside, outside = percent(n_in["default_rate"]), percent(n_out["default_rate"])
    bad, one, other = (percent(approval[k]) for k in ("bad_rate", "reference_rate", "rate"))
    return (
        f"{n_in['n_rows']:,} applicants swapped in default at {inside}, as many swapped out at {outside}; "
        f"at a bad rate of {bad}, {other} could be approved instead of {one}.",
        f"换入的 {n_in['n_rows']:,} 人违约率 {inside}，换出的同样人数违约率 {outside}；"
        f"在 {bad} 的坏账率下，可批准比例由 {one} 变为 {other}。",
    )


def vintages_reading(pack: Json) -> Reading:
    told = [v["auc"]["value"] for v in pack["vintages"] if v["part"] == "holdout" and v["auc"]]
    if not told:
        return "Too few rows per period to measure separation.", "各期样本过少，无法衡量区分度。"
    low, high = f"{min(told):.3f}", f"{max(told):.3f}"
    kind = ("out of time", "跨期") if pack["out_of_time"] else ("held out", "留出")
    return (
        f"{kind[0].capitalize()}, AUC lies between {low} and {high} over {len(told)} periods.",
        f"{kind[1]}样本 {len(told)} 期的 AUC 在 {low} 至 {high} 之间。",
    )


def features_reading(pack: Json) -> Reading:
    told = [f for f in pack["features"] if f["stability"]]
    bank, hosts = ([f for f in told if bool(f.get("party")) == theirs] for theirs in (False, True))
    of_bank, of_hosts = (sum(f["stability"]["reading"] == "stable" for f in fs) for fs in (bank, hosts))
    withheld = len({f["party"] for f in pack["features"] if f.get("withheld")})
    silent = (f"; {withheld} data nodes tell nothing", f"；{withheld} 个数据方未提供") if withheld else ("", "")
    return (
        f"{of_bank} of the bank's {len(bank)} features are stable, and {of_hosts} of {len(hosts)} of data nodes"
        f"{silent[0]}.",
        f"银行的 {len(bank)} 个特征中有 {of_bank} 个稳定，数据方的 {len(hosts)} 个中有 {of_hosts} 个稳定{silent[1]}。",
    )


def groups_reading(pack: Json) -> Reading:
    told = [g for g in pack["groups"] if g["four_fifths"] is not None]
    below = sum(not g["four_fifths"] for g in told)
    return (
        f"{below} of {len(told)} groups shown are approved at less than four fifths of the highest rate.",
        f"所示 {len(told)} 个分组中，有 {below} 个的批准率低于最高组的五分之四。",
    )


def value_reading(value: Json) -> Reading:
    def worth(host: str) -> float:
        return float(value["shapley"][host]["auc"]["value"])

    hosts: Sequence[str] = value["hosts"]
    best = max(hosts, key=worth)
    gain = worth(best)
    total = sum(worth(h) for h in hosts)
    return (
        f"{best} adds most: {gain:+.3f} of the {total:+.3f} AUC that all data nodes add together.",
        f"{best} 贡献最大：各数据方合计提升 AUC {total:+.3f}，其中 {gain:+.3f} 来自该方。",
    )
