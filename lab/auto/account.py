"""The account of a search as plain objects: every trial, why each candidate is out, the choice in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from lab.auto.development import Development
from lab.auto.search import AutoRules, Record
from lab.auto.spending import Spending

FORMAT: Final = 1


def account_of(
    records: Sequence[Record],
    best: Record,
    chosen: Record,
    development: Development,
    rules: AutoRules,
    spending: Spending,
    result: dict[str, Any],
) -> dict[str, Any]:
    """Content of ``auto.json``; no row, no id.

    Args:
        records: all, simplest first.
        result: of the chosen model's own run.
    """
    leaks = {leak for r in records for t in r.trials for leak in t.host_leaks}
    english, chinese = _reason(best, chosen, development)
    return {
        "format": FORMAT,
        "rows": {"development": len(development.ids), "holdout": development.n_held_out},
        "defaults": int(development.label.sum()),
        "folds": [
            {
                "fit": len(f.fit),
                "test": len(f.test),
                "defaults": int(development.label[f.test].sum()),
            }
            for f in development.folds
        ],
        "budget": {
            "seconds": None if rules.budget.seconds == float("inf") else rules.budget.seconds,
            "sessions": rules.budget.sessions,
        },
        "left_out": {
            "constant": list(development.constant),
            "leaks": [asdict(leak) for leak in development.leaks],
            "host_leaks": [asdict(leak) for leak in sorted(leaks, key=lambda x: (x.party, -x.auc))],
        },
        "candidates": [_told(r, best, chosen) for r in records],
        "best": best.candidate.name,
        "chosen": chosen.candidate.name,
        "threshold": best.auc - best.error,
        "explanation": {"english": english, "chinese": chinese},
        "held_out": {"auc": result["auc"], "ks": result["ks"], "gain": result["gain"]},
        "stages": spending.told(),
        "sessions": spending.n_sessions,
        "bytes": spending.bytes(),
        "disclosures": spending.disclosures(),
    }


def _told(record: Record, best: Record, chosen: Record) -> dict[str, Any]:
    c = record.candidate
    told: dict[str, Any] = {
        "name": c.name,
        "kind": c.kind,
        "english": c.english,
        "chinese": c.chinese,
        "settings": dict(c.settings),
        "trials": [
            {k: v for k, v in asdict(t).items() if k not in ("host_leaks", "opaque", "work")} for t in record.trials
        ],
        "dropped": asdict(record.dropped) if record.dropped else None,
        "role": "chosen" if record is chosen else "best" if record is best else "",
        "mean": None,
    }
    if record.trials:
        means = {name: record.mean(name) for name in ("ks", "bank_auc", "n_parameters", "n_trees", "seconds")}
        told["mean"] = {"auc": record.auc, "error": record.error, **means}
    return told


def _reason(best: Record, chosen: Record, development: Development) -> tuple[str, str]:
    n_folds, gain = len(best.trials), chosen.auc - chosen.mean("bank_auc")
    english = (
        f"{best.candidate.english} ({best.candidate.name}) was best over {n_folds} folds inside the "
        f"{len(development.ids):,} development rows: mean AUC {best.auc:.4f}, standard error {best.error:.4f}. "
    )
    chinese = (
        f"在 {len(development.ids):,} 行开发样本的 {n_folds} 折上，"
        f"{best.candidate.chinese}（{best.candidate.name}）最好：平均 AUC {best.auc:.4f}，标准误 {best.error:.4f}。"
    )
    if chosen is best:
        english += "No simpler candidate came within one standard error of it, so it is chosen. "
        chinese += "没有更简单的候选与之相差在一个标准误以内，因此选用它。"
    else:
        english += (
            f"{chosen.candidate.english} ({chosen.candidate.name}) is the simplest within one standard error of it, "
            f"with {chosen.auc:.4f}: the difference could be chance, so the simpler one is chosen. "
        )
        chinese += (
            f"与之相差在一个标准误以内的最简单候选是{chosen.candidate.chinese}（{chosen.candidate.name}），平均 AUC "
            f"{chosen.auc:.4f}：差异可能出于偶然，因此选用更简单的模型。"
        )
    english += f"On the same folds it is {abs(gain):.4f} {'above' if gain >= 0 else 'below'} the bank alone."
    chinese += f"在相同的折上，比仅用银行数据{'高' if gain >= 0 else '低'} {abs(gain):.4f}。"
    return english[0].upper() + english[1:], chinese
