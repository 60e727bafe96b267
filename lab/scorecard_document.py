"""A scorecard run as its model document tells it: the bank's features by name, those of data nodes by number."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

Json = Mapping[str, Any]

#: Why a feature is used or not.
VERDICTS: Final = {
    "": ("used", "采用"),
    "weak": ("little information", "信息量低"),
    "flagged": ("one bin only", "无法分箱"),
    "leak": ("may know the outcome", "疑似泄漏"),
    "surplus": ("enough stronger ones", "已有更强特征"),
    "correlated": ("goes with", "相关于"),
    "collinear": ("follows from others, VIF", "多重共线，VIF"),
    "reversed": ("against its WOE", "符号与 WOE 相反"),
    "insignificant": ("adds nothing, p", "不显著，p"),
    "unstable": ("has moved, index", "分布偏移，指标"),
}
#: Features whose bins are drawn.
_MOST_DRAWN: Final = 8
#: Features whose correlations fit a page.
_MOST_CORRELATED: Final = 15


def scorecard_facts(result: Json, categories: Collection[str]) -> dict[str, Any]:
    """What the page shows of a scorecard.

    Args:
        result: content of ``result.json``.
        categories: those of the bank's features that are no numbers.

    Returns:
        ``parties``: features binned and used, information value of those used; ``coefficients``, intercept first, and
        ``left_out``: features with their information value; ``points``: the bank's table with its bins; ``drawn``: the
        strongest features with their bins; ``correlation``: of all used, if they fit a page; ``widest``: largest WOE
        among those drawn, for the length of bars.
    """
    guest, features = result["guest"], {(f["party"], f["variable"]): f for f in result["features"]}
    used = sorted((f for f in features.values() if not f["reason"]), key=lambda f: -f["information_value"])
    tables = {(party, t["variable"]): t for party, found in result["binning"].items() for t in found}
    drawn = [_drawn(f, tables[f["party"], f["variable"]], guest) for f in used[:_MOST_DRAWN]]
    return {
        "parties": [_party(party, result["features"]) for party in (guest, *result["hosts"])],
        "coefficients": [
            {**c, "shown": shown_name(c["party"], c["name"]), "feature": features.get((c["party"], c["name"]))}
            for c in result["coefficients"]
        ],
        "left_out": [
            {**f, "shown": shown_name(f["party"], f["variable"]), "why": why(f)}
            for f in result["features"]
            if f["reason"]
        ],
        "points": _points(
            result["points"], [tables[guest, p["name"]] for p in result["points"]["features"]], categories
        ),
        "correlation": result["correlation"] if len(result["correlation"]) <= _MOST_CORRELATED else [],
        "drawn": drawn,
        "widest": max((abs(b["woe"]) for f in drawn for b in f["bins"]), default=1.0) or 1.0,
    }


def why(feature: Json) -> tuple[str, str]:
    """Why a feature is used or not, in English and Chinese, with the number that decided."""
    figure, other = feature["figure"], feature["other"]
    told = "" if figure is None else f" {figure:.2g}" if abs(figure) < 0.1 else f" {figure:.2f}"
    english, chinese = VERDICTS[feature["reason"]]
    with_whom = f" {other}" if other else ""
    return f"{english}{with_whom}{told}", f"{chinese}{with_whom}{told}"


def shown_name(party: str, name: str) -> str:
    """A feature with the party it belongs to; those of hosts carry it already."""
    return name if name.startswith(party) else f"{party} {name}"


def _party(party: str, features: Sequence[Json]) -> dict[str, Any]:
    own = [f for f in features if f["party"] == party]
    used = [f for f in own if not f["reason"]]
    value = sum(f["information_value"] for f in used)
    return {"name": party, "binned": len(own), "used": len(used), "information_value": value}


def _drawn(feature: Json, table: Json, guest: str) -> dict[str, Any]:
    named = feature["party"] == guest
    bins = [{**row, "label": row["bin"] if named else f"bin {k}"} for k, row in enumerate(table["rows"], 1)]
    return {**feature, "shown": shown_name(feature["party"], feature["variable"]), "bins": bins, "named": named}


def _points(points: Json, tables: Sequence[Json], categories: Collection[str]) -> dict[str, Any]:
    """The bank's table; ``lowest`` and ``highest``: what its entries of bins with rows can add up to."""
    features = [
        {
            "name": entry["name"],
            "category": entry["name"] in categories,
            "unseen": entry["unseen_points"],
            "rows": [{**row, "points": p} for row, p in zip(table["rows"], entry["points"], strict=True)],
        }
        for entry, table in zip(points["features"], tables, strict=True)
    ]
    ends = [[row["points"] for row in f["rows"] if row["count"]] for f in features]
    base = points["intercept_points"]
    return {
        "base": base,
        "features": features,
        "lowest": base + sum(map(min, ends)),
        "highest": base + sum(map(max, ends)),
    }
