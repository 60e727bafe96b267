"""The model document of a finished run: one page, offline, in English and Chinese, made from what the run left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jinja2
import markupsafe
import pandas as pd

from lab.amount_reports import write_amounts
from lab.jobs import load_job, node_directory
from lab.leakage.drawing import FILE as LEAKAGE
from lab.leakage.drawing import VERDICTS, attacks_of, picture_of
from lab.scorecard_document import scorecard_facts
from lab.validation.amounts import is_amounts
from lab.validation.drawing import Picture, moved_text, p_text, p_value, percent
from lab.validation.measures import period_text
from lab.validation.pictures import pictures_of
from lab.validation.readings import READINGS, features_reading, gain_reading
from lab.validation.score_figures import CURVES, draw_separation, points_of
from lab.validation.stored import pack_of_scores
from models.bundle import JointModel, load
from models.joint import Joint, joint_from_json
from models.scorecard.card import JointScorecard, ScorecardRules

NAMES_ZH: Final = {"bank_only": "仅银行", "joint": "联合", "pooled": "合并数据（仅供对比）"}
#: Section → English and Chinese heading, in the order of the page.
SECTIONS: Final = {
    "purpose": ("Purpose", "用途"),
    "data": ("Data and parties", "数据与参与方"),
    "model": ("Model", "模型"),
    "validation": ("How well it separates", "区分度"),
    "calibration": ("How true its probabilities are", "概率校准"),
    "grades": ("Grades", "评级"),
    "stability": ("Stability", "稳定性"),
    "decisions": ("What it would decide otherwise", "决策变化"),
    "groups": ("Fairness", "公平性"),
    "value": ("What each party's data are worth", "各方数据价值"),
    "leakage": ("What could be inferred", "泄露评估"),
    "disclosures": ("What each party learnt", "各方获知的信息"),
    "limits": ("Limits", "局限"),
    "approvals": ("Approvals", "审批"),
}


def curves_of(run: Path, guest: str) -> pd.DataFrame:
    """Scores of a run, with the pooled comparison if the run has one."""
    scores = pd.read_csv(node_directory(run, guest) / "scores.csv", dtype={"id": str})
    pooled = run / "pooled.csv"
    if pooled.exists():
        scores["pooled"] = pd.read_csv(pooled)["pooled"].to_numpy()
    return scores


def write_report(run: Path, result: dict[str, Any]) -> tuple[Path, Path]:
    """``curves.png`` and ``report.html`` (one file, no outside assets) into the run's directory; returns both paths.

    Raises:
        ModelError: the run's model or job cannot be read.
    """
    if is_amounts(result):
        trees = JointModel.from_json(load(node_directory(run, result["guest"]) / "model.json"))
        return write_amounts(run, result, page_environment(), model_shares(trees))
    scores = curves_of(run, result["guest"])
    figure, page = run / "curves.png", run / "report.html"
    draw_separation(scores).savefig(figure, dpi=150)
    pack = result.get("validation") or pack_of_scores(scores, 0).to_json()
    value, leakage = (load(run / name) if (run / name).exists() else None for name in ("value.json", LEAKAGE))
    bank = node_directory(run, result["guest"])
    model = joint_from_json(load(bank / "model.json"))
    scale = model.half.rules if isinstance(model, JointScorecard) else ScorecardRules()
    shown = {
        "groups": bool(pack["groups"]),
        "value": bool(value),
        "leakage": bool(leakage),
        "grades": bool(pack["grades"]),
    }
    html = (
        page_environment()
        .get_template("report.html")
        .render(
            r=result,
            v=pack,
            value=value,
            **_leakage_facts(leakage),
            pictures=pictures_of(pack, scores, value, scale),
            sections={n: (*title, f"document/{n}.html") for n, title in SECTIONS.items() if shown.get(n, True)},
            parts=_parts(scores),
            **_model_facts(model, result),
            points=lambda margin: round(float(points_of(margin, scale))),
            split=load_job(bank / "job.json").model_dump().get("split", {}),
            curves={name: english for name, (english, _, _) in CURVES.items()},
            names_zh=NAMES_ZH,
            readings=READINGS,
            moved_features=features_reading(pack),
            gain=gain_reading(result["gain"]["auc"]),
        )
    )
    page.write_text(html, encoding="utf-8")
    return figure, page


def _leakage_facts(leakage: Mapping[str, Any] | None) -> dict[str, Any]:
    if leakage is None:
        return {}
    return {
        "leakage": leakage,
        "leakage_attacks": attacks_of(leakage),
        "leakage_picture": picture_of(leakage),
        "leakage_words": VERDICTS,
    }


def _model_facts(model: Joint, result: dict[str, Any]) -> dict[str, Any]:
    """What differs between the kinds of models: ``kind``, ``what`` it is, how many features the bank brought."""
    if isinstance(model, JointModel):
        what, n_own = f"{len(model.trees)} trees 棵树", len(model.own.bins)
        return {"kind": "trees", "what": what, "n_own": n_own, "shares": model_shares(model)}
    facts = scorecard_facts(result, {b.name for b in model.inputs if b.category})
    what = f"scorecard of {len(facts['coefficients']) - 1} features 评分卡，{len(facts['coefficients']) - 1} 个特征"
    return {"kind": "scorecard", "what": what, "n_own": facts["parties"][0]["binned"], "card": facts}


def model_shares(model: JointModel) -> dict[str, Any]:
    """Where the model's cuts lie: ``parties`` (all) and ``features`` (the bank's own), cuts and share of gain each."""
    parties = {party: [0, 0.0] for party in (model.own.party, *model.host_digests)}
    features = {b.name: [0, 0.0] for b in model.own.bins}
    for node in (node for tree in model.trees for node in tree if node.owner):
        owners = [parties[node.owner]]
        if node.owner == model.own.party:
            owners.append(features[model.own.bins[model.own.splits[node.handle].feature].name])
        for owner in owners:
            owner[0] += 1
            owner[1] += node.gain
    total = sum(gain for _, gain in parties.values()) or 1.0

    def told(counts: Mapping[str, list[float]]) -> list[dict[str, Any]]:
        return [{"name": name, "cuts": int(n), "gain": gain / total} for name, (n, gain) in counts.items()]

    kinds = {b.name: (b.category, b.n_bins) for b in model.own.bins}
    own = [row | {"category": kinds[row["name"]][0], "bins": kinds[row["name"]][1]} for row in told(features)]
    return {"parties": told(parties), "features": own}


def interval_text(interval: Mapping[str, float]) -> str:
    """A point estimate with its interval, three decimals."""
    return f"{interval['value']:.3f} ({interval['low']:.3f} – {interval['high']:.3f})"


def percent_text(interval: Mapping[str, float]) -> str:
    """The same of a share, in percent."""
    return f"{percent(interval['value'])} ({interval['low'] * 100:.1f} – {interval['high'] * 100:.1f})"


def money_text(interval: Mapping[str, float]) -> str:
    """The same of an amount."""
    return f"{interval['value']:,.1f} ({interval['low']:,.1f} – {interval['high']:,.1f})"


def _parts(scores: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows, defaults and periods of each part that has rows."""
    parts = []
    for name in ("fit", "valid", "holdout"):
        own = scores[scores["part"] == name]
        if len(own):
            ends = [period_text(p) for p in (own["period"].min(), own["period"].max())] if "period" in own else None
            parts.append({"name": name, "n_rows": len(own), "n_defaults": int(own["label"].sum()), "periods": ends})
    return parts


def page_environment() -> jinja2.Environment:
    """Templates of this project, with the filters that pages use."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lab"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def svg(picture: Picture) -> markupsafe.Markup:
        return markupsafe.Markup(picture.svg)  # noqa: S704 - our own drawing

    environment.filters |= {
        "interval": interval_text,
        "moved": moved_text,
        "percent": percent,
        "percents": percent_text,
        "moneys": money_text,
        "p_text": p_text,
        "p_value": p_value,
        "svg": svg,
    }
    return environment
