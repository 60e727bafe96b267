"""What page and tables of a run over sites have in common: a row per site or city, and words."""

from __future__ import annotations

from typing import Any, Final

from lab.reports import interval_text

KINDS: Final = {
    "trees": ("trees", "树模型"),
    "scorecard": ("scorecard", "评分卡"),
    "averaged": ("federated average", "联邦平均"),
}
ALL: Final = "all sites 全部站点"
#: What a site would use (``lab.validation.joining``).
WAYS: Final = {
    "own": "its own 自有模型",
    "common": "as it is 直接采用",
    "calibrated": "calibrated 校准后采用",
    "blend": "with its own 与自有模型合用",
}


def sites_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for all sites together, if they were counted, and one per site: name, rows, and figures or None. Behind a
    hub what a site measures stays with it."""
    rows = [_row(name, own) for name, own in result["sites"].items() if name not in result["left"]]
    if pooled := result["pooled"]:
        told = {"auc": pooled.get("auc"), "ks": pooled.get("ks"), "alone": None, "gain": None, "use": None}
        rows.insert(0, {"name": ALL, "fit": None, "holdout": pooled["rows"], **told})
    return rows


def _row(name: str, own: dict[str, Any]) -> dict[str, Any]:
    counts = own.get("n_rows", {})
    return {
        "name": name,
        "fit": counts.get("fit"),
        "holdout": counts.get("holdout"),
        "auc": own.get("auc", {}).get("joint"),
        "ks": own.get("ks", {}).get("joint"),
        "alone": own.get("auc", {}).get("alone"),
        "gain": own.get("gain", {}).get("auc"),
        "use": WAYS[choice["way"]] if (choice := own.get("choice")) and choice["decided"] else None,
    }


def cities_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a run in both directions a row per city: its banks, and of each data node kind, name and cuts in the model, or
    None. Behind a hub what a data node counts stays with it."""
    said = result.get("hosts", {})
    return [
        {
            "name": name,
            "banks": city["banks"],
            "hosts": [
                {"kind": kind, "party": party, "cuts": said[party].get("n_cuts")}
                for kind, party in sorted(city["hosts"].items())
            ],
        }
        for name, city in result.get("cities", {}).items()
    ]


def interval_or_dash(interval: dict[str, float] | None) -> str:
    """ "–" for what nobody measured."""
    return "–" if interval is None else interval_text(interval)
