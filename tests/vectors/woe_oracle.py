"""Writes ``woe_optbinning.json`` and ``woe_toad.json``: WOE and information value as other libraries compute them.

The test suite does not run this: optbinning and toad pin what the project pins otherwise. To write them again, from the
root, with a folder that holds ``default_credit_host.csv.gz`` and ``default_credit_guest.csv.gz``::

    python -m venv other && other/bin/pip install optbinning toad
    other/bin/python tests/vectors/woe_oracle.py FOLDER

Synthetic rows are in the files; of the real ones there are only counts per bin.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import toad
from optbinning import OptimalBinning

FOLDER = Path(__file__).parent
SPECIAL = -999.0
TRENDS = ("ascending", "descending", "peak", "valley")
LIBRARIES = ("optbinning", "toad", "ortools", "numpy", "pandas", "scikit-learn")


def synthetic_rows() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A numeric column with missing and special values, a category, and a label that depends on both."""
    rng = np.random.default_rng(20240229)
    n = 600
    x = np.round(rng.normal(size=n), 2)
    job = rng.choice(["clerk", "farmer", "nurse", "pilot"], n, p=[0.4, 0.3, 0.2, 0.1])
    margin = -1.0 + 0.9 * x - 0.5 * x**2 + 0.8 * (job == "farmer")
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(int)
    x[:40], x[40:70] = np.nan, SPECIAL
    return x, job, label


def numeric_case(name: str, x: np.ndarray, label: np.ndarray, cut_points: list[float]) -> dict[str, Any]:
    """Bins as given, and the best information value that merging them can reach, per trend."""
    table = fixed(x, label, cut_points)
    best = {}
    for trend in TRENDS:
        binning = OptimalBinning(user_splits=cut_points, special_codes=[SPECIAL], monotonic_trend=trend)
        binning.fit(x, label)
        regular = binning.binning_table.build().iloc[: len(binning.splits) + 1]
        best[trend] = {
            "status": binning.status,
            "splits": binning.splits.tolist(),
            "information_value": float(regular["IV"].sum()),
        }
    regular, missing, special = table.iloc[: len(cut_points) + 1], table.loc[["Missing"]], table.loc[["Special"]]
    return {
        "name": name,
        "cut_points": cut_points,
        **columns(pd.concat([regular, missing, special])),
        "total": float(table.loc["Totals", "IV"]),
        "best": best,
    }


def fixed(x: np.ndarray, label: np.ndarray, cut_points: list[float]) -> pd.DataFrame:
    binning = OptimalBinning(
        user_splits=cut_points,
        user_splits_fixed=[True] * len(cut_points),
        special_codes=[SPECIAL],
        monotonic_trend=None,
    )
    binning.fit(x, label)
    assert np.array_equal(binning.splits, cut_points)
    table = binning.binning_table.build()
    names = [b if b in {"Missing", "Special"} else name for b, name in zip(table["Bin"], table.index, strict=True)]
    return table.set_axis(names)


def category_case(name: str, values: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    levels = sorted(set(values))
    binning = OptimalBinning(
        dtype="categorical",
        user_splits=np.array([[v] for v in levels], dtype=object),
        user_splits_fixed=[True] * len(levels),
        monotonic_trend=None,
    )
    binning.fit(values, label)
    table = binning.binning_table.build()
    of_level = {bin_[0]: row for row, bin_ in enumerate(table["Bin"]) if not isinstance(bin_, str)}
    rows = table.iloc[[of_level[v] for v in levels]]
    return {"name": name, "levels": levels, **columns(rows), "total": float(table.loc["Totals", "IV"])}


def columns(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "count": [int(v) for v in table["Count"]],
        "count_share": [float(v) for v in table["Count (%)"]],
        "good": [int(v) for v in table["Non-event"]],
        "bad": [int(v) for v in table["Event"]],
        "bad_rate": [float(v) for v in table["Event rate"]],
        "woe": [float(v) for v in table["WoE"]],
        "information_value": [float(v) for v in table["IV"]],
    }


def toad_case(name: str, codes: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Codes as texts, which toad bins no further. Its WOE is ln(share of bads / share of goods)."""
    texts = pd.Series([f"{code:03}" for code in codes])
    transformer = toad.transform.WOETransformer().fit(texts, label)
    values = transformer.transform(texts)
    quality = toad.quality(pd.DataFrame({"x": texts, "y": label}), "y", indicators=["iv"])
    distinct = sorted(set(codes.tolist()))
    return {
        "name": name,
        "good": [int(((codes == c) & (label == 0)).sum()) for c in distinct],
        "bad": [int(((codes == c) & (label == 1)).sum()) for c in distinct],
        "woe_bad_over_good": [float(np.asarray(values)[codes == c][0]) for c in distinct],
        "information_value": float(toad.stats.IV(texts, label)),
        "quality": float(quality.loc["x", "iv"]),
    }


def codes_of(x: np.ndarray, cut_points: list[float]) -> np.ndarray:
    codes = np.digitize(x, cut_points)
    codes[np.isnan(x)] = len(cut_points) + 1
    codes[x == SPECIAL] = len(cut_points) + 2
    return codes


def write(name: str, content: dict[str, Any]) -> None:
    versions = {library: version(library) for library in LIBRARIES}
    text = json.dumps({"made_with": versions, **content}, indent=1, allow_nan=False)
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


def main(data: Path) -> None:
    x, job, label = synthetic_rows()
    cuts = [-1.495, -1.005, -0.495, -0.105, 0.105, 0.395, 0.805, 1.205]
    host = pd.read_csv(data / "default_credit_host.csv.gz")
    guest = pd.read_csv(data / "default_credit_guest.csv.gz")
    joined = host[["id", "x0"]].merge(guest[["id", "y"]], on="id")
    real, real_label = joined["x0"].to_numpy(), joined["y"].to_numpy()
    # Halfway between values, so that it does not matter on which side intervals are closed.
    distinct = np.unique(real)
    places = np.unique(np.searchsorted(distinct, np.quantile(real, np.arange(1, 16) / 16)))
    real_cuts = [float((distinct[i] + distinct[i + 1]) / 2) for i in places if i + 1 < len(distinct)]
    rows = {
        "x": [None if np.isnan(v) else float(v) for v in x],
        "job": job.tolist(),
        "label": label.tolist(),
    }
    write(
        "woe_optbinning.json",
        {
            "special_code": SPECIAL,
            "rows": rows,
            "numeric": [
                numeric_case("synthetic", x, label, cuts),
                numeric_case("default_credit_host.x0", real, real_label, real_cuts),
            ],
            "category": [category_case("synthetic", job, label)],
        },
    )
    write(
        "woe_toad.json",
        {
            "cases": [
                toad_case("synthetic", codes_of(x, cuts), label),
                toad_case("default_credit_host.x0", codes_of(real, real_cuts), real_label),
            ]
        },
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
